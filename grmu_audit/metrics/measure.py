"""All metrics of all models of an audit: one call from predictions and what else was collected to values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any

from grmu_audit.errors import InputError
from grmu_audit.metrics.accuracy import measure_accuracy
from grmu_audit.metrics.catalog import CATALOG, PLUGINS
from grmu_audit.metrics.catalog.spec import ThirdPartyMetric
from grmu_audit.metrics.changes import ModelResult, changes
from grmu_audit.metrics.checked_predictions import DEFAULTS, CheckedPredictions, check_predictions, check_same
from grmu_audit.metrics.controls import measure_controls
from grmu_audit.metrics.fairness import measure_fairness
from grmu_audit.metrics.forgetting.deletion import compare_versions
from grmu_audit.metrics.forgetting.sequence import measure_history, measure_sequence
from grmu_audit.metrics.forgetting.share import compare_forgetting
from grmu_audit.metrics.kept_rows import KeptModel, without_before
from grmu_audit.metrics.membership.attacks import measure_membership, run_attacks
from grmu_audit.metrics.membership.conformal import measure_conformal
from grmu_audit.metrics.membership.curves import summarise_curves
from grmu_audit.metrics.membership.exposure import measure_exposure
from grmu_audit.metrics.membership.remaining_share import measure_remaining_share
from grmu_audit.metrics.membership.shadow_metrics import attack_audited_model, attack_method_on_shadows
from grmu_audit.metrics.outcome import Basis, Outcome
from grmu_audit.metrics.redistribution import measure_redistribution
from grmu_audit.metrics.references import closeness, mean_changes
from grmu_audit.metrics.selection import measure_selection
from grmu_audit.metrics.subgroups.conditional import measure_conditional
from grmu_audit.metrics.subgroups.weak_segments import find_weak_segments
from grmu_audit.metrics.white_box.durability import compare_returned, durability_changes, measure_durability
from grmu_audit.metrics.white_box.layer_gaps import correlation, layer_gap_changes, measure_layer_gaps
from grmu_audit.metrics.white_box.representation import (
    Model,
    Recovered,
    label_recovery_changes,
    measure_distances,
    measure_label_recovery,
    measure_relearning,
    recover_labels,
)
from grmu_audit.metrics.white_box.robustness import measure_robustness, robustness_changes
from grmu_audit.records import Group, MetricValue, Predictions
from grmu_audit.records.audit import MeasureOptions
from grmu_audit.records.forgetting import Control
from grmu_audit.records.inputs import AuditInputs
from grmu_audit.records.metric_value import BASELINE, CANDIDATE, ROOT, Role, Subject, reference
from grmu_audit.records.segments import SegmentSearch
from grmu_audit.records.white_box import ShadowTable

Found = tuple[Subject, Iterable[Outcome]]
"""Outcomes, and whose they are."""
MEAN_CHANGE = reference(0).as_change()
"""The mean over the primary references of the change from them to the candidate."""


@dataclass(frozen=True)
class Measurements:
    """Everything that was measured for an audit."""

    values: tuple[MetricValue, ...]
    """Every metric of every model, and every change."""
    predictions: dict[Subject, Predictions]
    """The models' predictions, rows in the candidate's order."""
    curves: dict[str, Any]
    """What ``membership.curves.summarise_curves`` returns, and the history of the lineage where it has a root."""
    dominant_groups: tuple[Group, ...]
    """Group(s) with the largest share of the forget set."""
    controls: tuple[Control, ...]
    """Models whose truth is known, in the candidate's place."""
    notes: dict[str, object]
    """``gap_against_robustness``, where layers and attacks were measured."""
    segments: SegmentSearch
    """Segments on which the candidate is weaker than elsewhere, or than the baseline."""


