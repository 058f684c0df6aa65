"""What the shadow models' attacks find, as values with intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from grmu_audit.errors import InputError
from grmu_audit.intervals.closed_forms import Floats, z_value
from grmu_audit.intervals.replicates import jackknife, student
from grmu_audit.intervals.statistic import Statistic
from grmu_audit.metrics.checked_predictions import Facts, Mask, in_order
from grmu_audit.metrics.membership.distances import forgetting_epsilon, forgetting_score, klom
from grmu_audit.metrics.membership.shadow_attacks import Game, lira, population_attack, rmia, ruli, swap_advantages, ulira
from grmu_audit.metrics.outcome import Basis, defined, undefined
from grmu_audit.metrics.scores import Roc, attack_scores, operating_threshold, roc, standard_error
from grmu_audit.records import Group, MetricValue
from grmu_audit.records.white_box import MIN_SHADOW_MODELS, ShadowTable

OF_MODEL = ("RMIA_AUC", "LIRA_AUC")
"""Attacks on the audited model itself."""
OF_METHOD = ("ULIRA_AUC", "RULI_AUC", "FORGET_EPS", "KLOM_95", "SWAP")
"""Attacks on the method, in shadow models whose truth is known."""
LEAST_DISTANCE = 8
"""Shadow models that distances of distributions need."""
_LOW_RATE = 0.01


def attack_model(f: Facts, table: ShadowTable, *, subject: str, confidence: float) -> Iterator[MetricValue]:
    """``RMIA_AUC`` and ``LIRA_AUC``: does a sample of the forget set look like a member, compared with itself?

    Area under the ROC curve of the attack's score (see ``shadow.rmia``, ``shadow.lira``), forget set against unseen test samples
    of the same groups that the shadow models know from both sides; 0.5 where it cannot tell them apart.  Details: the
    true-positive rate at 1 % false positives, and the number of shadow models.  DeLong's interval: it holds the shadow
    models fixed.  Undefined without forget samples, unseen samples of their groups, or four shadow models.

    Args:
        f: facts of the attacked model.
        table: the pool.
        subject: whose values these are.
        confidence: coverage of the interval.
    """
    scores: dict[str, Callable[[Floats, Mask, Floats, Mask], Floats]] = {
        "RMIA_AUC": rmia,
        "LIRA_AUC": lambda margin, member, target, _: lira(margin, member, target),
    }
    order = in_order(f.predictions.ids, table)
    margin, member, population = table.margin[:, order], table.member[:, order], table.population[order]
    for name, score in scores.items():
        try:
            found = score(margin, member, _target(f), population & f.predictions.mask("val"))
            yield from _areas(f, name, found, population, len(margin), subject=subject, confidence=confidence)
        except InputError as error:
            yield undefined(name, str(error), Basis(0), subject=subject, confidence=confidence)


def _target(f: Facts) -> Floats:
    found = attack_scores(f.predictions)
    if "margin" not in found:
        raise InputError("needs logits or probabilities; they are not given")
    return found["margin"]


def _areas(
    f: Facts, name: str, score: Floats, population: Mask, models: int, *, subject: str, confidence: float
) -> Iterator[MetricValue]:
    if models < MIN_SHADOW_MODELS:
        raise InputError(f"{models} shadow models; {MIN_SHADOW_MODELS} are needed")
    forget, unseen = f.predictions.mask("forget") & population, f.test & population
    codes = np.unique(f.predictions.group[forget])
    for code in [None, *(codes.tolist() if len(codes) > 1 else [])]:
        chosen = np.ones(len(score), dtype=bool) if code is None else f.predictions.group == code
        group = None if code is None else f.group(code)
        yield _area(f, name, score, (forget & chosen, unseen & chosen), group, models, subject=subject, confidence=confidence)


def _area(
    f: Facts,
    name: str,
    score: Floats,
    sides: tuple[Mask, Mask],
    group: Group | None,
    models: int,
    *,
    subject: str,
    confidence: float,
) -> MetricValue:
    positive, negative, weight = _matched(f, *sides)
    if not (positive.any() and negative.any()):
        why = f"no forget sample with unseen samples of its group (forget n = {int(sides[0].sum())})"
        return undefined(name, why, Basis(int(sides[0].sum())), subject=subject, confidence=confidence, group=group)
    curve = roc(score[positive], score[negative], weight)
    counts = {"forget": int(positive.sum()), "unseen": int(negative.sum())}
    persons = None
    if f.predictions.subject is not None:
        persons = np.concatenate([f.predictions.subject[positive], f.predictions.subject[negative]])
    se = standard_error(curve.influence, persons)
    statistic = {"kind": "auc", "value": curve.value, "se": se, "n1": counts["forget"], "n0": counts["unseen"]}
    threshold, _ = operating_threshold(score[negative], weight, _LOW_RATE)
    details = {**counts, "shadow_models": models, "tpr_at_1_percent": float((score[positive] > threshold).mean())}
    basis = Basis(sum(counts.values()), min(counts.values()), group, subjects=f.subjects(positive | negative), details=details)
    return defined(name, statistic, basis, subject=subject, confidence=confidence, group=group)


def _matched(f: Facts, forget: Mask, unseen: Mask) -> tuple[Mask, Mask, Floats]:
    """Forget and unseen samples of shared groups, and weights that give the unseen the forget set's group mix."""
    group, size = f.predictions.group, int(f.predictions.group.max(initial=0)) + 1
    asked, seen = (np.bincount(group[rows], minlength=size) for rows in (forget, unseen))
    shared = (asked > 0) & (seen > 0)
    positive, negative = forget & shared[group], unseen & shared[group]
    return positive, negative, (asked / np.maximum(seen, 1))[group[negative]]


