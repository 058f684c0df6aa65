"""Sufficient statistics, and the confidence intervals that follow from them alone."""

from grmu_audit.intervals.areas import Area, AreaChange, AreaGap
from grmu_audit.intervals.combined import Closeness, Difference, Largest, Least, Mean, SharedDifference, ShareOfGain
from grmu_audit.intervals.design_effects import design_effect
from grmu_audit.intervals.gaps import Gap, GapChange, MinimumChange
from grmu_audit.intervals.operating_points import AtThreshold, RateAtThreshold
from grmu_audit.intervals.proportions import Minimum, PairedCounts, Proportion
from grmu_audit.intervals.ratio import RateRatio, Ratio, Spread
from grmu_audit.intervals.replicates import Replicated
from grmu_audit.intervals.statistic import Limits, Statistic

__all__ = [
    "Area",
    "AreaChange",
    "AreaGap",
    "AtThreshold",
    "Closeness",
    "Difference",
    "Gap",
    "GapChange",
    "Largest",
    "Least",
    "Limits",
    "Mean",
    "Minimum",
    "MinimumChange",
    "PairedCounts",
    "Proportion",
    "RateAtThreshold",
    "RateRatio",
    "Ratio",
    "Replicated",
    "ShareOfGain",
    "SharedDifference",
    "Spread",
    "Statistic",
    "design_effect",
]
