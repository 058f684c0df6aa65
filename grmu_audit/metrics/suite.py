"""All metrics of one model in one call."""

from __future__ import annotations

from collections.abc import Iterator

from grmu_audit.errors import InputError
from grmu_audit.metrics.exposure import exposure
from grmu_audit.metrics.facts import Facts, facts
from grmu_audit.metrics.fairness import VARIANTS, fairness
from grmu_audit.metrics.performance import performance
from grmu_audit.metrics.privacy import Attacked, attacked, privacy
from grmu_audit.metrics.thirdparty import added
from grmu_audit.records import Group, MetricValue, Predictions


def measure(
    p: Predictions | Facts,
    *,
    subject: str = "candidate",
    dominant: tuple[Group, ...] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    attack_score: str = "margin",
    variant: str = "pairwise",
    positive_class: int = 1,
) -> tuple[MetricValue, ...]:
    """Every metric of one model that predictions alone give, those of installed packages included.

    RA UA TA VA GA WG UA_GA_GAP EO DP EP MIA MIA_PAPER MIA_AUC MIA_TPR_1 MIA_TPR_01 RETAIN_AUC MIA_DISPARITY, then by group
    ``accuracy`` RA UA MIA_AUC MIA_TPR_1 RETAIN_AUC.

    Args:
        p: n samples of one model, all splits together.
        subject: whose values these are.
        dominant: group(s) that give the forget set; by default those with its largest share.
        confidence: coverage of each interval taken alone.
        seed: seed of the forest attack.
        attack_score: the score that MIA_AUC is taken on; all others stand in its details.
        variant: ``pairwise`` or ``paper`` for EO, DP, EP.
        positive_class: the positive class of a two-class task.

    Returns:
        One value per metric and group; an undefined one carries its reason.

    Raises:
        InputError: predictions that do not fit together, with row numbers; an unknown variant or score.
    """
    f = facts(p, dominant=dominant, seed=seed, positive_class=positive_class)
    return values_of(f, attacked(f), subject=subject, confidence=confidence, attack_score=attack_score, variant=variant)


def values_of(
    f: Facts, attack: Attacked, *, subject: str, confidence: float, attack_score: str = "margin", variant: str = "pairwise"
) -> tuple[MetricValue, ...]:
    """As ``measure`` from facts and attack results made before."""
    if variant not in VARIANTS:
        raise InputError(f"unknown variant {variant!r}: known are {', '.join(VARIANTS)}")
    return tuple(_values(f, attack, subject, confidence, attack_score, variant))


def _values(f: Facts, attack: Attacked, subject: str, confidence: float, score: str, variant: str) -> Iterator[MetricValue]:
    found = [
        *performance(f, subject=subject, confidence=confidence),
        *fairness(f, subject=subject, confidence=confidence, variant=variant),
        *privacy(f, attack, subject=subject, confidence=confidence, attack_score=score),
        *exposure(f, subject=subject, confidence=confidence, attack_score=score),
        *added(f, subject=subject, confidence=confidence),
    ]
    yield from (v for v in found if v.group is None)
    yield from (v for v in found if v.group is not None)
