"""Draws of predictions in which several samples belong to one person, and the metrics on them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from grmu_audit.intervals import Gap, MinimumChange, Statistic
from grmu_audit.intervals.proportions import non_empty
from grmu_audit.metrics import CheckedPredictions
from grmu_audit.metrics.accuracy import accuracy_rows, accuracy_statistic, group_pairs, worst_group
from grmu_audit.metrics.changes import paired_accuracy
from grmu_audit.metrics.checked_predictions import DEFAULTS
from grmu_audit.metrics.fairness import GAPS, gap_change, gap_statistic
from grmu_audit.records import SPLITS, Group, Predictions

EACH = 10
"""Samples of a person."""
CLUSTERINGS = {
    "one cell": "all samples of a person in one cell",
    "shared ability": "in both classes, the person's ability the same in both",
    "opposite bias": "in both classes, the person easy in one and as hard in the other",
}
SHARE = 0.4
"""Share of the latent variance that lies between people."""
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PeopleDraw:
    """Predictions of a candidate and a model before it on the same samples; right where a latent normal number is large."""

    clustering: str
    people: int
    values: int
    rate: float
    shift: float

    def rates(self) -> tuple[Floats, Floats]:
        """[2, values] accuracies of the candidate and of the model before."""
        old = np.full((2, self.values), self.rate)
        new = old.copy()
        new[1, 0] = min(max(self.rate + self.shift, 0.005), 0.995)
        return new, old

    def truths(self) -> dict[str, float]:
        """True values of all metrics."""
        sides = [people_truths(a) for a in self.rates()]
        return sides[0] | {f"{name} change": value - sides[1][name] for name, value in sides[0].items()}

    def predictions(self, rng: np.random.Generator) -> tuple[CheckedPredictions, CheckedPredictions]:
        """One draw."""
        person = np.repeat(np.arange(self.people), EACH)
        place, turn = person % (2 * self.values), np.arange(len(person)) % 2
        attribute = place % self.values if self.clustering == "one cell" else person % self.values
        target = place // self.values if self.clustering == "one cell" else turn
        sign = np.where((target == 0) & (self.clustering == "opposite bias"), -1.0, 1.0)
        own = sign * rng.normal(0, math.sqrt(SHARE), self.people)[person]
        noise = rng.normal(0, math.sqrt(1 - SHARE), (2, len(person)))
        latent = own + noise[0], own + 0.8 * noise[0] + 0.6 * noise[1]
        normal = NormalDist()
        return tuple(  # type: ignore[return-value]
            _checked(target, attribute, number < np.vectorize(normal.inv_cdf)(rates)[target, attribute], person, self.values)
            for number, rates in zip(latent, self.rates(), strict=True)
        )


def _checked(target: Ints, attribute: Ints, right: npt.NDArray[np.bool_], person: Ints, values: int) -> CheckedPredictions:
    """Every sample in the test split; the forgotten group is class 1, value 0."""
    split = np.full(len(target), SPLITS.index("test"))
    predicted = np.where(right, target, 1 - target)
    ids = np.arange(len(target)).astype(str)
    made = Predictions(ids, split, target, attribute, predicted, 2, values, subject=person)
    return CheckedPredictions(made, (Group(1, 0),), DEFAULTS)


def people_truths(right: Floats) -> dict[str, float]:
    """Values of the metrics for [2, values] accuracies."""
    return {
        "GA": float(right[1, 0]),
        "WG": float(right.min()),
        "EO": float(np.ptp(right, axis=1).mean()),
        "EP": float(np.ptp(right[1])),
        "DP": float(np.ptp((right[1] + 1 - right[0]) / 2)),
    }


def people_statistics(candidate: CheckedPredictions, before: CheckedPredictions) -> dict[str, Statistic | None]:
    """GA, WG and the gaps of the candidate, and their changes; None where one is undefined."""
    rows = accuracy_rows(candidate, "GA")
    made: dict[str, Statistic | None] = dict.fromkeys(("GA", "GA change"))
    if rows.any():
        made = {"GA": accuracy_statistic(candidate, "GA", rows), "GA change": paired_accuracy(candidate, before, "GA", rows)}
    minima = [worst_group(side).statistic for side in (candidate, before)]
    pairs = (tuple(non_empty(group_pairs(candidate, before))),)
    made |= {"WG": minima[0], "WG change": MinimumChange(minima[0], minima[1], pairs)}  # type: ignore[arg-type]
    for name in GAPS:
        gaps = [gap_statistic(side, name, "pairwise")[0] for side in (candidate, before)]
        known = all(isinstance(gap, Gap) for gap in gaps)
        made[name] = gaps[0]
        made[f"{name} change"] = gap_change(candidate, before, name, (gaps[0], gaps[1])) if known else None  # type: ignore[arg-type]
    return made