def attack_method(f: Facts, table: ShadowTable, *, subject: str, confidence: float) -> Iterator[MetricValue]:
    """``ULIRA_AUC``, ``RULI_AUC``, ``FORGET_EPS``, ``KLOM_95``, ``SWAP``: what the method leaves, in models whose truth is known.

    Every shadow model forgot those samples of the forget set that it was trained on, by the audited method; the others it
    never saw.  ``ULIRA_AUC``, ``RULI_AUC``: area under the curve of telling the two apart with per-sample densities from all
    other models; details hold the area of one threshold for all samples (the population attack) on the same pairs.
    ``FORGET_EPS``: mean over samples of the plug-in epsilon of the NeurIPS 2023 challenge; details hold the mean of the lower
    confidence bounds, the challenge's forgetting quality and the resolution log(models - 1).  ``KLOM_95``: 95th percentile over
    samples of the KL divergence of margins.  ``SWAP``: mean advantage over pairs of complementary models.  Intervals of
    the last three are taken over pairs of models (jackknife; Student); those of the areas take the larger of the
    standard errors by sample and by model.  Undefined without an unlearned pool of four models.

    Sources: Hayes et al. (2024, arXiv 2403.01218); Naderloui et al. (2025, arXiv 2506.13009); Triantafillou et al. (2024,
    arXiv 2406.09073); Georgiev et al. (2024); Tu et al. (2024, arXiv 2404.11577).
    """
    order = in_order(f.predictions.ids, table)
    forget = f.predictions.mask("forget") & table.population[order]
    if table.unlearned is None or table.forgotten is None or not forget.any() or len(table.margin) < MIN_SHADOW_MODELS:
        why = (
            "no forget sample (n = 0)" if not forget.any() else f"no {MIN_SHADOW_MODELS} shadow models that the method was run on"
        )
        for name in OF_METHOD:
            yield undefined(name, why, Basis(int(forget.sum())), subject=subject, confidence=confidence)
        return
    rows = order[forget]
    margin, gone, never = table.unlearned[:, rows], table.forgotten[:, rows], ~table.member[:, rows]
    shown = {"shadow_models": len(margin), "forget": len(rows)}
    simple = population_attack(margin, gone, never)
    for name, attack in (("ULIRA_AUC", ulira), ("RULI_AUC", ruli)):
        game = attack(margin, gone, never)
        basis = Basis(len(game.score), details={**shown, **_against(game, simple, confidence)})
        yield defined(name, _game_area(game), basis, subject=subject, confidence=confidence)
    if len(margin) < LEAST_DISTANCE:
        for name in ("FORGET_EPS", "KLOM_95"):
            why = f"{len(margin)} shadow models are too few to compare distributions; {LEAST_DISTANCE} are needed"
            yield undefined(name, why, Basis(len(rows), details=shown), subject=subject, confidence=confidence)
    for name, made in _distances(margin, gone, never).items():
        basis = Basis(len(rows), details={**shown, **made[1]})
        yield defined(name, made[0], basis, subject=subject, confidence=confidence)


