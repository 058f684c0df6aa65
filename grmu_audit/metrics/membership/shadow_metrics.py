"""Metrics of shadow-model attacks, as outcomes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from grmu_audit.errors import InputError
from grmu_audit.intervals import Area, Replicated
from grmu_audit.intervals.closed_forms import Floats, z_value
from grmu_audit.metrics.checked_predictions import CheckedPredictions, Mask, row_positions
from grmu_audit.metrics.membership.distances import (
    Sides,
    forgetting_epsilons,
    forgetting_score,
    klom,
    lower_bounds,
    null_of,
)
from grmu_audit.metrics.membership.exposure import MatchedRows, forget_area
from grmu_audit.metrics.membership.shadow_attacks import (
    LIRA_FORMS,
    MembershipGame,
    best_form,
    lira,
    lira_areas,
    population_attack,
    rmia,
    ruli,
    swap_advantages,
    ulira,
)
from grmu_audit.metrics.outcome import Basis, Outcome
from grmu_audit.metrics.scores import Roc, operating_threshold, roc, standard_error
from grmu_audit.records.white_box import MIN_SHADOW_MODELS, ShadowTable

METHOD_ATTACKS = ("ULIRA_AUC", "RULI_AUC", "FORGET_EPS", "KLOM_95", "SWAP")
"""Attacks on the method, in shadow models whose truth is known."""
MIN_FOR_DISTANCES = 8
"""Shadow models that distances of distributions need."""
_LOW_RATE = 0.01


def attack_audited_model(checked: CheckedPredictions, table: ShadowTable) -> Iterator[Outcome]:
    """``RMIA_AUC`` and ``LIRA_AUC``: does a sample of the forget set look like a member, compared with itself?

    Area under the ROC curve of the attack's score (see ``shadow_attacks``), forget set against unseen test samples
    of the same groups that the shadow models know from both sides; 0.5 where it cannot distinguish them.  Details: the
    true-positive rate at 1 % false positives, and the number of shadow models; for LiRA the form (the one that does best on the
    pool, each model attacked with the others: ``pool_auc``) and the area of every form.  The interval holds the shadow models
    fixed.  Undefined without forget samples, unseen samples of their groups, or four shadow models.

    Args:
        checked: predictions of the attacked model.
        table: the pool.
    """
    order = row_positions(checked.predictions.ids, table)
    margin, member, population = table.margin[:, order], table.member[:, order], table.population[order]
    for name, attack in (("RMIA_AUC", _rmia_scores), ("LIRA_AUC", _lira_scores)):
        try:
            found, details = attack(checked, margin, member, population)
            if len(margin) < MIN_SHADOW_MODELS:
                raise InputError(f"{len(margin)} shadow models; {MIN_SHADOW_MODELS} are needed")
        except InputError as error:
            yield Outcome.missing(name, str(error), Basis(0))
        else:
            for rows, n in _match(checked, population):
                reason = f"no forget sample with unseen samples of its group (forget n = {n})"
                missing = Outcome.missing(name, reason, Basis(n), rows.group)
                yield missing if rows.reason else _area(checked, name, found, rows, details | {"shadow_models": len(margin)})


_Scores = tuple[dict[str, Floats], dict[str, object]]
"""Scores by form, the one that counts first, and details."""


def _rmia_scores(checked: CheckedPredictions, margin: Floats, member: Mask, population: Mask) -> _Scores:
    return {"RMIA": rmia(margin, member, _target(checked), population & checked.predictions.mask("val"))}, {}


def _lira_scores(checked: CheckedPredictions, margin: Floats, member: Mask, population: Mask) -> _Scores:
    """Every form of LiRA, that which does best on the pool first."""
    target, known = _target(checked), np.flatnonzero(population)
    scores: dict[str, Floats] = {form: lira(margin, member, target, form) for form in LIRA_FORMS}
    areas = lira_areas(margin[:, known], member[:, known])
    form = best_form(areas)
    return {form: scores[form], **scores}, {"form": form, "pool_auc": areas}


def _target(checked: CheckedPredictions) -> Floats:
    if "margin" not in checked.scores:
        raise InputError("needs logits or probabilities; they are not given")
    return checked.scores["margin"]


def _match(checked: CheckedPredictions, population: Mask) -> Iterator[tuple[MatchedRows, int]]:
    """Forget and unseen samples of shared groups, weighted to the forget set's group mix, with the number of forget samples;
    then group by group."""
    group = checked.predictions.group
    forget, unseen = checked.predictions.mask("forget") & population, checked.test & population
    size = int(group.max(initial=0)) + 1
    wanted, seen = (np.bincount(group[rows], minlength=size) for rows in (forget, unseen))
    shared = ((wanted > 0) & (seen > 0))[group]
    weight = wanted / np.maximum(seen, 1)
    yield MatchedRows(forget & shared, unseen & shared, weight[group[unseen & shared]]), int(forget.sum())
    codes = np.unique(group[forget]).tolist()
    for code in codes if len(codes) > 1 else []:
        rows = shared & (group == code)
        yield MatchedRows(forget & rows, unseen & rows, weight[group[unseen & rows]], checked.group(code)), int(wanted[code])


def _area(
    checked: CheckedPredictions, name: str, scores: dict[str, Floats], rows: MatchedRows, more: dict[str, object]
) -> Outcome:
    counts = {"forget": int(rows.member.sum()), "unseen": int(rows.unseen.sum())}
    score = next(iter(scores.values()))
    curve = roc(score[rows.member], score[rows.unseen], rows.weight)
    both = rows.member | rows.unseen
    threshold, _ = operating_threshold(score[rows.unseen], rows.weight, _LOW_RATE)
    details = {**counts, **more, "tpr_at_1_percent": float((score[rows.member] > threshold).mean())}
    if len(scores) > 1:
        details["forms"] = {form: roc(s[rows.member], s[rows.unseen], rows.weight).value for form, s in scores.items()}
    basis = Basis(sum(counts.values()), min(counts.values()), rows.group, persons=checked.persons(both), details=details)
    area, these = forget_area(checked, curve, rows.member, rows.unseen)
    return Outcome(name, basis, area, group=rows.group, these_people=these)


def attack_method_on_shadows(checked: CheckedPredictions, table: ShadowTable) -> Iterator[Outcome]:
    """``ULIRA_AUC``, ``RULI_AUC``, ``FORGET_EPS``, ``KLOM_95``, ``SWAP``: what the method leaves, in models whose truth is known.

    Every shadow model forgot those samples of the forget set that it was trained on, by the audited method; the others it
    never saw.  ``ULIRA_AUC``, ``RULI_AUC``: area under the curve of distinguishing the two with per-sample densities from all
    other models; details hold the area of one threshold for all samples (the population attack) on the same pairs.
    ``FORGET_EPS``: mean over samples of the plug-in epsilon of the NeurIPS 2023 challenge; details hold the mean of the lower
    confidence bounds, the challenge's forgetting quality and the resolution log(models - 1).  ``KLOM_95``: 95th percentile over
    samples of the KL divergence of margins.  Both compare unlearned models with models that were trained without the sample and
    unlearned nothing, and both are given less their mean over permutations of the models (details: ``plug_in``, ``null``): 0 is
    what two samples of one distribution give, and an interval that holds 0 decides nothing.  ``SWAP``: mean advantage over
    pairs of complementary models.  Intervals of the last three are taken over pairs of models (jackknife; t), of the distances at
    least as wide as their spread over permutations; those of the areas take the larger of the standard errors by sample and by
    model.  Undefined without an unlearned pool of four models.

    Sources: Hayes et al. (2024, arXiv 2403.01218); Naderloui et al. (2025, arXiv 2506.13009); Triantafillou et al. (2024,
    arXiv 2406.09073); Georgiev et al. (2024); Tu et al. (2024, arXiv 2404.11577).
    """
    order = row_positions(checked.predictions.ids, table)
    forget = checked.predictions.mask("forget") & table.population[order]
    if table.unlearned is None or table.forgotten is None or not forget.any() or len(table.margin) < MIN_SHADOW_MODELS:
        none = f"fewer than {MIN_SHADOW_MODELS} shadow models that the method was run on"
        reason = none if forget.any() else "no forget sample (n = 0)"
        yield from (Outcome.missing(name, reason, Basis(int(forget.sum()))) for name in METHOD_ATTACKS)
        return
    rows = order[forget]
    margin, gone, never = table.unlearned[:, rows], table.forgotten[:, rows], ~table.member[:, rows]
    counts = {"shadow_models": len(margin), "forget": len(rows)}
    simple = population_attack(margin, gone, never)
    for name, attack in (("ULIRA_AUC", ulira), ("RULI_AUC", ruli)):
        try:
            game = attack(margin, gone, never)
        except InputError as error:
            yield Outcome.missing(name, str(error), Basis(len(rows), details=counts))
            continue
        details = {**counts, **_against(game, simple, checked.options.confidence)}
        yield Outcome(name, Basis(len(game.score), details=details), _game_area(game))
    reference = Sides(np.where(gone, margin, table.margin[:, rows]), gone, never).known()
    if len(margin) < MIN_FOR_DISTANCES or not reference.margin.size:
        reason = f"{len(margin)} shadow models are too few to compare distributions; {MIN_FOR_DISTANCES} are needed"
        yield from (Outcome.missing(name, reason, Basis(len(rows), details=counts)) for name in _STATISTICS)
    else:
        for name, distance, more in _distances(reference, checked.options.seed):
            yield Outcome(name, Basis(len(rows), details={**counts, **more}), distance)
    advantages = swap_advantages(margin, gone, never)
    details = {**counts, "pairs": advantages.tolist()}
    yield Outcome("SWAP", Basis(len(rows), details=details), Replicated.of_runs(advantages, low=-1.0, high=1.0))


def _against(game: MembershipGame, simple: MembershipGame, confidence: float) -> dict[str, object]:
    """Area of the population attack, and how much larger the game's is, with a paired interval."""
    one, other = _curve(game), _curve(simple)
    more = one.value - other.value
    details: dict[str, object] = {"population_auc": other.value, "more_than_population": more}
    if len(game.score) == len(simple.score):
        half = z_value(1 - confidence) * _error(game, one.influence - other.influence)
        details["more_interval"] = [more - half, more + half]
    return details


