"""Attacks that compare a sample with itself in shadow models: RMIA, LiRA, U-LiRA, RULI.  Scores only; see ``shadow_metrics``.

Arrays have one row for each of K shadow models and one column for each of n samples: ``margin`` is log(p_y / (1 - p_y)), after
unlearning where ``forgotten`` (the model was trained on the sample, then unlearned it) and ``unseen`` (it never was) stand beside
it; ``member`` says whether the model was trained on the sample; ``target`` is [n], the attacked model's margins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from grmu_audit.errors import InputError
from grmu_audit.intervals.closed_forms import Floats
from grmu_audit.intervals.proportions import Mask
from grmu_audit.metrics.scores import roc

_Density = Callable[[Floats, Mask, Floats], Floats]
LiraForm = Literal["offline", "online, one variance", "online"]
LIRA_FORMS: tuple[LiraForm, ...] = get_args(LiraForm)
"""Forms of LiRA, the one with the fewest parameters first."""
MOST_FOR_CHOICE = 2000
"""Samples of the pool that a form is chosen by."""
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
    pooled = _pooled_variance(squares, count)
    own = np.divide(squares, count - 1, out=np.full(len(count), pooled), where=count > 1)
    return Normal(mean, np.full(len(count), pooled) if shared else np.maximum(own, 1e-12))


def _pooled_variance(squares: Floats, count: npt.NDArray[np.int64]) -> float:
    """Variance over all samples, from their sums of squares and numbers of models.

    Raises:
        InputError: no sample has two models.
    """
    freedom = int(np.maximum(count - 1, 0).sum())
    if not freedom:
        raise InputError("shadow attacks need two models with and two without each sample: train more shadow models")
    return max(float(squares.sum()) / freedom, 1e-12)


def lira(margin: Floats, member: Mask, target: Floats, form: LiraForm) -> Floats:
    """LiRA in one of its published forms (Carlini et al. 2022).

    ``offline``: (phi - mu_out) / sigma_out with one sigma_out for all samples.  ``online, one variance``: log N(phi; mu_in,
    var_in) - log N(phi; mu_out, var_out) with one variance a side.  ``online``: the same with variances per sample.

    Returns:
        [n] larger where the sample looks like a member; NaN where a sample lacks models that the form needs.
    """
    outside = normal(margin, ~member, shared=form != "online")
    if form == "offline":
        result: Floats = (target - outside.mean) / np.sqrt(outside.variance)
        return result
    return normal(margin, member, shared=form != "online").log_density(target) - outside.log_density(target)


def lira_areas(margin: Floats, member: Mask) -> dict[LiraForm, float]:
    """How well each form of LiRA does on the pool itself: mean area over its models, each attacked with all others.

    Which form is best depends on the number of models and on the data, so that no number of models decides it beforehand.

    Args:
        margin: [K, n].
        member: [K, n].

    Returns:
        Mean area by form, from at most ``MOST_FOR_CHOICE`` samples spread evenly; NaN where no model can be attacked.
    """
    columns = np.unique(np.linspace(0, margin.shape[1] - 1, MOST_FOR_CHOICE).astype(np.int64))
    margin, member, sums = margin[:, columns], member[:, columns], dict.fromkeys(LIRA_FORMS, 0.0)
    models = [k for k in range(len(margin)) if member[k].any() and not member[k].all()]
    for k in models:
        rest = np.arange(len(margin)) != k
        for form in LIRA_FORMS:
            sums[form] += _known_area(lira(margin[rest], member[rest], margin[k], form), member[k])
    return {form: total / len(models) if models else math.nan for form, total in sums.items()}


def best_form(areas: Mapping[Any, float]) -> Any:
    """The form of the largest area, the first of equal ones; the first where none is known."""
    return max(areas, key=lambda form: areas[form] if math.isfinite(areas[form]) else -math.inf)


def _known_area(score: Floats, positive: Mask) -> float:
    """Area over the samples with a score; 0.5 where one side has none."""
    known = np.isfinite(score)
    one, other = score[known & positive], score[known & ~positive]
    return roc(one, other, np.ones(len(other))).value if len(one) and len(other) else 0.5


def rmia(margin: Floats, member: Mask, target: Floats, population: Mask) -> Floats:
    """RMIA: share of population samples z that the sample beats by ``GAMMA`` in p_target / p_average (Zarifzadeh et al. 2024).

    ratio(x) = p_target(x) / (mean of p over models with x + mean over models without) x 2;
    score = share of z with ratio(x) / ratio(z) > ``GAMMA``.  ``population`` is [n], the samples z: neither judged nor members of
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
    result: Floats = np.searchsorted(ladder, ratio / GAMMA, side="left") / len(ladder)
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

    score = log N(phi; unlearned) - log N(phi; never seen), normal densities per sample from all other models.  Variances are one
    a side or per sample: for each model, what does better on average on the other models (``ulira_forms``).
    """
    games = {shared: _left_out(margin, forgotten, unseen, _normal_density(shared=shared)) for shared in (True, False)}
    chosen = np.array(ulira_forms(games, len(margin)), dtype=bool)
    rows = {shared: chosen[game.model] == shared for shared, game in games.items()}
    order = np.argsort(np.concatenate([games[shared].model[kept] for shared, kept in rows.items()]), kind="stable")

    def join(name: str) -> Any:
        """A column of each model from the game of its form, models in order."""
        return np.concatenate([getattr(games[shared], name)[kept] for shared, kept in rows.items()])[order]

    return MembershipGame(join("score"), join("forgotten"), join("sample"), join("model"))


def ulira_forms(games: Mapping[bool, MembershipGame], models: int) -> list[bool]:
    """[models] whether one variance serves all samples when that model is attacked: chosen on all other models alone."""
    areas = {
        shared: np.array([_known_area(part.score, part.forgotten) for part in (_of_model(game, k) for k in range(models))])
        for shared, game in games.items()
    }
    total = {shared: found.sum() for shared, found in areas.items()}
    return [bool(total[True] - areas[True][k] >= total[False] - areas[False][k]) for k in range(models)]


def _normal_density(*, shared: bool) -> _Density:
    return lambda rest, kind, value: normal(rest, kind, shared=shared).log_density(value)


def _of_model(game: MembershipGame, model: int) -> MembershipGame:
    rows = game.model == model
    return MembershipGame(game.score[rows], game.forgotten[rows], game.sample[rows], game.model[rows])


def ruli(margin: Floats, forgotten: Mask, unseen: Mask) -> MembershipGame:
    """RULI's efficacy attack: as U-LiRA, with kernel densities per sample (Naderloui et al. 2025).

    The bandwidth is Silverman's for the pooled spread of the sample's margins (the authors' fixed 1.0 is coarse).
    """
    return _left_out(margin, forgotten, unseen, _kernel)


def population_attack(margin: Floats, forgotten: Mask, unseen: Mask) -> MembershipGame:
    """The same pairs attacked with one threshold on the margin for all samples: what needs no shadow model."""
    return _left_out(margin, forgotten, unseen, None)


def _left_out(margin: Floats, forgotten: Mask, unseen: Mask, density: _Density | None) -> MembershipGame:
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
    """[n] log of a Gaussian kernel density per sample; NaN where there is no model of the kind.

    Raises:
        InputError: no sample has two models of the kind.
    """
    count = kind.sum(axis=0)
    mean = np.where(kind, rest, 0.0).sum(0) / np.maximum(count, 1)
    squares = (np.where(kind, rest - mean, 0.0) ** 2).sum(0)
    width = 1.06 * np.sqrt(_pooled_variance(squares, count)) * np.maximum(count, 1) ** -0.2
    away = np.where(kind, -0.5 * ((value - rest) / width) ** 2 - np.log(width * np.sqrt(2 * np.pi)), -np.inf)
    top = away.max(axis=0)
    total = np.exp(away - np.where(np.isfinite(top), top, 0.0)).sum(axis=0)
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