def _against(game: Game, simple: Game, confidence: float) -> dict[str, object]:
    """Area of the population attack, and how much larger the game's is, with a paired interval."""
    one, other = _curve(game), _curve(simple)
    more = one.value - other.value
    details: dict[str, object] = {"population_auc": other.value, "more_than_population": more}
    if len(game.score) == len(simple.score):
        half = z_value(1 - confidence) * _error(game, one.influence - other.influence)
        details["more_interval"] = [more - half, more + half]
    return details


def _curve(game: Game) -> Roc:
    return roc(game.score[game.forgotten], game.score[~game.forgotten], np.ones(int((~game.forgotten).sum())))


def _error(game: Game, influence: Floats) -> float:
    """Standard error by sample or by model, whichever is larger; influences of the forgotten pairs first."""
    order = np.concatenate([np.flatnonzero(game.forgotten), np.flatnonzero(~game.forgotten)])
    return max(standard_error(influence, cluster[order]) for cluster in (game.sample, game.model))


def _game_area(game: Game) -> Statistic:
    """AUC of the pairs."""
    curve = _curve(game)
    se = _error(game, curve.influence)
    counts = {"n1": int(game.forgotten.sum()), "n0": int((~game.forgotten).sum())}
    return {"kind": "auc", "value": curve.value, "se": se, **counts}


def _distances(margin: Floats, gone: Mask, never: Mask) -> dict[str, tuple[Statistic, dict[str, object]]]:
    advantages = swap_advantages(margin, gone, never)
    se = float(advantages.std(ddof=1) / np.sqrt(len(advantages)))
    swap = student(float(advantages.mean()), se, len(advantages) - 1, low=-1.0, high=1.0)
    found: dict[str, tuple[Statistic, dict[str, object]]] = {"SWAP": (swap, {"pairs": advantages.tolist()})}
    if len(margin) < LEAST_DISTANCE:
        return found
    epsilon, lower = _epsilons(margin, gone, never)
    pairs = len(margin) // 2
    keep = [np.arange(len(margin)) // 2 != pair for pair in range(pairs)]
    left_eps = np.array([_epsilons(margin[k], gone[k], never[k])[0].mean() for k in keep])
    percentile = _klom(margin, gone, never)
    left_klom = np.array([_klom(margin[k], gone[k], never[k]) for k in keep])
    half = np.arange(len(margin)) % 4 < 2
    null = _klom(margin, never & half[:, None], never & ~half[:, None])
    models = int(min(gone.sum(0).min(), never.sum(0).min()))
    quality: dict[str, object] = {
        "lower_bound": float(lower.mean()),
        "quality": forgetting_score(epsilon, models),
        "resolution": float(np.log(max(models - 1, 1))),
    }
    eps = jackknife(float(epsilon.mean()), left_eps, low=0.0, high=50.0)
    return {
        "FORGET_EPS": (eps, quality),
        "KLOM_95": (jackknife(percentile, left_klom, low=0.0), {"never_seen_against_never_seen": null}),
        **found,
    }


def _sides(margin: Floats, gone: Mask, never: Mask) -> Iterator[tuple[Floats, Floats]]:
    """Margins of each sample on both sides, for samples with two of either."""
    for column in range(margin.shape[1]):
        one, other = margin[gone[:, column], column], margin[never[:, column], column]
        if len(one) > 1 and len(other) > 1:
            yield one, other


def _epsilons(margin: Floats, gone: Mask, never: Mask) -> tuple[Floats, Floats]:
    found = [forgetting_epsilon(*sides) for sides in _sides(margin, gone, never)]
    return np.array([e.plug_in for e in found] or [np.nan]), np.array([e.lower for e in found] or [np.nan])


def _klom(margin: Floats, gone: Mask, never: Mask) -> float:
    found: npt.NDArray[np.float64] = np.array([klom(*sides) for sides in _sides(margin, gone, never)] or [np.nan])
    return float(np.percentile(found, 95))