def measure_models(
    inputs: AuditInputs, options: MeasureOptions = DEFAULTS, dominant_groups: tuple[Group, ...] | None = None
) -> Measurements:
    """Every metric of every model and every change, as far as what was collected allows.

    Args:
        inputs: predictions, white-box outputs and shadow models; rows are aligned by id.  Means over references, AVG_GAP and
            TOW rest on ``inputs.primary_references``.
        options: choices that the numbers depend on.
        dominant_groups: group(s) with the largest share of the forget set; None: from the candidate's predictions.

    Raises:
        InputError: predictions that do not fit together; a model that does not hold the candidate's samples.
    """
    first = check_predictions(inputs.candidate.predictions, options, dominant_groups)
    everything = _measure_each(first, inputs)
    kept = {s: KeptModel.of(first, m.predictions, measure_one, m.purged) for s, m in inputs.models.items() if m.purged}
    results = {subject: result for subject, result in everything.items() if subject != ROOT}  # which is compared with, no more
    with ThreadPoolExecutor() as pool:  # both work on large arrays, most of the time without holding other threads up
        shares = pool.submit(lambda: list(_compare_with_before(results, inputs.primary_references)))
        controls = pool.submit(measure_controls, everything, inputs.primary_references, options, kept.get(ROOT))
        from_predictions = list(_compare_models(everything, inputs.primary_references))
    from_kept = list(_compare_with_kept(everything[CANDIDATE], kept))
    from_networks = list(_measure_networks(results, inputs))
    from_shadows = _measure_shadows(results, inputs.shadows) if inputs.shadows is not None else ()
    references = [results[subject].checked for subject in inputs.primary_references]
    baseline = results[BASELINE].checked if BASELINE in results else None
    lineage = CANDIDATE, (measure_sequence(first, baseline, references, inputs.earlier, inputs.own),)
    found = [*from_predictions, *from_kept, *shares.result(), lineage, *from_networks, *from_shadows]
    if BASELINE in kept:
        why = kept[BASELINE].why
        found = [(subject, [without_before(outcome, why) for outcome in outcomes]) for subject, outcomes in found]
    return Measurements(
        values=tuple(outcome.value(subject, options) for subject, outcomes in found for outcome in outcomes),
        predictions={
            subject: result.checked.predictions
            for subject, result in {**everything, **{subject: model.result for subject, model in kept.items()}}.items()
        },
        curves=summarise_curves({subject: (result.checked, result.attacks) for subject, result in results.items()})
        | ({"lineage": measure_history(first, inputs, options)} if inputs.root else {}),
        dominant_groups=first.dominant_groups,
        controls=controls.result(),
        notes={"gap_against_robustness": _gap_against_robustness(from_networks)} if from_networks else {},
        segments=find_weak_segments(first, kept[BASELINE].result.checked if BASELINE in kept else baseline),
    )


def _measure_each(first: CheckedPredictions, inputs: AuditInputs) -> dict[Subject, ModelResult]:
    """Every model by itself; side by side, since sorting, of which most of it consists, leaves other threads to run."""
    whole = {subject: model.predictions for subject, model in inputs.models.items() if not model.purged}
    checked = {s: first if s == CANDIDATE else check_same(first, predictions) for s, predictions in whole.items()}
    _ = len(CATALOG)  # loads third-party metrics once, before there are threads
    with ThreadPoolExecutor() as pool:
        return dict(zip(checked, pool.map(measure_one, checked.values()), strict=True))


def measure_one(checked: CheckedPredictions) -> ModelResult:
    """Every metric of one model that predictions alone give, those of installed packages included.

    RA UA TA VA GA WG UA_GA_GAP EO DP EP MIA MIA_PAPER MIA_AUC MIA_TPR_1 MIA_TPR_01 RETAIN_AUC MIA_DISPARITY
    CONFORMAL_COVERAGE CONFORMAL_SIZE IMPACT_RATIO PREDICTIVE_PARITY CALIBRATION_GAP, the conditional metrics where control
    attributes are named, then by group ``accuracy`` RA UA MIA_AUC MIA_TPR_1 RETAIN_AUC; an undefined one carries its reason.
    """
    attacks = run_attacks(checked)
    found = [
        *measure_accuracy(checked),
        *measure_fairness(checked),
        *measure_membership(checked, attacks),
        *measure_exposure(checked),
        *measure_conformal(checked),
        *measure_selection(checked),
        *measure_conditional(checked),
        *measure_plugins(checked),
    ]
    found = [outcome.with_options(checked.options) for outcome in found]
    return ModelResult(checked, attacks, tuple(sorted(found, key=lambda outcome: outcome.group is not None)))


