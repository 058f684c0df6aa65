"""Whether the forgetting of a request can be shown, said before a model is trained for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from grmu_audit.intervals.closed_forms import z_value
from grmu_audit.metrics.forgetting.contrast import LEAST_FORGET, LEAST_RETAINED
from grmu_audit.records import GroupCount

_ONE_SIDED = 0.10
_POWER = 0.80
_SHOWN = 5


@dataclass(frozen=True)
class RequestFacts:
    """What is known of a request before anything is trained."""

    people: int
    """People in the forget set (samples, where each is its own)."""
    groups: tuple[GroupCount, ...]
    """Group table under the request."""
    references: int
    """Retrained versions of the same forget set."""
    retrain_line: str
    """Command that makes one."""
    cost: str = ""
    """How long retraining takes, in words; empty where it is unknown."""


def smallest_visible_area(people: int, unseen: int) -> float:
    """The area under the curve of an attack that is told from 0.5 in four of five cases, one-sided 95 %.

    Formula: 0.5 + (z_0.95 + z_0.80) sqrt((n1 + n0 + 1) / (12 n1 n0)), the variance of the Mann-Whitney statistic without effect.

    Args:
        people: n1, people in the forget set, > 0.
        unseen: n0, unseen samples, > 0.

    >>> round(smallest_visible_area(5, 1000), 2), round(smallest_visible_area(100, 1000), 2)
    (0.82, 0.58)
    """
    spread = math.sqrt((people + unseen + 1) / (12 * people * unseen))
    return min(0.5 + (z_value(_ONE_SIDED) + z_value(2 * (1 - _POWER))) * spread, 1.0)


def advise(facts: RequestFacts) -> tuple[str, ...]:
    """Sentences on what can be shown for a request, what would help, and the command that makes a reference."""
    found = [*_on_size(facts), *_on_groups(facts.groups)]
    cost = f" ({facts.cost})" if facts.cost else ""
    if facts.references == 0:
        found.append(f"no retrained version of this forget set is there to compare with{cost}: {facts.retrain_line}")
    elif facts.references == 1:
        found.append(f"one retrained version is there; a second from another --seed decides more often{cost}")
    return tuple(found)


def _on_size(facts: RequestFacts) -> Sequence[str]:
    if facts.people >= LEAST_FORGET:
        return ()
    unseen = sum(row.test for row in facts.groups if row.forget)
    area = smallest_visible_area(max(facts.people, 1), max(unseen, 1))
    return (
        f"the forgetting share needs {LEAST_FORGET} people in the forget set, so that this request cannot be decided by it: "
        "retrain (exact evidence), serve it together with other requests, or audit at level deep, whose attacks see an area of "
        f"{area:.2f} and more at this size",
    )


def _on_groups(groups: Sequence[GroupCount]) -> Sequence[str]:
    small = [row.name for row in groups if row.forget and row.retain < LEAST_RETAINED]
    if not small:
        return ()
    more = f" and {len(small) - _SHOWN} more groups" if len(small) > _SHOWN else ""
    return (
        f"fewer than {LEAST_RETAINED} training samples are left of {', '.join(small[:_SHOWN])}{more}: there the forget set is "
        "compared with unseen samples, which is less sure",
    )
