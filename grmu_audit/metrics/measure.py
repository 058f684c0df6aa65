"""All metrics of one model, and all changes between two, in one call."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from grmu_audit.errors import GrmuAuditError, InputError
from grmu_audit.intervals.combined import estimate
from grmu_audit.metrics.accuracy import performance
from grmu_audit.metrics.catalog import BUILT_IN, CATALOG, PLUGINS
from grmu_audit.metrics.catalog.spec import MetricPlugin
from grmu_audit.metrics.changes import changes
from grmu_audit.metrics.checked_predictions import Facts, align, facts
from grmu_audit.metrics.fairness import VARIANTS, fairness
from grmu_audit.metrics.membership.attacks import Attacked, attacked, privacy
from grmu_audit.metrics.membership.curves import curves_of
from grmu_audit.metrics.membership.exposure import exposure
from grmu_audit.metrics.membership.shadow_metrics import attack_method, attack_model
from grmu_audit.metrics.outcome import Basis, by_method, defined, undefined
from grmu_audit.metrics.redistribution import redistribution
from grmu_audit.metrics.references import closeness, mean_changes
from grmu_audit.metrics.white_box.layer_gaps import correlation, fairness_gap_changes, fairness_gaps
from grmu_audit.metrics.white_box.representation import distances, recovered, recoveries, recovery_changes, relearn
from grmu_audit.metrics.white_box.robustness import under_attack, under_attack_changes
from grmu_audit.records import (
    BASELINE,
    CANDIDATE,
    AuditInputs,
    Group,
    MeasureOptions,
    MetricValue,
    Predictions,
    Role,
    Subject,
)

_FAILURES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, GrmuAuditError)


def added(f: Facts, *, subject: Subject, confidence: float) -> Iterator[MetricValue]:
    """The value of every added metric; one that fails, or leaves its range, is undefined with the reason."""
    for name in [name for name, _ in PLUGINS if name in CATALOG]:
        yield _value(f, PLUGINS.get(name), subject=subject, confidence=confidence)


def _value(f: Facts, plugin: MetricPlugin, *, subject: Subject, confidence: float) -> MetricValue:
    spec = plugin.spec
    nothing = undefined(spec.name, "", Basis(0), subject=subject, confidence=confidence)
    try:
        found = plugin.measure(f)
        if found.statistic is None:
            why = found.why or "no reason given"
            return replace(undefined(spec.name, why, found.basis, subject=subject, confidence=confidence), unit=spec.unit)
        point = estimate(found.statistic)
        if math.isfinite(point) and not spec.low <= point <= spec.high:
            return replace(nothing, why_missing=f"its code gave {point!r}, outside its range [{spec.low:g}, {spec.high:g}]")
        value = defined(spec.name, found.statistic, found.basis, subject=subject, confidence=confidence)
    except _FAILURES as error:
        return replace(nothing, why_missing=f"its code failed: {type(error).__name__}: {str(error)[:200]}")
    return replace(value, unit=spec.unit)


def measure(
    p: Predictions | Facts,
    *,
    subject: Subject = CANDIDATE,
    dominant: tuple[Group, ...] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    attack_score: str = "margin",
    variant: str = "pairwise",
    positive_class: int = 1,
) -> tuple[MetricValue, ...]:
    """Every metric of one model that predictions alone give, those of installed packages included.

    RA UA TA VA GA WG UA_GA_GAP EO DP EP MIA MIA_PAPER MIA_AUC MIA_TPR_1 MIA_TPR_01 RETAIN_AUC MIA_DISPARITY, then by group
    ``accuracy`` RA UA MIA_AUC MIA_TPR_1 RETAIN_AUC.

    Args:
        p: n samples of one model, all splits together.
        subject: whose values these are.
        dominant: group(s) that give the forget set; by default those with its largest share.
        confidence: coverage of each interval taken alone.
        seed: seed of the forest attack.
        attack_score: the score that MIA_AUC is taken on; all others stand in its details.
        variant: ``pairwise`` or ``paper`` for EO, DP, EP.
        positive_class: the positive class of a two-class task.

    Returns:
        One value per metric and group; an undefined one carries its reason.

    Raises:
        InputError: predictions that do not fit together, with row numbers; an unknown variant or score.
    """
    f = facts(p, dominant=dominant, seed=seed, positive_class=positive_class)
    return values_of(f, attacked(f), subject=subject, confidence=confidence, attack_score=attack_score, variant=variant)


def values_of(
    f: Facts, attack: Attacked, *, subject: Subject, confidence: float, attack_score: str = "margin", variant: str = "pairwise"
) -> tuple[MetricValue, ...]:
    """As ``measure`` from facts and attack results made before."""
    if variant not in VARIANTS:
        raise InputError(f"unknown variant {variant!r}: known are {', '.join(VARIANTS)}")
    return tuple(_values(f, attack, subject, confidence, attack_score, variant))


def _values(f: Facts, attack: Attacked, subject: Subject, confidence: float, score: str, variant: str) -> Iterator[MetricValue]:
    found = [
        *performance(f, subject=subject, confidence=confidence),
        *fairness(f, subject=subject, confidence=confidence, variant=variant),
        *privacy(f, attack, subject=subject, confidence=confidence, attack_score=score),
        *exposure(f, subject=subject, confidence=confidence, attack_score=score),
        *added(f, subject=subject, confidence=confidence),
    ]
    yield from (v for v in found if v.group is None)
    yield from (v for v in found if v.group is not None)


def compare(
    candidate: Predictions | Facts,
    other: Predictions | Facts,
    *,
    subject: Subject,
    dominant: tuple[Group, ...] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    attack_score: str = "margin",
    variant: str = "pairwise",
) -> tuple[MetricValue, ...]:
    """Candidate minus other, metric by metric, on the same samples; rows are aligned by id.

    Accuracies and forest attacks are paired sample by sample, MIA_AUC by its influences; WG, EO, DP and EP are bounded
    by both sides and by the paired changes of their cells.  Names are the metrics' names; ``subject`` says which change it is.

    Raises:
        InputError: the two do not hold the same samples, or one cannot be used.
    """

    f = facts(candidate, dominant=dominant, seed=seed)
    second = other.predictions if isinstance(other, Facts) else other
    g = facts(align(f.predictions, second), dominant=f.dominant, seed=f.seed, positive_class=f.positive_class)
    attacks = attacked(f), attacked(g)
    sides = [
        values_of(facts_, attack, subject=CANDIDATE, confidence=confidence, attack_score=attack_score, variant=variant)
        for facts_, attack in zip((f, g), attacks, strict=True)
    ]
    found = changes(f, g, (sides[0], sides[1]), attacks, subject=subject, confidence=confidence, attack_score=attack_score)
    return tuple(found)


MEAN_CHANGE = Subject(Role.REFERENCE).as_change()
"""The mean over the primary references."""


@dataclass(frozen=True)
class Measurements:
    """What the models of an audit give together."""

    values: tuple[MetricValue, ...]
    """Values of every model, changes to the candidate, and means over the primary references."""
    curves: dict[str, Any]
    """What ``Audit.curves`` holds of predictions."""
    dominant_groups: tuple[Group, ...]
    """The dominant forget groups that the values rest on."""
    notes: dict[str, Any]
    """What the record says of relations between values."""


def measure_models(
    inputs: AuditInputs, options: MeasureOptions, dominant_groups: tuple[Group, ...] | None = None
) -> Measurements:
    """Every metric of every model, and every change to the candidate.

    Args:
        inputs: the models; metrics beyond predictions are measured where there is something to measure them from.
        options: choices that the numbers depend on.
        dominant_groups: dominant forget groups; by default those with the largest share of the forget set.

    Raises:
        InputError: predictions that do not fit together; a model that does not hold the candidate's samples.
    """
    choices = {"seed": options.seed, "positive_class": options.positive_class}
    first = facts(inputs.candidate.predictions, dominant=dominant_groups, **choices)
    checked = {CANDIDATE: first} | {
        subject: facts(align(first.predictions, model.predictions), dominant=first.dominant, **choices)
        for subject, model in inputs.models.items()
        if subject != CANDIDATE
    }
    attacks = {subject: attacked(f) for subject, f in checked.items()}
    white_box = list(_white_box_values(inputs, checked, options.confidence))
    further = [*white_box, *_shadow_values(inputs, checked, options.confidence)]
    found = [
        *_prediction_values(inputs, checked, attacks, options),
        *(replace(value, unit=BUILT_IN[value.name].unit) for value in further),
    ]
    return Measurements(
        values=tuple(by_method(value, options.interval_method) for value in found),
        curves=curves_of(checked, attacks, attack_score=options.attack_score),
        dominant_groups=first.dominant,
        notes={"gap_against_robustness": _correlation(white_box)} if white_box else {},
    )


def _prediction_values(
    inputs: AuditInputs, checked: Mapping[Subject, Facts], attacks: Mapping[Subject, Attacked], options: MeasureOptions
) -> Iterator[MetricValue]:
    """Values of all models, then the closeness to the references, then all changes."""
    words: dict[str, Any] = {"confidence": options.confidence, "attack_score": options.attack_score}
    values = {s: values_of(f, attacks[s], subject=s, variant=options.gap_variant, **words) for s, f in checked.items()}
    own, candidate = values[CANDIDATE], (checked[CANDIDATE], attacks[CANDIDATE])
    compared = {
        s: list(changes(candidate[0], f, (own, values[s]), (candidate[1], attacks[s]), subject=s.as_change(), **words))
        for s, f in checked.items()
        if s != CANDIDATE
    }
    rows = [compared[subject] for subject in inputs.primary_references]
    for found in values.values():
        yield from found
    yield from closeness(rows, subject=CANDIDATE, confidence=options.confidence)
    yield redistribution(candidate[0], checked.get(BASELINE), subject=CANDIDATE, confidence=options.confidence)
    for changed in compared.values():
        yield from changed
    if len(inputs.references) > 1:
        yield from mean_changes(rows, subject=MEAN_CHANGE, confidence=options.confidence, own=own)


def _white_box_values(inputs: AuditInputs, checked: Mapping[Subject, Facts], confidence: float) -> Iterator[MetricValue]:
    """Values of all models that their white-box outputs give, then all changes."""
    models = {s: (checked[s], model.white_box) for s, model in inputs.models.items() if model.white_box is not None}
    if CANDIDATE not in models:
        return
    read = {subject: recovered(*model) for subject, model in models.items()}
    references = sorted((s for s in models if s.role is Role.REFERENCE), key=lambda s: s not in inputs.primary_references)
    for subject, (f, probes) in models.items():
        words: dict[str, Any] = {"subject": subject, "confidence": confidence}
        yield from under_attack(f, probes, **words)
        yield from fairness_gaps(probes, **words)
        yield from recoveries(f, read[subject], **words)
        if subject in (CANDIDATE, BASELINE):
            yield from distances(f, probes, {str(s): models[s] for s in references}, **words)
        if probes.relearn is not None or "relearn" in probes.missing:
            yield relearn(probes, int(f.predictions.mask("forget").sum()), **words)
    f, own = models[CANDIDATE]
    compared: dict[Subject, list[MetricValue]] = {}
    for subject, (_, probes) in models.items():
        if subject != CANDIDATE:
            words = {"subject": subject.as_change(), "confidence": confidence}
            compared[subject] = [
                *under_attack_changes(f, (own, probes), **words),
                *fairness_gap_changes((own, probes), **words),
                *recovery_changes(f, (read[CANDIDATE], read[subject]), **words),
            ]
            yield from compared[subject]
    rows = [compared[subject] for subject in inputs.primary_references]
    if len(inputs.references) > 1 and len({tuple(value.name for value in row) for row in rows}) == 1:
        yield from mean_changes(rows, subject=MEAN_CHANGE, confidence=confidence)


def _shadow_values(inputs: AuditInputs, checked: Mapping[Subject, Facts], confidence: float) -> Iterator[MetricValue]:
    """What the shadow models find of every model, and of the method where it was run on them."""
    table = inputs.shadows
    if table is None:
        return
    for subject, f in checked.items():
        yield from attack_model(f, table, subject=subject, confidence=confidence)
    if table.unlearned is not None:
        yield from attack_method(checked[CANDIDATE], table, subject=CANDIDATE, confidence=confidence)


def _correlation(values: Sequence[MetricValue]) -> dict[str, object]:
    """Rank correlation of fairness-gap and accuracy under FGSM at 8/255 over the models of the audit."""
    found: dict[Subject, dict[str, float]] = {}
    for value in values:
        if value.group is None and value.value is not None and not value.subject.change:
            found.setdefault(value.subject, {})[value.name] = value.value
    pairs = [(v["FAIRNESS_GAP"], v["FGSM@0.03137"]) for v in found.values() if {"FAIRNESS_GAP", "FGSM@0.03137"} <= v.keys()]
    try:
        rho = correlation([a for a, _ in pairs], [b for _, b in pairs])
    except InputError as error:
        return {"why_missing": str(error), "models": len(pairs)}
    return {"spearman": rho.value, "p_value": rho.p_value, "models": rho.n}