def measure_predictions(
    predictions: Predictions,
    options: MeasureOptions = DEFAULTS,
    dominant_groups: tuple[Group, ...] | None = None,
    subject: Subject = CANDIDATE,
) -> tuple[MetricValue, ...]:
    """``measure_one`` of one model's predictions, as values of that subject.

    Raises:
        InputError: predictions that do not fit together, with row numbers; an unknown variant or score.
    """
    found = measure_one(check_predictions(predictions, options, dominant_groups))
    return tuple(outcome.value(subject, options) for outcome in found.outcomes)


def compare(candidate: CheckedPredictions, other: Predictions) -> tuple[Outcome, ...]:
    """Candidate minus other, metric by metric, on the same samples; rows are aligned by id, and the choices are the candidate's.

    Raises:
        InputError: the two do not hold the same samples, or one cannot be used.
    """
    found = changes(measure_one(candidate), measure_one(check_same(candidate, other)))
    return tuple(outcome.with_options(candidate.options) for outcome in found)


def measure_plugins(checked: CheckedPredictions) -> Iterator[Outcome]:
    """The outcome of every third-party metric; one that fails, or leaves its range, is undefined with the reason."""
    for name in [name for name, _ in PLUGINS if name in CATALOG]:
        yield _measure_plugin(checked, PLUGINS.get(name))


def _measure_plugin(checked: CheckedPredictions, plugin: ThirdPartyMetric) -> Outcome:
    spec = plugin.spec
    try:
        found = plugin.measure(checked)
        if not isinstance(found, Outcome) or found.metric != spec.name:
            given = f"an outcome of {found.metric!r}" if isinstance(found, Outcome) else f"a {type(found).__name__}"
            return Outcome.missing(spec.name, f"its code gave {given}", Basis(0))
        if found.estimate is not None and not spec.low <= found.estimate <= spec.high:
            reason = f"its code gave {found.estimate!r}, outside its range [{spec.low:g}, {spec.high:g}]"
            return Outcome.missing(spec.name, reason, Basis(0))
        found.value(CANDIDATE, checked.options)
    except Exception as error:  # noqa: BLE001  (another package's code may raise anything)
        return Outcome.missing(spec.name, f"its code failed: {type(error).__name__}: {str(error)[:200]}", Basis(0))
    return found


def _compare_models(results: Mapping[Subject, ModelResult], primary: tuple[Subject, ...]) -> Iterator[Found]:
    """Outcomes of all models, closeness and redistribution of the candidate, all changes, and their means."""
    candidate, baseline = results[CANDIDATE], results.get(BASELINE)
    changed = {subject: tuple(changes(candidate, other)) for subject, other in results.items() if subject != CANDIDATE}
    rows = {subject: changed[subject] for subject in primary}
    yield from ((subject, result.outcomes) for subject, result in results.items())
    yield CANDIDATE, closeness(rows)
    yield CANDIDATE, (measure_redistribution(candidate.checked, baseline.checked if baseline else None),)
    yield from ((subject.as_change(), outcomes) for subject, outcomes in changed.items())
    if _has_several_references(results):
        yield MEAN_CHANGE, mean_changes(rows, candidate.outcomes)


def _compare_with_kept(candidate: ModelResult, kept: Mapping[Subject, KeptModel]) -> Iterator[Found]:
    """Outcomes of purged models on the rows that stayed, and the changes from them."""
    for subject, model in kept.items():
        yield subject, model.outcomes
        yield subject.as_change(), model.changes_of(candidate)


