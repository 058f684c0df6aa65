"""One measured number with everything that it must not travel without."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from grmu_audit.errors import InputError
from grmu_audit.intervals import Statistic


@dataclass(frozen=True, order=True)
class Group:
    """One cell of target x attribute.

    >>> Group(1, 0)
    Group(target=1, attribute=0)
    """

    target: int
    """Class index, from 0."""
    attribute: int
    """Index of the attribute value (or of the combination of several attributes), from 0."""

    def label(self, class_names: Sequence[str] = (), attribute_names: Sequence[str] = ()) -> str:
        """The group in words; numbers where no name is known.

        >>> Group(1, 0).label(["other hair", "blond"], ["female", "male"]), Group(1, 0).label()
        ('blond / female', 'class 1 / attribute 0')
        """
        target = class_names[self.target] if 0 <= self.target < len(class_names) else ""
        attribute = attribute_names[self.attribute] if 0 <= self.attribute < len(attribute_names) else ""
        return f"{target or f'class {self.target}'} / {attribute or f'attribute {self.attribute}'}"

    @classmethod
    def from_code(cls, code: int, attributes: int) -> Group:
        """The group of a code ``target * attributes + attribute``."""
        return cls(int(code) // attributes, int(code) % attributes)


class Role(enum.StrEnum):
    """Role of a model in an audit."""

    CANDIDATE = "candidate"
    """The audited model."""
    BASELINE = "baseline"
    """The model before unlearning."""
    REFERENCE = "reference"
    """A retrained model."""
    ROOT = "root"
    """The first version of the lineage, before any request."""


@dataclass(frozen=True)
class Subject:
    """Whose value it is: a model of the audit, or the change from that model to the candidate.

    >>> str(reference(2)), str(BASELINE.as_change()), Subject.parse("candidate-reference")
    ('reference#2', 'candidate-baseline', Subject(role=<Role.REFERENCE: 'reference'>, number=0, change=True))
    """

    role: Role
    """The model's role."""
    number: int = 0
    """Number of a reference, from 1; 0 for the mean over the primary references, and for all other roles."""
    change: bool = False
    """True for the candidate minus that model."""

    def __str__(self) -> str:
        name = f"{self.role}#{self.number}" if self.number else str(self.role)
        return f"{Role.CANDIDATE}-{name}" if self.change else name

    @classmethod
    def parse(cls, text: str) -> Subject:
        """The inverse of ``str``; for readers of stored audits alone.

        Raises:
            InputError: no such subject.
        """
        name = text.removeprefix(f"{Role.CANDIDATE}-")
        role, _, number = name.partition("#")
        try:
            found = cls(Role(role), int(number or 0), change=name != text)
        except ValueError:
            found = None
        if found is None or str(found) != text:
            raise InputError(f"no subject {text[:80]!r}: known are candidate, baseline, root, reference#N and candidate-SUBJECT")
        return found

    def as_change(self) -> Subject:
        """The change from this model to the candidate."""
        return replace(self, change=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> Any:
        """Text in JSON, as ``str`` writes it."""
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, cls) else cls._from_json(value),
            serialization=core_schema.to_string_ser_schema(),
        )

    @classmethod
    def _from_json(cls, value: object) -> Subject:
        try:
            return cls.parse(value if isinstance(value, str) else repr(value))
        except InputError as error:
            raise ValueError(str(error)) from None


CANDIDATE = Subject(Role.CANDIDATE)
BASELINE = Subject(Role.BASELINE)
ROOT = Subject(Role.ROOT)


def reference(number: int) -> Subject:
    """The reference of that number, from 1."""
    return Subject(Role.REFERENCE, number)


@dataclass(frozen=True)
class MetricValue:
    """A value or the reason why there is none; never NaN, never a 0 that means "undefined"."""

    name: str
    """Name in the metric catalogue, such as ``GA``; ``accuracy`` for a group's test accuracy."""
    subject: Subject
    """Whose value it is: a model's, or a paired change."""
    value: float | None
    """The estimate; None when undefined."""
    n: int
    """Samples that the value is computed from."""
    group: Group | None = None
    """The group, for a per-group value."""
    interval: tuple[float, float] | None = None
    """Lower and upper bound at ``confidence``; simultaneous over cells for gaps and minima."""
    confidence: float = 0.95
    """Nominal coverage of ``interval``."""
    unit: str = "fraction"
    """``fraction`` or another unit of the catalogue."""
    incomplete: bool = False
    """True when a declared cell has no test sample, so that the value covers only the others."""
    why_missing: str | None = None
    """The reason, with denominators, when ``value`` is None or ``interval`` is."""
    empty_cells: tuple[Group, ...] = ()
    """The declared cells without a test sample."""
    smallest_cell: int | None = None
    """Samples in the smallest cell that the value rests on; rules compare it with ``minimum_group_size``."""
    smallest_group: Group | None = None
    """Which cell that is, where it is one group."""
    subjects: int | None = None
    """Distinct people behind the n samples, where the data has a subject column."""
    statistic: Statistic | None = None
    """Sufficient statistic: the interval at any other confidence follows from it alone."""
    details: dict[str, Any] = field(default_factory=dict)
    """More numbers side by side, such as the AUC of every attack score."""

    @property
    def cell_size(self) -> int:
        """Samples in the smallest cell that it rests on; all samples where none is recorded."""
        return self.n if self.smallest_cell is None else self.smallest_cell

    def to_json(self) -> dict[str, Any]:
        """A tree of plain JSON types."""
        statistic = None if self.statistic is None else self.statistic.to_json()
        return {**asdict(replace(self, statistic=None)), "subject": str(self.subject), "statistic": statistic}
