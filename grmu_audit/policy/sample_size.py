"""How many samples would decide a rule that the present ones leave open."""

from __future__ import annotations

import math

from grmu_audit.intervals import Statistic
from grmu_audit.metrics.catalog import CATALOG
from grmu_audit.policy.wording import group_list, suppressed_count
from grmu_audit.records import Decision, MetricValue

_MOST = 1e7
_REACHABLE = 10.0
"""How many times the samples that there are somebody may still gather."""
_MIXED = ("MIA_AUC", "UA_GA_GAP", "AVG_GAP", "RETAIN_AUC")
_OTHERWISE = "a version further from the bound would (other settings, another method), or a policy with another bound"
"""What decides where samples do not."""


def decide(low: float, high: float, region: tuple[float, float]) -> Decision:
    """PASS if [low, high] is inside the region, BREACH if it is outside, else INCONCLUSIVE.

    >>> decide(0.1, 0.2, (0.0, 0.25)).value, decide(0.3, 0.4, (0.0, 0.25)).value, decide(0.2, 0.3, (0.0, 0.25)).value
    ('PASS', 'BREACH', 'INCONCLUSIVE')
    """
    if low >= region[0] and high <= region[1]:
        return Decision.PASS
    if low > region[1] or high < region[0]:
        return Decision.BREACH
    return Decision.INCONCLUSIVE


def sample_factor(statistic: Statistic, region: tuple[float, float], alpha: float) -> float | None:
    """The smallest factor on all counts that decides at the present estimate; None where ten million times do not."""
    if not _decides(statistic, region, alpha, _MOST):
        return None
    low, high = 1.0, 2.0
    while not _decides(statistic, region, alpha, high):
        low, high = high, high * 2
    while high / low > 1.001:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if _decides(statistic, region, alpha, middle) else (middle, high)
    return high


def _decides(statistic: Statistic, region: tuple[float, float], alpha: float, factor: float) -> bool:
    found = statistic.scaled(factor).limits(alpha)
    return found is not None and decide(*found, region) is not Decision.INCONCLUSIVE


def samples_needed(value: MetricValue, region: tuple[float, float], alpha: float) -> str:
    """In words: how many samples of which part and group would decide, at the present estimate."""
    if value.statistic is None:
        return "the sufficient statistic is not recorded, so that the number of samples cannot be computed"
    factor = sample_factor(value.statistic, region, alpha)
    if factor is None:
        return f"no number of samples would decide at the present estimate: it lies on the bound; {_OTHERWISE}"
    if factor > _REACHABLE:
        return f"more samples will not decide it: at the present estimate it takes over ten times those there are; {_OTHERWISE}"
    have = value.cell_size
    want = max(math.ceil(have * factor), have + 1)
    people = (
        ""
        if not value.subjects
        else f" (about {math.ceil(value.subjects * factor):,} people in all; now {suppressed_count(value.subjects)})"
    )
    return f"about {want:,} {_samples(value)} instead of {suppressed_count(have)}{people} would decide, at the present estimate"


def deciding_split(value: MetricValue) -> str:
    """The split that the smallest cell of a value lies in."""
    if value.name in _MIXED:
        return "test" if value.smallest_group else "forget"
    return CATALOG[value.name].part


def _samples(value: MetricValue) -> str:
    part = f"{deciding_split(value)} samples"
    if cell := value.details.get("smallest_cell"):
        return f"{part} of {cell}, the smallest cell, and as many times more of the others,"
    if value.smallest_group is None:
        return part
    group = group_list((value.smallest_group,))
    if value.name in ("WG", "EO", "DP", "EP", *_MIXED):
        return f"{part} of {group}, the smallest cell, and as many times more of the others,"
    return f"{part} of {group}"