def _compare_with_before(results: Mapping[Subject, ModelResult], primary: tuple[Subject, ...]) -> Iterator[Found]:
    """What needs the version before: forgetting share, the two-version attack with its changes, and their mean."""
    models = {subject: result.checked for subject, result in results.items()}
    yield from compare_forgetting(models, primary)
    attacked = compare_versions(models)
    yield from attacked.items()
    rows = {subject: attacked[subject.as_change()] for subject in primary if subject.as_change() in attacked}
    if _has_several_references(results) and rows:
        yield MEAN_CHANGE, mean_changes(rows, attacked[CANDIDATE])


def _has_several_references(subjects: Iterable[Subject]) -> bool:
    return sum(subject.role is Role.REFERENCE for subject in subjects) > 1


def _measure_networks(results: Mapping[Subject, ModelResult], inputs: AuditInputs) -> Iterator[Found]:
    """Outcomes of all models whose networks were queried, their changes, and the means of these."""
    collected = {s: m.white_box for s, m in inputs.models.items() if m.white_box is not None}
    if CANDIDATE not in collected:
        return
    models: dict[Subject, Model] = {s: (results[s].checked, outputs) for s, outputs in collected.items()}
    recovered = {subject: recover_labels(*model) for subject, model in models.items()}
    ordered = sorted((s for s in models if s.role is Role.REFERENCE), key=lambda s: s not in inputs.primary_references)
    references = {subject: models[subject] for subject in ordered}
    for subject, model in models.items():
        near = measure_distances(model, references) if subject in (CANDIDATE, BASELINE) else ()
        before = models.get(BASELINE) if subject != BASELINE else None
        yield subject, tuple(chain(_measure_network(model, recovered[subject]), near, measure_durability(model, before)))
        yield subject, tuple(measure_relearning(*model))
    yield from compare_returned(models, [subject for subject in inputs.primary_references if subject in models])
    changed = {
        subject: tuple(_network_changes(models[CANDIDATE], model, (recovered[CANDIDATE], recovered[subject])))
        for subject, model in models.items()
        if subject != CANDIDATE
    }
    yield from ((subject.as_change(), outcomes) for subject, outcomes in changed.items())
    rows = {subject: changed[subject] for subject in inputs.primary_references if subject in changed}
    if _has_several_references(models) and len({tuple(found.metric for found in row) for row in rows.values()}) == 1:
        yield MEAN_CHANGE, tuple(mean_changes(rows))


def _measure_network(model: Model, recovered: Recovered) -> Iterator[Outcome]:
    yield from measure_robustness(*model)
    yield from measure_layer_gaps(model[1])
    yield from measure_label_recovery(model[0], recovered)


def _network_changes(candidate: Model, other: Model, recovered: tuple[Recovered, Recovered]) -> Iterator[Outcome]:
    yield from robustness_changes(candidate[0], (candidate[1], other[1]))
    yield from layer_gap_changes((candidate[1], other[1]))
    yield from label_recovery_changes(candidate[0], recovered)
    yield from durability_changes(candidate[0], (candidate[1], other[1]))


def _measure_shadows(results: Mapping[Subject, ModelResult], table: ShadowTable) -> Iterator[Found]:
    """Shadow-model metrics of every model, and of the method."""
    for subject, result in results.items():
        yield subject, attack_audited_model(result.checked, table)
        yield subject, measure_remaining_share(result.checked, table)
    if table.unlearned is not None:
        yield CANDIDATE, attack_method_on_shadows(results[CANDIDATE].checked, table)


def _gap_against_robustness(found: Iterable[Found]) -> dict[str, object]:
    """Rank correlation of fairness-gap and accuracy under FGSM at 8/255 over the models of the audit."""
    names = ("FAIRNESS_GAP", "FGSM@0.03137")
    pairs: list[list[float]] = []
    for subject, outcomes in found:
        if not subject.change:
            estimates = {o.metric: o.estimate for o in outcomes if o.group is None and o.estimate is not None}
            pairs += [[estimates[name] for name in names]] if set(names) <= estimates.keys() else []
    try:
        rho = correlation([gap for gap, _ in pairs], [accuracy for _, accuracy in pairs])
    except InputError as error:
        return {"why_missing": str(error), "models": len(pairs)}
    return {"spearman": rho.value, "p_value": rho.p_value, "models": rho.n}
