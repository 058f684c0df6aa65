"""Collects what is wrong with a forget list, so that all of it is said at once."""

from __future__ import annotations

from collections.abc import Sequence

from grmu_audit.errors import ForgetListError

SHOWN = 20
"""Defects that a message spells out; the rest is counted."""


def refuse(where: str, defects: Sequence[str]) -> None:
    """Raise when there are defects: the first twenty, then how many more.

    Raises:
        ForgetListError: there is at least one defect.

    >>> refuse("ids.csv", [])
    """
    if not defects:
        return
    more = len(defects) - SHOWN
    tail = [f"and {more} more"] if more > 0 else []
    problems = "1 problem" if len(defects) == 1 else f"{len(defects)} problems"
    raise ForgetListError(f"forget list {where}: {problems}\n" + "\n".join(f"  {line}" for line in [*defects[:SHOWN], *tail]))


def id_defect(text: str) -> str | None:
    """Why the text cannot be a sample id, or None.

    >>> id_defect("000001.jpg")
    >>> id_defect(" ")
    'the id is empty'
    """
    if not text.strip():
        return "the id is empty"
    if len(text) > LONGEST_ID:
        return f"the id has {len(text)} characters, more than {LONGEST_ID}"
    if not text.isprintable():
        return f"the id {text[:80]!a} holds a character that cannot be printed"
    return None


LONGEST_ID = 1024
"""Characters that an id or a request field may have."""
