"""audit.json: everything measured; from here on neither torch nor MLflow is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from grmu_audit.errors import InputError
from grmu_audit.records.groups import Group
from grmu_audit.records.lineage import ModelRef
from grmu_audit.records.measure import MetricValue
from grmu_audit.records.quality import DataCheckReport
from grmu_audit.records.verdict import Verdict

if TYPE_CHECKING:
    from pydantic import TypeAdapter

AUDIT_SCHEMA = "grmu-audit/audit/v1"


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
    """Training samples that stay."""
    forget: int
    """Training samples that must go."""
    val: int
    """Validation samples."""
    test: int
    """Test samples."""


def dominant_groups(counts: Mapping[Group, int]) -> tuple[Group, ...]:
    """The group(s) with the largest share of the forget set: all of them on a tie, sorted; none without a forget set.

    Every path to an audit takes its dominant groups from here, so that GA is the same number on each.

    Args:
        counts: forget samples by group.

    >>> dominant_groups({Group(1, 0): 4, Group(0, 0): 4, Group(0, 1): 2})
    (Group(target=0, attribute=0), Group(target=1, attribute=0))
    """
    most = max(counts.values(), default=0)
    return tuple(sorted(group for group, count in counts.items() if count == most)) if most > 0 else ()


@dataclass(frozen=True)
class DataRecord:
    """The data that the audit rests on."""

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
    """How the attribute labels were made."""
    excluded: int = 0
    """Samples left out because a label is missing."""


@dataclass(frozen=True)
class ForgetRecord:
    """The forget set without the forgotten: counts and a keyed digest, never an id."""

    count: int
    """Samples."""
    digest: str
    """``hmac-sha256:...`` over the ids."""
    dominant_groups: tuple[Group, ...]
    """The group(s) that give the forget set."""
    request: dict[str, object] = field(default_factory=dict)
    """Request fields that may be shown (how sampled, ratio, seed, received, ground)."""


@dataclass(frozen=True)
class NotMeasured:
    """Something a reader may expect and will not find."""

    name: str
    """Metric or check."""
    reason: str
    """Why it is absent."""


@dataclass(frozen=True)
class Audit:
    """One audit of one version: facts, and the verdict once a policy has judged them."""

    subject: ModelRef
    """The audited version (the candidate)."""
    data: DataRecord
    """Data and splits."""
    forget: ForgetRecord
    """Forget set."""
    metrics: tuple[MetricValue, ...]
    """All numbers."""
    baseline: ModelRef | None = None
    """The version before unlearning."""
    references: tuple[ModelRef, ...] = ()
    """Retrained versions, in the order of ``reference#1``, ``reference#2``..."""
    data_quality: DataCheckReport | None = None
    """Quality checks of the request; None for ``score``."""
    not_measured: tuple[NotMeasured, ...] = ()
    """What was not measured, and why."""
    record: dict[str, Any] = field(default_factory=dict)
    """Tool and library versions, hardware, seed, created, forward passes."""
    verdict: Verdict | None = None
    """The judgement; None before a policy was applied."""
    curves: dict[str, Any] = field(default_factory=dict)
    """Summaries for charts, in which no step stands for fewer than k people (``metrics.curves``); empty where there are none:
    ``losses`` and ``roc`` per subject, and ``training``: per subject what each epoch logged."""
    schema: str = AUDIT_SCHEMA
    """Schema name and version."""

    def with_verdict(self, verdict: Verdict) -> Audit:
        """The same facts with this verdict."""
        return replace(self, verdict=verdict)

    def metric(self, name: str, subject: str = "candidate", group: Group | None = None) -> MetricValue | None:
        """The first value of that name, subject and group, or None when it was not recorded."""
        found = (m for m in self.metrics if (m.name, m.subject, m.group) == (name, subject, group))
        return next(found, None)

    def to_json(self) -> dict[str, Any]:
        """A tree of plain JSON types; floats stay floats, None stays null."""
        tree: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return tree

    @staticmethod
    def from_json(tree: object) -> Audit:
        """Read what ``to_json`` wrote; unknown keys are ignored.

        Raises:
            InputError: not an audit of a schema that this version reads, with every defect listed.
        """
        from pydantic import ValidationError

        if not isinstance(tree, dict) or tree.get("schema") != AUDIT_SCHEMA:
            found = tree.get("schema") if isinstance(tree, dict) else type(tree).__name__
            raise InputError(f"not an audit file of schema {AUDIT_SCHEMA!r} (found {found!r}): make one with 'audit --json'")
        try:
            return _adapter().validate_python(tree)
        except ValidationError as error:
            defects = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:20])
            raise InputError(f"audit file is damaged: {defects}") from None


@cache
def _adapter() -> TypeAdapter[Audit]:
    from pydantic import TypeAdapter

    return TypeAdapter(Audit)
