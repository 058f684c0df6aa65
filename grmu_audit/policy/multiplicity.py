"""How the error of a policy is shared among its rules."""

from __future__ import annotations

from collections.abc import Sequence

from grmu_audit.intervals import Statistic
from grmu_audit.policy.sample_size import decide
from grmu_audit.records import Decision

_SMALLEST = 1e-12


def rule_alpha(confidence: float, multiplicity: str, family: int) -> float:
    """Alpha of each shown interval: (1 - confidence) / family, or 1 - confidence alone for ``none``."""
    return (1 - confidence) / (1 if multiplicity == "none" else family)


def p_value(statistic: Statistic, region: tuple[float, float]) -> tuple[float, Decision]:
    """The smallest alpha at which the interval decides, and what it then says; (1, INCONCLUSIVE) where none does.

    The two-sided interval at alpha decides in one direction only, so this is twice the one-sided p-value.
    """
    high = 1.0 - 1e-9
    if _says(statistic, region, high) is Decision.INCONCLUSIVE:
        return 1.0, Decision.INCONCLUSIVE
    low = _SMALLEST
    if _says(statistic, region, low) is not Decision.INCONCLUSIVE:
        return low, _says(statistic, region, low)
    while high / low > 1.0001:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if _says(statistic, region, middle) is Decision.INCONCLUSIVE else (low, middle)
    return high, _says(statistic, region, high)


def _says(statistic: Statistic, region: tuple[float, float], alpha: float) -> Decision:
    found = statistic.limits(alpha)
    return Decision.INCONCLUSIVE if found is None else decide(*found, region)


def holm_decides(rules: Sequence[tuple[Statistic, tuple[float, float]]], alpha: float, family: int) -> list[Decision]:
    """Holm's step-down over the rules of a family.

    Args:
        rules: statistic and allowed region of every rule that can be tested.
        alpha: family-wise error.
        family: number of rules of the family, those that cannot be tested included.

    Returns:
        The decision of each rule, in the order given.

    Source: Holm (1979), Scand. J. Stat. 6.
    """
    tested = [p_value(statistic, region) for statistic, region in rules]
    decisions = [Decision.INCONCLUSIVE] * len(tested)
    for rank, index in enumerate(sorted(range(len(tested)), key=lambda i: tested[i][0])):
        p, decision = tested[index]
        if not p <= alpha / (family - rank):
            break
        decisions[index] = decision
    return decisions