def _curve(game: MembershipGame) -> Roc:
    return roc(game.score[game.forgotten], game.score[~game.forgotten], np.ones(int((~game.forgotten).sum())))


def _error(game: MembershipGame, influence: Floats) -> float:
    """Standard error by sample or by model, whichever is larger; influences of the forgotten pairs first."""
    order = np.concatenate([np.flatnonzero(game.forgotten), np.flatnonzero(~game.forgotten)])
    return max(standard_error(influence, cluster[order]) for cluster in (game.sample, game.model))


def _game_area(game: MembershipGame) -> Area:
    """AUC of the pairs."""
    curve = _curve(game)
    se, models = _error(game, curve.influence), len(np.unique(game.model))
    sizes = int(game.forgotten.sum()), int((~game.forgotten).sum())
    return Area(curve.value, se, *sizes, method="effective", degrees=models - 1.0)


def _distances(sides: Sides, seed: int) -> Iterator[tuple[str, Replicated, dict[str, object]]]:
    """``FORGET_EPS`` and ``KLOM_95`` less what they read when models change sides at random.

    The standard error is the larger of the jackknife's over pairs of models and the spread of the permutations, so that an
    interval of two samples of the same distribution holds 0.
    """
    models = int(min(sides.unlearned.sum(0).min(), sides.reference.sum(0).min()))
    more: dict[str, dict[str, object]] = {
        "FORGET_EPS": {
            "lower_bound": float(lower_bounds(sides).mean()),
            "quality": forgetting_score(forgetting_epsilons(sides), models),
            "resolution": float(np.log(max(models - 1, 1))),
        },
        "KLOM_95": {},
    }
    pairs = np.arange(len(sides.margin)) // 2
    for name, statistic in _STATISTICS.items():
        plug_in, null = statistic(sides), null_of(statistic, sides, np.random.default_rng(seed))
        left_out = np.array([statistic(sides[pairs != pair].known()) for pair in np.unique(pairs)])
        jackknife = Replicated.jackknife(plug_in, left_out)
        se = max(jackknife.se or 0.0, null.sd)
        found = Replicated(plug_in - null.mean, se if np.isfinite(se) else None, jackknife.df)
        yield name, found, {"plug_in": plug_in, "null": null.mean, "null_sd": null.sd, **more[name]}


def _mean_epsilon(sides: Sides) -> float:
    return float(forgetting_epsilons(sides).mean()) if sides.margin.size else float("nan")


def _klom_95(sides: Sides) -> float:
    return float(np.percentile(klom(sides), 95)) if sides.margin.size else float("nan")


_STATISTICS = {"FORGET_EPS": _mean_epsilon, "KLOM_95": _klom_95}
