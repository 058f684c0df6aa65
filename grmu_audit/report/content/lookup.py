"""Finding things in an audit: values by name, subject and group; names of groups and versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from grmu_audit.records import (
    BASELINE,
    CANDIDATE,
    Audit,
    CheckResult,
    Group,
    MetricValue,
    ModelRef,
    Role,
    Subject,
    reference,
    suppressed,
)
from grmu_audit.report.wording import numbers
from grmu_audit.report.wording.names import safe_name

_CHANGE = 0.0005
"""Smallest change of an accuracy that is one: half a tenth of a point."""


@dataclass(frozen=True)
class Lookup:
    """An audit with its values indexed once."""

    audit: Audit
    """The audit."""
    values: dict[tuple[str, Subject, Group | None], MetricValue] = field(repr=False)
    """First value of each name, subject and group."""
    names: dict[Group, str] = field(repr=False)
    """Group names as recorded."""
    after: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What was entered in the ledger after the audit: ``sign_off``, ``answered_at``, ``current_champion``..."""

    @classmethod
    def of(cls, audit: Audit, after: Mapping[str, Any] | None = None) -> Lookup:
        """Index an audit."""
        values: dict[tuple[str, Subject, Group | None], MetricValue] = {}
        for value in audit.metrics:
            values.setdefault((value.name, value.subject, value.group), value)
        return cls(audit, values, {count.group: count.name for count in audit.data.groups}, after or {})

    def value(self, metric: str, subject: Subject = CANDIDATE, group: Group | None = None) -> MetricValue | None:
        """One value, or None when it was not recorded."""
        return self.values.get((metric, subject, group))

    @property
    def references(self) -> tuple[Subject, ...]:
        """Subjects of the references in order, or their mean where the audit has values of that alone."""
        values = {value.subject for value in self.audit.metrics}
        known = {subject.number for subject in values if subject.role is Role.REFERENCE and not subject.change}
        numbers = sorted(known - {0} | set(range(1, len(self.audit.references) + 1)))
        return (Subject(Role.REFERENCE),) if known == {0} else tuple(reference(number) for number in numbers)

    @property
    def groups(self) -> list[Group]:
        """All groups of the data table or of the group values, sorted."""
        return sorted(set(self.names) | {value.group for value in self.audit.metrics if value.group is not None})

    @property
    def metric_names(self) -> list[str]:
        """Names of all metrics that are not broken down by group, in the order of the audit."""
        return list(dict.fromkeys(value.name for value in self.audit.metrics if value.group is None))

    def counts_tell(self, part: str) -> bool:
        """Whether a count of samples of that part may be shown: those of the retain and forget set are hidden where the forget
        set is too small to be counted."""
        return part not in ("retain", "forget") or not suppressed(self.audit.forget.count)

    def count_text(self, part: str, count: int, hidden: str) -> str:
        """A count of samples of that part in words, or ``hidden``."""
        return numbers.count_text(count) if suppressed(count) or self.counts_tell(part) else hidden

    def observed(self, check: CheckResult, hidden: str) -> str:
        """What a quality check observed, or ``hidden`` where that may give the size of a very small forget set away."""
        return check.observed if self.counts_tell(check.part) else hidden

    def group_name(self, group: Group) -> str:
        """A group's name in words, as recorded or put together from class and attribute."""
        data = self.audit.data
        return safe_name(self.names.get(group, "")) or safe_name(group.label(data.class_names, data.attribute_names))

    def group_names(self, groups: tuple[Group, ...]) -> str:
        """Several groups, joined; the first few when there are many."""
        shown = [self.group_name(group) for group in groups[:4]]
        rest = len(groups) - len(shown)
        return "; ".join(shown) + (f" and {rest} more" if rest > 0 else "")

    def reference_model(self, subject: Subject) -> ModelRef | None:
        """The version behind a reference; the first one's behind their mean."""
        return next(iter(self.audit.references[max(subject.number, 1) - 1 :]), None)


@dataclass(frozen=True)
class GroupChange:
    """Accuracy of one group before and now."""

    group: Group
    """The group."""
    before: MetricValue
    """Accuracy of the version before."""
    after: MetricValue
    """Accuracy of the audited version."""
    change: MetricValue | None
    """The difference, sample by sample, with its interval."""

    @property
    def size(self) -> float:
        """How much it changed; below zero: it lost."""
        assert self.before.value is not None
        assert self.after.value is not None
        return self.after.value - self.before.value

    @property
    def lost(self) -> bool:
        """Whether fewer samples are classified correctly than before."""
        return self.size < -_CHANGE

    @property
    def gained(self) -> bool:
        """Whether more samples are classified correctly than before."""
        return self.size > _CHANGE

    @property
    def beyond_chance(self) -> bool:
        """Whether the whole interval of the change lies below zero."""
        return self.change is not None and self.change.interval is not None and self.change.interval[1] < 0


def group_changes(found: Lookup) -> list[GroupChange]:
    """Every group whose accuracy is known before and now, the largest loss first; groups of few people are not in it."""
    rows = []
    for group in found.groups:
        before, after = found.value("accuracy", BASELINE, group), found.value("accuracy", CANDIDATE, group)
        if numbers.has_number(before) and numbers.has_number(after):
            rows.append(GroupChange(group, before, after, found.value("accuracy", BASELINE.as_change(), group)))
    return sorted(rows, key=lambda row: row.size)


def mapping_of(value: object) -> dict[str, Any]:
    """A recorded fact as a mapping; empty where it is none."""
    return dict(value) if isinstance(value, dict) else {}


def model_label(model: ModelRef) -> str:
    """``name/version``, cleaned."""
    return safe_name(model.label)
