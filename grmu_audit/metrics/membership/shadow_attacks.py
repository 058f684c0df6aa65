"""Attacks that compare a sample with itself in shadow models: RMIA, LiRA, U-LiRA, RULI.  Scores only; see ``shadow_metrics``.

Arrays have one row for each of K shadow models and one column for each of n samples: ``margin`` is log(p_y / (1 - p_y)), after
unlearning where ``forgotten`` (the model was trained on the sample, then unlearned it) and ``unseen`` (it never was) stand beside
it; ``member`` says whether the model was trained on the sample; ``target`` is [n], the attacked model's margins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from grmu_audit.errors import InputError
from grmu_audit.intervals.closed_forms import Floats

Mask = npt.NDArray[np.bool_]
SHARED_BELOW = 64
"""Models below which one variance is taken for all samples instead of one for each, and LiRA is offline."""
GAMMA = 1.0
"""How much more likely than a population sample a sample must be for RMIA to count that comparison."""


@dataclass(frozen=True)
class Normal:
    """Mean and variance of a sample's margin in the models of one kind."""

    mean: Floats
    """[n]."""
    variance: Floats
    """[n]."""

    def log_density(self, value: Floats) -> Floats:
        """[n] log of the normal density."""
        result: Floats = -0.5 * (np.log(2 * np.pi * self.variance) + (value - self.mean) ** 2 / self.variance)
        return result


def normal(margin: Floats, chosen: Mask, *, shared: bool) -> Normal:
    """Fit one kind of models, sample by sample.

    Args:
        margin: [K, n].
        chosen: [K, n] which models are of that kind for the sample.
        shared: one variance for all samples (few models) instead of one for each.

    Returns:
        Mean NaN where a sample has no such model.

    Raises:
        InputError: no sample has two such models.
    """
    count = chosen.sum(axis=0)
    total = np.where(chosen, margin, 0.0).sum(axis=0)
    mean = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
    squares = (np.where(chosen, margin - np.where(count > 0, mean, 0.0), 0.0) ** 2).sum(axis=0)
    freedom = int(np.maximum(count - 1, 0).sum())
    if not freedom:
        raise InputError("shadow attacks need two models with and two without each sample: train more shadow models")
    pooled = max(float(squares.sum()) / freedom, 1e-12)
    own = np.divide(squares, count - 1, out=np.full(len(count), pooled), where=count > 1)
    return Normal(mean, np.full(len(count), pooled) if shared else np.maximum(own, 1e-12))


def lira(margin: Floats, member: Mask, target: Floats) -> Floats:
    """LiRA in one of its two published forms (Carlini et al. 2022).

    From 64 models on the online form: log N(phi; mu_in, var_in) - log N(phi; mu_out, var_out), variances per sample.  With fewer
    the offline form: (phi - mu_out) / sigma_out with one sigma_out for all samples, since means and variances of a handful of
    models with the sample add more noise than information.

    Returns:
        [n] larger where the sample looks like a member.
    """
    few = len(margin) < SHARED_BELOW
    outside = normal(margin, ~member, shared=few)
    if few:
        result: Floats = (target - outside.mean) / np.sqrt(outside.variance)
        return result
    return normal(margin, member, shared=False).log_density(target) - outside.log_density(target)


