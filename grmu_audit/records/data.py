"""Records of the data: group table, forget set, quality checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from grmu_audit.records.metric_value import Group

SUPPRESSED_BELOW = 5
"""The smallest count of people that is shown."""


def suppressed(count: int) -> bool:
    """Whether a count is so small that it would speak of single people; 0 holds nobody and is shown.

    >>> suppressed(4), suppressed(5), suppressed(0)
    (True, False, False)
    """
    return 0 < count < SUPPRESSED_BELOW


@dataclass(frozen=True)
class CheckResult:
    """One expectation on one part of the data."""

    part: str
    """``train``, ``retain``, ``forget``, ``val``, ``test`` or ``all``."""
    expectation: str
    """What was expected, in words."""
    passed: bool
    """False when it failed or could not be evaluated."""
    evaluated: bool
    """False when the engine did not evaluate it, which counts as failed."""
    observed: str
    """The observed value as text; holds no sample id."""
    severity: str = "error"
    """``error`` stops the command (exit 5), ``warning`` is only reported."""
    advice: str = ""
    """What to do when it does not pass."""


@dataclass(frozen=True)
class DataCheckReport:
    """All checks of one request."""

    results: tuple[CheckResult, ...]
    """In the order of the suite."""
    engine: str
    """Library and version that evaluated them."""
    suite_sha256: str
    """Digest of the expectations."""
    group_shift: tuple[dict[str, float | int | str], ...] = ()
    """Per group: train count, retain count, share before and after, REWEIGHT weight."""

    @property
    def passed(self) -> bool:
        """True when there is at least one result and no error-level check failed."""
        return bool(self.results) and all(r.passed or r.severity == "warning" for r in self.results)


@dataclass(frozen=True)
class GroupCount:
    """How many samples a group has, part by part."""

    group: Group
    """The group."""
    name: str
    """Its name in words, from the manifest's class and attribute names; hostile text, escape it."""
    train: int
    """Training samples before the request."""
    retain: int
    """Training samples of the retain set."""
    forget: int
    """Training samples of the forget set."""
    val: int
    """Validation samples."""
    test: int
    """Test samples."""


def dominant_groups(counts: Mapping[Group, int]) -> tuple[Group, ...]:
    """The group(s) with the largest share of the forget set: all of them on a tie, sorted; none without a forget set.

    Both ``score`` and the registry take it from here; a request that names its groups makes all of them dominant instead
    (``data.forget.request_groups``).

    Args:
        counts: forget samples by group.

    >>> dominant_groups({Group(1, 0): 4, Group(0, 0): 4, Group(0, 1): 2})
    (Group(target=0, attribute=0), Group(target=1, attribute=0))
    """
    most = max(counts.values(), default=0)
    return tuple(sorted(group for group, count in counts.items() if count == most)) if most > 0 else ()


@dataclass(frozen=True)
class DataRecord:
    """The data of the audit."""

    manifest_sha256: str
    """Digest over rows, columns and decoded pixels; for ``score`` the digest of the prediction file."""
    splits: dict[str, int]
    """Samples per split: retain, forget, val, test."""
    name: str = ""
    """Dataset name."""
    groups: tuple[GroupCount, ...] = ()
    """Group table."""
    class_names: tuple[str, ...] = ()
    """Names of the classes, by index."""
    attribute_names: tuple[str, ...] = ()
    """Names of the attribute values, by index."""
    source: str = ""
    """Where the data comes from, and under what licence."""
    attribute_provenance: str = ""
    """Provenance of the attribute labels."""
    excluded: int = 0
    """Samples left out because a label is missing."""
    kind: str = ""
    """``image``, ``table`` or ``text``; ``predictions`` for ``score``; empty in audits from before it was recorded."""


@dataclass(frozen=True)
class ForgetRecord:
    """The forget set without the forgotten: counts and a keyed digest, never an id."""

    count: int
    """Samples."""
    digest: str
    """``hmac-sha256:...`` over the ids."""
    dominant_groups: tuple[Group, ...]
    """The dominant forget group(s): the largest share of the forget set."""
    request: dict[str, object] = field(default_factory=dict)
    """Request fields that may be shown (how sampled, ratio, seed, received, ground)."""
