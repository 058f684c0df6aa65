"""Finding things in an audit: values by name, subject and group; names of groups and versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from grmu_audit.records import CANDIDATE, Audit, Group, MetricValue, ModelRef, Role, Subject, reference, suppressed
from grmu_audit.report.wording import numbers
from grmu_audit.report.wording.names import safe_name


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

    def first(self, metric: str, subjects: tuple[Subject, ...], group: Group | None = None) -> MetricValue | None:
        """The value of the first of these subjects that has one."""
        found = (self.value(metric, subject, group) for subject in subjects)
        return next((value for value in found if value is not None), None)

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
        """Names of all values of the whole, in the order of the audit."""
        return list(dict.fromkeys(value.name for value in self.audit.metrics if value.group is None))

    def counts_tell(self, part: str) -> bool:
        """Whether a count of samples of that part may be shown: beside the other counts it must not give away a forget set too
        small to be counted itself."""
        return part not in ("retain", "forget") or not suppressed(self.audit.forget.count)

    def count_text(self, part: str, count: int, hidden: str) -> str:
        """A count of samples of that part in words, or ``hidden``."""
        return numbers.count_text(count) if suppressed(count) or self.counts_tell(part) else hidden

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


def model_label(model: ModelRef) -> str:
    """``name/version``, cleaned."""
    return safe_name(model.label)
