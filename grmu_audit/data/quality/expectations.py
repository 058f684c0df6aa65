"""An expectation as data: what must hold of which table, in words and as the engine's arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grmu_audit.utils import canonical_json, sha256_hex


@dataclass(frozen=True)
class Expectation:
    """One expectation of one table."""

    part: str
    """Part of the data that it speaks of (``CheckResult.part``)."""
    words: str
    """What is expected."""
    kind: str
    """Class name in ``great_expectations.expectations``."""
    arguments: Mapping[str, object]
    """Arguments of that class."""
    advice: str
    """What to do when it fails."""
    severity: str = "error"
    """``error`` or ``warning``."""
    show: str = "nothing"
    """What of the failing rows may be shown: ``nothing`` but counts, their ``values``, or the ``names`` of the rows (groups)."""


@dataclass(frozen=True)
class Suite:
    """Expectations of one table, the row count first."""

    table: str
    """Key of the table."""
    expectations: tuple[Expectation, ...]
    """In the order in which they are reported."""


def suites_sha256(suites: Sequence[Suite]) -> str:
    """Digest of the expectations: tables, parts, kinds, arguments and severities, in order."""
    tree = [[suite.table, [[e.part, e.kind, dict(e.arguments), e.severity] for e in suite.expectations]] for suite in suites]
    return sha256_hex(canonical_json(tree))


def not_empty(part: str, advice: str, words: str = "at least one row") -> Expectation:
    """At least one row: everything else is true of an empty table, and says nothing."""
    return Expectation(part, words, "ExpectTableRowCountToBeBetween", {"min_value": 1}, advice)


def row_count(part: str, words: str, count: int, advice: str) -> Expectation:
    """Exactly so many rows."""
    return Expectation(part, words, "ExpectTableRowCountToEqual", {"value": count}, advice)


def not_null(part: str, column: str) -> Expectation:
    """No value of the column is missing."""
    advice = f"fill in {column!r}, or leave the samples out"
    return Expectation(part, f"{column} is never missing", "ExpectColumnValuesToNotBeNull", {"column": column}, advice)


def unique(part: str, column: str, advice: str) -> Expectation:
    """No value of the column repeats."""
    return Expectation(part, f"{column} is unique", "ExpectColumnValuesToBeUnique", {"column": column}, advice)


def in_set(part: str, column: str, allowed: Sequence[object], advice: str) -> Expectation:
    """Every value of a column of the manifest is one of those allowed; others are shown."""
    few = ", ".join(map(str, allowed))
    shown = few if len(allowed) == 1 else f"one of {few}" if len(allowed) <= 5 else f"one of {allowed[0]} to {allowed[-1]}"
    arguments = {"column": column, "value_set": list(allowed)}
    return Expectation(part, f"{column} is {shown}", "ExpectColumnValuesToBeInSet", arguments, advice, show="values")


def known_outcome(part: str, words: str, column: str, value: int, advice: str, severity: str = "error") -> Expectation:
    """A derived count has this value in every row."""
    arguments = {"column": column, "value_set": [value]}
    return Expectation(part, words, "ExpectColumnValuesToBeInSet", arguments, advice, severity)


def bounded(
    part: str, words: str, column: str, bounds: tuple[float | None, float | None], advice: str, severity: str
) -> Expectation:
    """A number of the group table is within bounds; the groups where it does not are named."""
    arguments = {"column": column, "min_value": bounds[0], "max_value": bounds[1]}
    return Expectation(part, words, "ExpectColumnValuesToBeBetween", arguments, advice, severity, show="names")
