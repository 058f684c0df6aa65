"""Distances between the outputs of many unlearned and many reference models: the forgetting epsilon and KLOM.

Both are maxima or logarithms of small counts, so that two samples of the same distribution are far apart, too.  ``Null`` holds
what they read when models change sides at random; the mean of that is subtracted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from grmu_audit.intervals.closed_forms import Floats, clopper_pearson
from grmu_audit.intervals.proportions import Mask

DELTA = 1e-5
"""Failure probability that an epsilon allows."""
CAP = 50.0
"""Largest epsilon per sample."""
_BINS = 20


@dataclass(frozen=True)
class Sides:
    """Margins of n samples in K models, each model on one side of a sample or on none.

    Args:
        margin: [K, n] margins, finite where a model is on a side.
        unlearned: [K, n] models that unlearned the sample.
        reference: [K, n] models that never saw it.
    """

    margin: Floats
    unlearned: Mask
    reference: Mask

    def known(self) -> Sides:
        """The samples with two models on either side."""
        return self[:, (self.unlearned.sum(0) > 1) & (self.reference.sum(0) > 1)]

    def __getitem__(self, part: Any) -> Sides:
        """Some models and samples."""
        return Sides(self.margin[part], self.unlearned[part], self.reference[part])

    def shuffled(self, rng: np.random.Generator) -> Sides:
        """The rows of margins given to the models at random, all samples of a row together; a model keeps its sides."""
        order = rng.permutation(len(self.margin))
        there = self.unlearned | self.reference
        margin = np.where(there, self.margin, np.nan)[order]
        return Sides(margin, self.unlearned & np.isfinite(margin), self.reference & np.isfinite(margin))


@dataclass(frozen=True)
class _Rules:
    """Rules that distinguish two sides: an open interval, inside of which a model is called "unlearned" or "reference"."""

    low: Floats
    """[rules, n] lower ends; rules that are none have error rates of nan."""
    high: Floats
    """[rules, n] upper ends."""
    says_unlearned: Mask
    """[rules] what a model inside is called."""
    fpr: Floats
    """[rules, n] share of reference models that are called unlearned."""
    fnr: Floats
    """[rules, n] share of unlearned models that are called reference."""


def forgetting_epsilons(sides: Sides, *, delta: float = DELTA) -> Floats:
    """Epsilon of the NeurIPS 2023 unlearning challenge for each sample (Triantafillou et al. 2024, arXiv 2406.09073).

    For every rule that distinguishes the two sides by one threshold (from either side), or by an interval around the median of
    one side, inside of which it names that side, with error rates FPR and FNR:
    epsilon = max(0, log(1 - delta - FPR) - log FNR, log(1 - delta - FNR) - log FPR).  Rules
    with one rate of 0 are left out; perfect separation counts as 50.

    Args:
        sides: margins of n samples in K models.
        delta: allowed failure probability.

    Returns:
        [n] largest epsilon over all rules, in [0, 50]; biased upwards.  0 for a sample without models on both sides.

    >>> first = np.array([[True], [True], [False], [False]])
    >>> forgetting_epsilons(Sides(np.array([[0.0], [1.0], [5.0], [6.0]]), first, ~first)).tolist()
    [50.0]
    """
    best = np.zeros(sides.margin.shape[1])
    for rules in _rules(sides):
        best = np.maximum(best, _epsilon(rules.fpr, rules.fnr, delta).max(0, initial=0.0))
    return best


def lower_bounds(sides: Sides) -> Floats:
    """[n] lower 95 % confidence bounds of each sample's epsilon, in [0, 50].

    The rule with the least errors on one half of the models is tried on the other half, where both error rates get an upper
    Clopper-Pearson limit.

    Args:
        sides: margins of n samples in K models.
    """
    halves = [_every_other(sides, start) for start in (0, 1)]
    rules = list(_rules(halves[0]))
    low, high, fpr, fnr = (np.concatenate([getattr(part, name) for part in rules]) for name in ("low", "high", "fpr", "fnr"))
    says = np.concatenate([part.says_unlearned for part in rules])
    errors = np.where(np.isfinite(fpr + fnr), fpr + fnr, np.inf)
    if not len(errors):
        return np.zeros(sides.margin.shape[1])
    best = errors.argmin(0)
    columns = np.arange(len(best))
    ends = np.stack([low[best, columns], high[best, columns], says[best]])
    return _bounds_on(halves[1], ends, np.isfinite(errors[best, columns]))


def _every_other(sides: Sides, start: int) -> Sides:
    """Every second model of each side, sample by sample."""
    parts = [side & ((np.cumsum(side, 0) - 1) % 2 == start) for side in (sides.unlearned, sides.reference)]
    return Sides(sides.margin, *parts)


def _bounds_on(held: Sides, ends: Floats, known: Mask) -> Floats:
    """Bounds from the errors of one rule a sample."""
    low, high, says = ends
    inside = (held.margin > low) & (held.margin < high)
    called = np.where(says > 0, inside, ~inside)
    wrong = (called & held.reference).sum(0), (~called & held.unlearned).sum(0)
    sizes = held.reference.sum(0), held.unlearned.sum(0)
    found = np.zeros(len(low))
    for column in np.flatnonzero(known & (sizes[0] > 0) & (sizes[1] > 0)):
        upper = [clopper_pearson(int(w[column]), int(n[column]))[1] for w, n in zip(wrong, sizes, strict=True)]
        found[column] = float(_epsilon(np.array(upper[0]), np.array(upper[1]), DELTA)) if min(upper) > 0 else 0.0
    return found


def _epsilon(fpr: Floats, fnr: Floats, delta: float) -> Floats:
    """The larger of the two log ratios, in [0, 50]; 50 where both rates are 0, 0 where one is or where a rate is nan."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = [np.log(1 - delta - a) - np.log(b) for a, b in ((fpr, fnr), (fnr, fpr))]
        found = np.fmax(np.fmax(ratios[0], ratios[1]), 0.0)
    one_is_zero = ((fpr == 0) | (fnr == 0)) & (fpr != fnr)
    found = np.where(one_is_zero | ~np.isfinite(fpr + fnr), 0.0, np.minimum(found, CAP))
    return np.where((fpr == 0) & (fnr == 0), CAP, found)


