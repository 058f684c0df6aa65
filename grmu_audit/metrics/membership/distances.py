"""Distances between the outputs of many unlearned and many retrained models: the forgetting epsilon and KLOM."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from grmu_audit.intervals.closed_forms import Floats, clopper_pearson

DELTA = 1e-5
Rule = tuple[float, float, bool]
"""An open interval, and whether a margin inside of it is called "unlearned" (True) or "retrained" (False)."""
CAP = 50.0
"""Largest epsilon per sample."""
_BINS = 20


@dataclass(frozen=True)
class Epsilon:
    """How far apart one sample's outputs of unlearned and retrained models are."""

    plug_in: float
    """Largest epsilon over all threshold rules; biased upwards, in [0, 50]."""
    lower: float
    """Lower confidence bound: the rule is chosen on one half of the models, its error rates bounded on the other."""


def forgetting_epsilon(unlearned: Floats, retrained: Floats, *, delta: float = DELTA, confidence: float = 0.95) -> Epsilon:
    """Epsilon of the NeurIPS 2023 unlearning challenge for one sample (Triantafillou et al. 2024, arXiv 2406.09073).

    For every rule that distinguishes the two by one threshold (from either side), or by an interval around the median of one
    side, inside of which it names that side, with error rates FPR and FNR:
    epsilon = max(0, log(1 - delta - FPR) - log FNR, log(1 - delta - FNR) - log FPR).  Rules
    with one rate of 0 are left out; perfect separation counts as 50.

    Args:
        unlearned: [N] margins of the sample in unlearned models.
        retrained: [M] margins in models that never saw it.
        delta: allowed failure probability.
        confidence: of the lower bound (Clopper-Pearson on both error rates).
    """
    rules = _rules(unlearned, retrained)
    plug_in = max((_epsilon(*_errors(rule, unlearned, retrained), delta) for rule in rules), default=0.0)
    return Epsilon(plug_in, _lower(unlearned, retrained, delta, confidence))


def _rules(unlearned: Floats, retrained: Floats) -> list[Rule]:
    """Half-lines at every midpoint, and spans around the median of each side, with edges between the margins."""
    values = np.unique(np.concatenate([unlearned, retrained]))
    cuts = (values[1:] + values[:-1]) / 2
    rules = [(float(cut), math.inf, True) for cut in cuts] + [(-math.inf, float(cut), True) for cut in cuts]
    for side, says in ((unlearned, True), (retrained, False)):
        middle = float(np.median(side))
        away = np.unique(np.abs(values - middle))
        rules += [(middle - float(r), middle + float(r), says) for r in (away[1:] + away[:-1]) / 2]
    return rules


def _errors(rule: Rule, unlearned: Floats, retrained: Floats) -> tuple[float, float]:
    """False positives among the retrained, false negatives among the unlearned, as rates."""
    low, high, says = rule
    inside = [float(((x > low) & (x < high)).mean()) for x in (unlearned, retrained)]
    return (inside[1], 1 - inside[0]) if says else (1 - inside[1], inside[0])


def _epsilon(fpr: float, fnr: float, delta: float) -> float:
    if fpr == 0 and fnr == 0:
        return CAP
    if fpr == 0 or fnr == 0:
        return 0.0
    return min(_bound(fpr, fnr, delta), CAP)


def _bound(fpr: float, fnr: float, delta: float) -> float:
    """The larger of the two log ratios, at least 0; rates above 0."""
    ratios = [math.log(1 - delta - a) - math.log(b) for a, b in ((fpr, fnr), (fnr, fpr)) if 1 - delta - a > 0]
    return max([0.0, *ratios])


def _lower(unlearned: Floats, retrained: Floats, delta: float, confidence: float) -> float:
    seen, held = (unlearned[::2], retrained[::2]), (unlearned[1::2], retrained[1::2])
    if not (len(held[0]) and len(held[1])):
        return 0.0
    rules = _rules(*seen)
    if not rules:
        return 0.0
    rule = min(rules, key=lambda r: sum(_errors(r, *seen)))
    rates = _errors(rule, *held)
    uppers = []
    for rate, side in zip(rates, (held[1], held[0]), strict=True):
        n = len(side)
        uppers.append(clopper_pearson(round(rate * n), n, confidence)[1])
    return min(_bound(uppers[0], uppers[1], delta), CAP) if min(uppers) > 0 else 0.0


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


def klom(unlearned: Floats, retrained: Floats) -> float:
    """KL divergence of margin histograms, unlearned from retrained, for one sample (Georgiev et al. 2024).

    20 equal bins over the joint range, margins clipped to 100, 1e-5 added to every bin, in nats.

    Args:
        unlearned: [N] margins of the sample in unlearned models.
        retrained: [M] margins in models that never saw it.

    >>> klom(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    0.0
    """
    both = [np.clip(x, -100.0, 100.0) for x in (unlearned, retrained)]
    low, high = min(x.min() for x in both), max(x.max() for x in both)
    if not high > low:
        return 0.0
    shares = [np.histogram(x, bins=_BINS, range=(low, high))[0] / len(x) + 1e-5 for x in both]
    p, q = (share / share.sum() for share in shares)
    return float((p * np.log(p / q)).sum())
