"""What a catalogue entry says of a metric, and what a package that adds one must provide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grmu_audit.errors import InputError
from grmu_audit.records import NotMeasured
from grmu_audit.utils.plugins import did_you_mean

if TYPE_CHECKING:
    from grmu_audit.metrics.checked_predictions import Facts
    from grmu_audit.metrics.outcome import Outcome


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


@dataclass(frozen=True)
class MetricPlugin:
    """A metric that another package adds under the entry-point group ``grmu_audit.metrics``."""

    spec: MetricSpec
    """Its catalogue entry; the entry point has the same name."""
    measure: Callable[[Facts], Outcome]
    """A pure function of one model's checked predictions."""


LEVELS = ("quick", "standard", "deep")
"""Predictions only; + layers, attacks on inputs, representations; + AutoAttack, learning again, shadow models."""
_FROM = {
    "robustness": ("standard", "accuracy under FGSM and PGD"),
    "layers": ("standard", "fairness-gap of the layers"),
    "representations": ("standard", "CKA, nearest neighbours, probes, prototypes"),
    "AutoAttack": ("deep", "accuracy under AutoAttack"),
    "relearn": ("deep", "epochs until the forget set is learned again"),
    "shadow models": ("deep", "RMIA, LiRA, U-LiRA, RULI, forgetting epsilon, KLOM, SWAP"),
}


def check_level(level: str) -> str:
    """The level, if there is one of that name.

    Raises:
        InputError: there is none.
    """
    if level not in LEVELS:
        raise InputError(f"no level {level!r}{did_you_mean(level, list(LEVELS))}; known: {', '.join(LEVELS)}")
    return level


def left_out(level: str) -> tuple[NotMeasured, ...]:
    """What an audit of that level does not measure.

    >>> [item.name for item in left_out("standard")]
    ['AutoAttack', 'relearn', 'shadow models']
    """
    rank = LEVELS.index(level)
    return tuple(
        NotMeasured(name, f"the audit was made at level {level}; level {least} measures {what}")
        for name, (least, what) in _FROM.items()
        if LEVELS.index(least) > rank
    )