def rmia(margin: Floats, member: Mask, target: Floats, population: Mask, gamma: float = GAMMA) -> Floats:
    """RMIA: share of population samples z that the sample beats by gamma in p_target / p_average (Zarifzadeh et al. 2024).

    ratio(x) = p_target(x) / (mean of p over models with x + mean over models without) x 2;
    score = share of z with ratio(x) / ratio(z) > gamma.  ``population`` is [n], the samples z: neither judged nor members of
    the target.

    Returns:
        [n] in [0, 1].

    Raises:
        InputError: no population sample.
    """
    if not population.any():
        raise InputError("RMIA needs population samples that the model was not trained on (validation rows)")
    share = sigmoid(margin)
    sides = [np.where(chosen, share, 0.0).sum(0) / np.maximum(chosen.sum(0), 1) for chosen in (member, ~member)]
    average = np.maximum((sides[0] + sides[1]) / 2, 1e-12)
    ratio = sigmoid(target) / average
    ladder = np.sort(ratio[population])
    result: Floats = np.searchsorted(ladder, ratio / gamma, side="left") / len(ladder)
    return result


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x)), stable."""
    result: Floats = 0.5 * (1 + np.tanh(x / 2))
    return result


@dataclass(frozen=True)
class MembershipGame:
    """Samples of the forget set in shadow models: unlearned or never seen."""

    score: Floats
    """[pairs] larger where the attack says "unlearned"."""
    forgotten: Mask
    """[pairs] the truth."""
    sample: npt.NDArray[np.int64]
    """[pairs] sample of each pair."""
    model: npt.NDArray[np.int64]
    """[pairs] model of each pair."""


def ulira(margin: Floats, forgotten: Mask, unseen: Mask) -> MembershipGame:
    """U-LiRA: each model is attacked with the others (Hayes et al. 2024).

    score = log N(phi; unlearned) - log N(phi; never seen), normal densities per sample from all other models.
    """

    def density(rest: Floats, kind: Mask, value: Floats) -> Floats:
        """Normal density per sample."""
        return normal(rest, kind, shared=len(rest) < SHARED_BELOW).log_density(value)

    return _left_out(margin, forgotten, unseen, density)


def ruli(margin: Floats, forgotten: Mask, unseen: Mask) -> MembershipGame:
    """RULI's efficacy attack: as U-LiRA, with kernel densities per sample (Naderloui et al. 2025).

    The bandwidth is Silverman's for the pooled spread of the sample's margins (the authors' fixed 1.0 is coarse).
    """
    return _left_out(margin, forgotten, unseen, _kernel)


def population_attack(margin: Floats, forgotten: Mask, unseen: Mask) -> MembershipGame:
    """The same pairs attacked with one threshold on the margin for all samples: what needs no shadow model."""
    return _left_out(margin, forgotten, unseen, None)


def _left_out(margin: Floats, forgotten: Mask, unseen: Mask, density: Any) -> MembershipGame:
    scores, truth, samples, models = [], [], [], []
    for k in range(len(margin)):
        rest = np.arange(len(margin)) != k
        queried = np.flatnonzero(forgotten[k] | unseen[k])
        score = margin[k, queried]
        if density is not None:
            sides = [density(margin[rest][:, queried], kind[rest][:, queried], score) for kind in (forgotten, unseen)]
            score = sides[0] - sides[1]
        known = np.isfinite(score)
        scores.append(score[known])
        truth.append(forgotten[k, queried][known])
        samples.append(queried[known])
        models.append(np.full(int(known.sum()), k))
    return MembershipGame(np.concatenate(scores), np.concatenate(truth), np.concatenate(samples), np.concatenate(models))


def _kernel(rest: Floats, kind: Mask, value: Floats) -> Floats:
    """[n] log of a Gaussian kernel density per sample; NaN where there is no model of the kind."""
    count = kind.sum(axis=0)
    mean = np.where(kind, rest, 0.0).sum(0) / np.maximum(count, 1)
    squares = (np.where(kind, rest - mean, 0.0) ** 2).sum(0)
    pooled = np.sqrt(max(float(squares.sum()) / max(int(np.maximum(count - 1, 0).sum()), 1), 1e-12))
    width = 1.06 * pooled * np.maximum(count, 1) ** -0.2
    away = -0.5 * ((value - rest) / width) ** 2 - np.log(width * np.sqrt(2 * np.pi))
    top = np.where(kind, away, -np.inf).max(axis=0)
    total = np.where(kind, np.exp(away - np.where(np.isfinite(top), top, 0.0)), 0.0).sum(axis=0)
    with np.errstate(divide="ignore"):
        result: Floats = np.where(count > 0, top + np.log(total / np.maximum(count, 1)), np.nan)
    return result


def swap_advantages(margin: Floats, forgotten: Mask, unseen: Mask) -> Floats:
    """[K / 2] SWAP advantage of each pair of models on complementary halves (after Li et al. 2024, arXiv 2404.11577).

    Models 2i and 2i + 1 are a pair and see the same forget set split the other way round: what one forgot the other never saw.
    advantage = mean over both of [share called "forgotten" of what was forgotten] - the same of what was never seen;
    a threshold attack that judges samples instead of models scores 0, since each sample is on both sides.  The threshold is
    the best one on all other pairs, so that it is not chosen on what it is judged by.

    Raises:
        InputError: fewer than two pairs.
    """
    pairs = len(margin) // 2
    if pairs < 2:
        raise InputError("the SWAP test needs two pairs of shadow models")
    grid = np.quantile(margin[forgotten | unseen], np.linspace(0.02, 0.98, 49))
    table = np.empty((pairs, len(grid)))
    for i in range(pairs):
        two = slice(2 * i, 2 * i + 2)
        gone, never = margin[two][forgotten[two]], margin[two][unseen[two]]
        table[i] = [(gone > t).mean() - (never > t).mean() for t in grid]
    chosen = []
    for i in range(pairs):
        others = np.delete(table, i, axis=0).mean(axis=0)
        best = int(np.abs(others).argmax())
        chosen.append(np.sign(others[best]) * table[i, best])
    return np.array(chosen)