def _rules(sides: Sides) -> Iterator[_Rules]:
    """Half-lines at every midpoint, and intervals around the median of each side, with edges between the margins."""
    there = sides.unlearned | sides.reference
    cuts, inside = _counts(np.where(there, sides.margin, np.nan), sides)
    ends, above = np.full_like(cuts, np.inf), (sides.unlearned.sum(0) - inside[0], sides.reference.sum(0) - inside[1])
    yield _rates(sides, (cuts, ends), above, says_unlearned=True)
    yield _rates(sides, (-ends, cuts), inside, says_unlearned=True)
    for side, says in ((sides.unlearned, True), (sides.reference, False)):
        middle = np.ma.median(np.ma.array(sides.margin, mask=~side), axis=0).filled(0.0)  # type: ignore[no-untyped-call]
        radius, inside = _counts(np.where(there, np.abs(sides.margin - middle), np.nan), sides)
        yield _rates(sides, (middle - radius, middle + radius), inside, says_unlearned=says)


def _both(sides: Sides) -> tuple[Mask, Mask]:
    return sides.unlearned, sides.reference


def _counts(values: Floats, sides: Sides) -> tuple[Floats, tuple[Floats, Floats]]:
    """[K - 1, n] cuts between successive values, and how many of each side lie below; nan where values are equal or missing."""
    order = np.argsort(values, 0)  # nan comes last
    ordered = np.take_along_axis(values, order, 0)
    below = [np.cumsum(np.take_along_axis(side, order, 0), 0)[:-1].astype(np.float64) for side in _both(sides)]
    cuts = np.where(ordered[1:] > ordered[:-1], (ordered[1:] + ordered[:-1]) / 2, np.nan)
    return cuts, (below[0], below[1])


def _rates(sides: Sides, ends: tuple[Floats, Floats], inside: tuple[Floats, Floats], *, says_unlearned: bool) -> _Rules:
    with np.errstate(divide="ignore", invalid="ignore"):
        hit, alarm = inside[0] / sides.unlearned.sum(0), inside[1] / sides.reference.sum(0)
    none = np.isnan(ends[0]) | np.isnan(ends[1])
    rates = (alarm, 1 - hit) if says_unlearned else (1 - alarm, hit)
    fpr, fnr = (np.where(none, np.nan, rate) for rate in rates)
    return _Rules(*ends, np.full(len(none), says_unlearned), fpr, fnr)


def forgetting_score(epsilons: Floats, models: int) -> float:
    """The challenge's forgetting quality: the mean over samples of 2^-bin, bins of width 0.5, 0 beyond the resolution.

    Args:
        epsilons: [n] plug-in epsilons.
        models: models per side; the largest finite epsilon that they resolve is about log(models - 1).

    >>> forgetting_score(np.array([0.0, 0.6, 50.0]), 512)
    0.5
    """
    bins = np.floor(epsilons / 0.5)
    most = 2 * math.ceil(math.log(max(models - 1, 2)))
    return float(np.where(bins < most, 0.5**bins, 0.0).mean())


def klom(sides: Sides) -> Floats:
    """KL divergence of margin histograms, unlearned from reference models, for each sample (Georgiev et al. 2024).

    20 equal bins over the joint range, margins clipped to 100, 1e-5 added to every bin, in nats.

    Args:
        sides: margins of n samples in K models.

    Returns:
        [n] divergences, 0 where all margins are equal.

    >>> klom(Sides(np.array([[0.0], [1.0]]), np.ones((2, 1), bool), np.ones((2, 1), bool))).tolist()
    [0.0]
    """
    margin, there = np.clip(sides.margin, -100.0, 100.0), sides.unlearned | sides.reference
    low, high = (pick(np.where(there, margin, other), axis=0) for pick, other in ((np.min, np.inf), (np.max, -np.inf)))
    width = np.where(high > low, high - low, 1.0)
    place = np.clip(((np.where(there, margin, low) - low) / width * _BINS).astype(np.int64), 0, _BINS - 1)
    columns = np.broadcast_to(np.arange(margin.shape[1]), margin.shape)
    shares = []
    for side in _both(sides):
        count = np.zeros((_BINS, margin.shape[1]))
        np.add.at(count, (place[side], columns[side]), 1.0)
        share = count / np.maximum(side.sum(0), 1) + 1e-5
        shares.append(share / share.sum(0))
    p, q = shares
    return np.where(high > low, (p * np.log(p / q)).sum(0), 0.0)


@dataclass(frozen=True)
class Null:
    """What a statistic reads where there is nothing to find."""

    mean: float
    """Its mean when models change sides at random."""
    sd: float
    """Its standard deviation then."""


def null_of(statistic: Callable[[Sides], float], sides: Sides, rng: np.random.Generator, repeats: int = 100) -> Null:
    """Permute the models and measure again.

    Args:
        statistic: of margins and sides.
        sides: as measured.
        rng: samples the permutations.
        repeats: number of permutations.
    """
    found = np.array([statistic(sides.shuffled(rng)) for _ in range(repeats)])
    return Null(float(found.mean()), float(found.std(ddof=1)))
