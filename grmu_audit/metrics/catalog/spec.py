"""What a catalogue entry says of a metric, and what a package that adds one must provide."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from grmu_audit.errors import InputError
from grmu_audit.utils.plugins import did_you_mean

OPEN = 1e9
"""Upper end of a range that is open."""
_Member = TypeVar("_Member", bound=enum.StrEnum)


class Level(enum.StrEnum):
    """How deep an audit goes; each level measures what the one before it does, and more."""

    QUICK = "quick"
    """Metrics of stored predictions."""
    STANDARD = "standard"
    """Metrics that need the network itself: layers, attacks on inputs, representations."""
    DEEP = "deep"
    """AutoAttack, relearning, shadow models."""

    def includes(self, other: Level) -> bool:
        """Whether an audit of this level measures what belongs to the other.

        >>> Level.DEEP.includes(Level.STANDARD), Level.QUICK.includes(Level.STANDARD)
        (True, False)
        """
        ordered = list(Level)
        return ordered.index(other) <= ordered.index(self)


class Topic(enum.StrEnum):
    """The section of the report that shows a metric."""

    UTILITY = "utility"
    """Performance and fairness."""
    FORGETTING = "forgetting"
    """Forgetting and privacy."""
    ROBUSTNESS = "robustness"
    """Robustness, and fairness inside the network."""
    OTHER = "other"
    """None of these."""


@dataclass(frozen=True)
class MetricSpec:
    """One metric in words."""

    name: str
    """Name in policies, JSON and reports."""
    title: str
    """Name for a reader."""
    says: str
    """One plain sentence: what the number says."""
    hides: str
    """One plain sentence: what it does not say."""
    formula: str
    """Definition."""
    source: str
    """Where the definition comes from."""
    needs: str
    """What must be in the prediction file."""
    unit: str = "fraction"
    """Unit of the stored value."""
    low: float = 0.0
    """Smallest possible value."""
    high: float = 1.0
    """Largest possible value."""
    direction: str = "higher"
    """``higher``, ``lower``, ``reference`` (towards a retrained model) or ``target`` (towards ``target``)."""
    target: float | None = None
    """The value to be near to, for direction ``target``."""
    part: str = "test"
    """Split whose samples decide: more of them make the interval narrower."""
    per_group: bool = False
    """True when a value belongs to one group, which a rule must then name."""
    undefined: str = ""
    """When there is no value."""
    also_per_group: bool = False
    """True when it exists for the whole and for each group, so that a rule may name one."""
    example: str = ""
    """Code of the example on its page, which prints something; by default its value on ``metrics.catalog.examples``."""
    cost: str = "predictions"
    """What it costs beside reading the predictions: ``predictions`` (no forward pass), or in words."""
    level: Level = Level.QUICK
    """Level of audit from which on it is measured."""
    topic: Topic = Topic.OTHER
    """Section of the report that shows it."""
    from_scores: bool = False
    """True when the version before with other scores and the same labels may have another value, so that its own does not count
    for such a null control."""

    def __post_init__(self) -> None:
        """Level and topic may be given by their names.

        Raises:
            InputError: no such level or topic.
        """
        object.__setattr__(self, "level", check_level(self.level))
        object.__setattr__(self, "topic", _member(Topic, "topic", self.topic))


class ThirdPartyMetric(Protocol):
    """What the catalogue needs of a metric that another package adds; ``metrics.outcome.MetricPlugin`` is one."""

    @property
    def spec(self) -> MetricSpec:
        """Its catalogue entry."""
        ...

    @property
    def measure(self) -> Callable[..., object]:
        """From checked predictions to an outcome."""
        ...


def check_level(level: str) -> Level:
    """The level of that name.

    Raises:
        InputError: there is none.
    """
    return _member(Level, "level", level)


def _member(kind: type[_Member], word: str, name: str) -> _Member:
    known = [str(member) for member in kind]
    if name not in known:
        raise InputError(f"no {word} {name!r}{did_you_mean(name, known)}; known: {', '.join(known)}")
    return kind(name)
