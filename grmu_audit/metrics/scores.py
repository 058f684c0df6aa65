"""Per-sample scores for membership attacks, and ROC curves of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from grmu_audit.intervals import Area, AreaChange
from grmu_audit.intervals.closed_forms import Floats
from grmu_audit.intervals.design_effects import clustered_cells
from grmu_audit.intervals.operating_points import LEVELS, threshold_ranks
from grmu_audit.intervals.proportions import Persons, count_persons
from grmu_audit.records import Predictions

ATTACK_SCORES = ("loss", "confidence", "entropy", "modified_entropy", "margin", "correctness")
"""Scores of a sample, each larger where the sample looks more like a member."""
_LARGEST_LOSS = 1e30
_BORROWED = 3
"""Times its own degrees of freedom that a side of a curve may take from the other one: the mean of few people is not normal."""


def log_softmax(logits: Floats) -> Floats:
    """[n, classes] log-probabilities, stable for logits of any finite size."""
    shifted = np.clip(logits - logits.max(axis=1, keepdims=True), -_LARGEST_LOSS, 0.0)
    result: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def per_sample_loss(p: Predictions) -> Floats | None:
    """[n] cross-entropy in nats, from the logits where they exist, else as given, else None."""
    if p.logits is None:
        return p.loss
    return -log_softmax(p.logits)[np.arange(len(p)), p.target]


def attack_scores(p: Predictions) -> dict[str, Floats]:
    """Every attack score that the predictions allow.

    ``loss`` = log p_y; ``confidence`` = p_y; ``entropy`` = Σ p log p; ``modified_entropy`` =
    (1-p_y) log p_y + Σ_{k≠y} p_k log(1-p_k); ``margin`` = log p_y - log(1-p_y); ``correctness`` = 1 or 0.

    Returns:
        [n] numbers by name; only ``correctness`` (and ``loss``) where there are no logits.

    Source: Song and Mittal (2021) for the modified entropy; Carlini et al. (2022) for the margin.
    """
    scores: dict[str, Floats] = {"correctness": p.correct.astype(np.float64)}
    if p.logits is None:
        return scores | ({"loss": -p.loss} if p.loss is not None else {})
    log_p = log_softmax(p.logits)
    rows = np.arange(len(p))
    own, others = log_p[rows, p.target], log_p.copy()
    others[rows, p.target] = -np.inf
    rest = _log_sum_exp(others)
    log_not = _log_one_minus(log_p)
    modified = np.exp(log_p) * log_not
    modified[rows, p.target] = 0.0
    scores |= {"loss": own, "confidence": np.exp(own), "entropy": (np.exp(log_p) * log_p).sum(axis=1), "margin": own - rest}
    scores["modified_entropy"] = np.exp(rest) * own + modified.sum(axis=1)
    return scores


def margins(logits: Floats, target: npt.NDArray[np.int64]) -> Floats:
    """[n] log(p_y / (1 - p_y)) from logits, stable: z_y - log sum_{k != y} exp z_k.

    >>> margins(np.array([[0.0, 0.0]]), np.array([1])).tolist()
    [0.0]
    """
    log_p, rows = log_softmax(logits), np.arange(len(logits))
    others = log_p.copy()
    others[rows, target] = -np.inf
    result: Floats = log_p[rows, target] - _log_sum_exp(others)
    return result


def _log_sum_exp(x: Floats) -> Floats:
    """[n] log of the sum of exponentials over columns; a lone class leaves a very small number instead of -inf."""
    top = np.maximum(x.max(axis=1), -_LARGEST_LOSS)
    result: Floats = top + np.log(np.maximum(np.exp(x - top[:, None]).sum(axis=1), np.finfo(np.float64).tiny))
    return result


def _log_one_minus(log_p: Floats) -> Floats:
    """log(1 - exp(x)) for x <= 0, finite also at x = 0."""
    one_minus = np.maximum(-np.expm1(np.minimum(log_p, 0.0)), np.finfo(np.float64).tiny)
    result: Floats = np.log(one_minus)
    return result


@dataclass(frozen=True)
class Roc:
    """Area under a ROC curve with its structural components (DeLong)."""

    value: float
    """P(positive score > negative score) + half the ties, negatives weighted."""
    positive: Floats
    """[n1] influence of each positive on the value."""
    negative: Floats
    """[n0] influence of each negative on the value."""

    @property
    def influence(self) -> Floats:
        """[n1 + n0] influences, positives first."""
        return np.concatenate([self.positive, self.negative])

    def area(self, positive: Persons, negative: Persons) -> Area:
        """The area with its standard error, as it was measured before the limits held for few people and near 1.

        Args:
            positive: [n1] person index or None.
            negative: [n0] person index or None.
        """
        sizes, person = (len(self.positive), len(self.negative)), _persons_of_both(positive, negative)
        return Area(self.value, standard_error(self.influence, person), *sizes, count_persons(person))

    def effective_area(self, positive: Persons, negative: Persons) -> Area:
        """The area with the standard error, the degrees of freedom and the effective samples that its limits rest on.

        Variances of both sides are those of independent samples times a design effect (``clustered_cells``: never below what the
        correlation within people of both sides together gives); degrees of freedom by Satterthwaite, where people are known on
        one side alone: with people on both sides the two variances share that correlation, and their errors add up.

        Args:
            positive: [n1] person index; None: the samples are the unit.
            negative: [n0] person index or None.

        Source: DeLong et al. (1988); Obuchowski (1997) for clustered data; Satterthwaite (1946).
        """
        sides = (self.positive, self.negative)
        effects, known = _side_effects(sides, (positive, negative))
        variances = [float((side**2).sum()) * effect for side, effect in zip(sides, effects, strict=True)]
        shared = _shared_people(sides, (positive, negative))
        pooled = positive is not None and negative is not None
        degrees = _joint_degrees(variances, known, pooled=pooled)
        n1, n0 = map(_independent, sides, effects, (positive, negative))
        se = float(np.sqrt(sum(variances) + max(shared, 0.0)))
        return Area(self.value, se, n1, n0, method="effective", degrees=float(degrees))


def change_of_areas(candidate: Roc, other: Roc, positive: Persons, negative: Persons) -> AreaChange:
    """The candidate's area minus the other model's on the same samples, from paired influences (DeLong).

    Args:
        candidate: its curve.
        other: that of the other model, samples in the same order.
        positive: [n1] person index; None: the samples are the unit.
        negative: [n0] person index or None.
    """
    moved = Roc(candidate.value - other.value, candidate.positive - other.positive, candidate.negative - other.negative)
    one, two, change = (curve.effective_area(positive, negative) for curve in (candidate, other, moved))
    return AreaChange(one, two, change.se, method="effective", degrees=change.degrees)


def normal_change_of_areas(candidate: Roc, other: Roc, positive: Persons, negative: Persons) -> AreaChange:
    """As ``change_of_areas``, as it was measured before the limits held for few people and near 1."""
    one, two = (curve.area(positive, negative) for curve in (candidate, other))
    error = standard_error(candidate.influence - other.influence, _persons_of_both(positive, negative))
    return AreaChange(one, two, error, one.persons)


def _persons_of_both(positive: Persons, negative: Persons) -> Persons:
    """[n1 + n0] person index of both sides, positives first; None where it is not known of both."""
    return None if positive is None or negative is None else np.concatenate([positive, negative])


def _joint_degrees(variances: Sequence[float], degrees: Sequence[float], *, pooled: bool) -> float:
    """Degrees of freedom of a sum of variances, which are estimated apart, or with one error in all of them."""
    errors = [v / math.sqrt(max(k, 1e-3)) for v, k in zip(variances, degrees, strict=True)]
    error = sum(errors) if pooled else math.hypot(*errors)
    return (sum(variances) / error) ** 2 if error > 0 else min(degrees)


def _independent(side: Floats, effect: float, person: Persons) -> float:
    """Independent samples that a side is worth at most.

    With people it is two thirds of what their correlation leaves, but one per person where that is more and the correlation
    leaves as many.  Near 1 few people agree by luck, and seem less correlated than they are.
    """
    left, people = len(side) / effect, count_persons(person)
    return left if people is None else max(left / 1.5, min(left, float(people)))


def _side_effects(sides: tuple[Floats, Floats], people: tuple[Persons, Persons]) -> tuple[list[float], list[float]]:
    """Design effect and degrees of freedom of the variance of each side."""
    effects, degrees = [1.0, 1.0], [max(len(side) - 1.0, 0.0) for side in sides]
    used = [i for i, person in enumerate(people) if person is not None]
    if used:
        values = np.concatenate([sides[i] / max(float(np.sqrt((sides[i] ** 2).mean())), 1e-300) for i in used])
        cell = np.repeat(np.arange(len(used)), [len(sides[i]) for i in used])
        person = np.concatenate([person for person in people if person is not None])
        found, counted = clustered_cells(values, cell, len(used), person)
        for i, effect, persons in zip(used, found.tolist(), counted, strict=True):
            own = (count_persons(people[i]) or 1) - 1
            effects[i], degrees[i] = effect, min((persons or 1) - 1.0, float(_BORROWED * own))
    return effects, degrees


def _shared_people(sides: tuple[Floats, Floats], people: tuple[Persons, Persons]) -> float:
    """Twice the covariance of both sides through people who have samples on both."""
    one, other = people
    if one is None or other is None or not np.isin(one, other).any():
        return 0.0
    dense = np.unique(np.concatenate([one, other]), return_inverse=True)[1]
    sums = [
        np.bincount(part, weights=side, minlength=int(dense.max()) + 1)
        for part, side in zip((dense[: len(one)], dense[len(one) :]), sides, strict=True)
    ]
    return 2 * float((sums[0] * sums[1]).sum())


def roc(positive: Floats, negative: Floats, weight: Floats) -> Roc:
    """Weighted area under the ROC curve.

    Args:
        positive: [n1] scores of the positives, n1 > 0.
        negative: [n0] scores of the negatives, n0 > 0.
        weight: [n0] weights of the negatives, positive sum.

    Source: DeLong, DeLong and Clarke-Pearson (1988), with weights on the negatives.
    """
    share, wins, beaten = weight / weight.sum(), np.empty(len(positive)), np.empty(len(negative))
    up, down = np.argsort(positive), np.argsort(negative, kind="stable")  # searching in order is much faster
    ranked, others = positive[up], negative[down]
    ladder = np.concatenate([[0.0], np.cumsum(share[down])])
    wins[up] = (ladder[np.searchsorted(others, ranked, "left")] + ladder[np.searchsorted(others, ranked, "right")]) / 2
    beaten[down] = 1 - (np.searchsorted(ranked, others, "left") + np.searchsorted(ranked, others, "right")) / (2 * len(ranked))
    value = min(max(float(wins.mean()), 0.0), 1.0)
    return Roc(value, _influence(wins - value, np.full(len(wins), 1 / len(wins))), _influence(beaten - value, share))


def operating_threshold(negative: Floats, weight: Floats, rate: float) -> tuple[float, float]:
    """The lowest threshold that at most ``rate`` of the weighted negatives lie above, and the share that does.

    Equal scores are called together or not at all.

    >>> operating_threshold(np.array([0.1, 0.2, 0.3, 0.4]), np.ones(4), 0.25)
    (0.3, 0.25)
    """
    order = np.argsort(-negative, kind="stable")
    ranked, ladder = negative[order], np.cumsum(weight[order]) / weight.sum()
    above = int(np.searchsorted(ladder, rate + 1e-12, side="right"))
    if above < len(ranked):
        above = int(np.searchsorted(-ranked, -ranked[above], side="left"))
    threshold = float(ranked[above]) if above < len(ranked) else -np.inf
    return threshold, float(ladder[above - 1]) if above else 0.0


def threshold_shares(
    positive: Floats, negative: Floats, weight: Floats, rate: float, effective: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """How many positives lie above the limits of the threshold that ``rate`` of the negatives lie above.

    Args:
        positive: [n1] scores of the positives.
        negative: [n0] scores of the negatives.
        weight: [n0] weights of the negatives.
        rate: false-positive rate.
        effective: independent samples that the weighted negatives are worth.

    Returns:
        At each of ``operating_points.LEVELS`` the share above the upper limit, and the share above the lower one.
    """
    order = np.argsort(-negative, kind="stable")
    ranked, ladder = negative[order], np.cumsum(weight[order]) / weight.sum()
    sorted_positive, size = np.sort(positive), len(positive)
    whole = max(int(effective + 1e-9), 1)  # not decided by the order in which persons were summed

    def above(rank: int) -> float:
        """Share of positives above the negative of that rank."""
        if rank < 1:
            return 0.0
        at = int(np.searchsorted(ladder, rank / whole - 1e-12))
        threshold = ranked[at] if at < len(ranked) else -np.inf
        return float(size - np.searchsorted(sorted_positive, threshold, side="right")) / size

    pairs = [threshold_ranks(whole, rate, level) for level in LEVELS]
    return tuple(above(first) for first, _ in pairs), tuple(above(last) for _, last in pairs)


def _influence(deviation: Floats, share: Floats) -> Floats:
    """Weighted deviations whose squares sum to the variance; m/(m-1) corrects for the estimated mean."""
    m = len(deviation)
    return share * deviation * np.sqrt(m / (m - 1)) if m > 1 else share * np.abs(deviation) + share * 0.5


def standard_error(influence: Floats, person: npt.NDArray[np.int64] | None) -> float:
    """Root of the summed squares of the influences, summed per person first where people are known."""
    if person is not None:
        cluster = np.unique(person, return_inverse=True)[1]
        influence = np.bincount(cluster, weights=influence).astype(np.float64)
    return float(np.sqrt((influence**2).sum()))
