"""All metrics of one model, and all changes between two, in one call."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from grmu_audit.errors import GrmuAuditError, InputError
from grmu_audit.intervals.combined import estimate
from grmu_audit.metrics.accuracy import performance
from grmu_audit.metrics.catalog import CATALOG, PLUGINS
from grmu_audit.metrics.catalog.spec import MetricPlugin
from grmu_audit.metrics.changes import changes
from grmu_audit.metrics.checked_predictions import Facts, align, facts
from grmu_audit.metrics.fairness import VARIANTS, fairness
from grmu_audit.metrics.membership.attacks import Attacked, attacked, privacy
from grmu_audit.metrics.membership.exposure import exposure
from grmu_audit.metrics.outcome import Basis, defined, undefined
from grmu_audit.metrics.redistribution import redistribution
from grmu_audit.metrics.references import closeness, mean_changes
from grmu_audit.metrics.white_box.layer_gaps import correlation, fairness_gap_changes, fairness_gaps
from grmu_audit.metrics.white_box.representation import distances, recovered, recoveries, recovery_changes, relearn
from grmu_audit.metrics.white_box.robustness import under_attack, under_attack_changes
from grmu_audit.records import Group, MetricValue, Predictions
from grmu_audit.records.white_box import Probes

_FAILURES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, GrmuAuditError)


def added(f: Facts, *, subject: str, confidence: float) -> Iterator[MetricValue]:
    """The value of every added metric; one that fails, or leaves its range, is undefined with the reason."""
    for name in [name for name, _ in PLUGINS if name in CATALOG]:
        yield _value(f, PLUGINS.get(name), subject=subject, confidence=confidence)


def _value(f: Facts, plugin: MetricPlugin, *, subject: str, confidence: float) -> MetricValue:
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
    subject: str = "candidate",
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
    f: Facts, attack: Attacked, *, subject: str, confidence: float, attack_score: str = "margin", variant: str = "pairwise"
) -> tuple[MetricValue, ...]:
    """As ``measure`` from facts and attack results made before."""
    if variant not in VARIANTS:
        raise InputError(f"unknown variant {variant!r}: known are {', '.join(VARIANTS)}")
    return tuple(_values(f, attack, subject, confidence, attack_score, variant))


def _values(f: Facts, attack: Attacked, subject: str, confidence: float, score: str, variant: str) -> Iterator[MetricValue]:
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
    subject: str,
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
        values_of(facts_, attack, subject="candidate", confidence=confidence, attack_score=attack_score, variant=variant)
        for facts_, attack in zip((f, g), attacks, strict=True)
    ]
    found = changes(f, g, (sides[0], sides[1]), attacks, subject=subject, confidence=confidence, attack_score=attack_score)
    return tuple(found)


def _white_box_values(
    known: Mapping[str, Facts], probes: Mapping[str, Probes], references: list[str], level: str, confidence: float
) -> Iterator[MetricValue]:
    read = {name: recovered(f, probes[name]) for name, f in known.items()}
    yardsticks = {name: (known[name], probes[name]) for name in references}
    for name, f in known.items():
        words = {"subject": name, "confidence": confidence}
        yield from under_attack(f, probes[name], **words)  # type: ignore[arg-type]
        yield from fairness_gaps(probes[name], **words)  # type: ignore[arg-type]
        yield from recoveries(f, read[name], **words)  # type: ignore[arg-type]
        if name in ("candidate", "baseline"):
            yield from distances(f, probes[name], yardsticks, **words)  # type: ignore[arg-type]
        if level == "deep":
            yield relearn(probes[name], int(f.predictions.mask("forget").sum()), **words)  # type: ignore[arg-type]
    compared: dict[str, list[MetricValue]] = {}
    for name in known:
        if name != "candidate":
            compared[name] = list(
                _white_box_changes(
                    known["candidate"], (probes["candidate"], probes[name]), (read["candidate"], read[name]), name, confidence
                )
            )
            yield from compared[name]
    rows = [compared[name] for name in references]
    if len(rows) > 1 and len({tuple(value.name for value in row) for row in rows}) == 1:
        yield from mean_changes(rows, subject="candidate-reference", confidence=confidence)


def _white_box_changes(
    f: Facts, probes: tuple[Probes, Probes], read: tuple[Any, Any], name: str, confidence: float
) -> Iterator[MetricValue]:
    words = {"subject": f"candidate-{name}", "confidence": confidence}
    yield from under_attack_changes(f, probes, **words)  # type: ignore[arg-type]
    yield from fairness_gap_changes(probes, **words)  # type: ignore[arg-type]
    yield from recovery_changes(f, read, **words)  # type: ignore[arg-type]


def _correlation(values: list[MetricValue]) -> dict[str, object]:
    """Rank correlation of fairness-gap and accuracy under FGSM at 8/255 over the models of the audit."""
    found: dict[str, dict[str, float]] = {}
    for value in values:
        if value.group is None and value.value is not None and not value.subject.startswith("candidate-"):
            found.setdefault(value.subject, {})[value.name] = value.value
    pairs = [(v["FAIRNESS_GAP"], v["FGSM@0.03137"]) for v in found.values() if {"FAIRNESS_GAP", "FGSM@0.03137"} <= v.keys()]
    try:
        rho = correlation([a for a, _ in pairs], [b for _, b in pairs])
    except InputError as error:
        return {"why_missing": str(error), "models": len(pairs)}
    return {"spearman": rho.value, "p_value": rho.p_value, "models": rho.n}


def _same_choices(first: Facts, other: Predictions) -> Facts:
    aligned = align(first.predictions, other)
    return facts(aligned, dominant=first.dominant, seed=first.seed, positive_class=first.positive_class)


def _metrics(
    first: Facts,
    others: Mapping[str, Facts],
    attacks: Mapping[str, Attacked],
    yardstick: Sequence[int],
    *,
    confidence: float,
    attack_score: str,
    variant: str,
) -> list[MetricValue]:
    """Values of all sides, then all changes, then the closeness to the references."""
    sides = {"candidate": first, **others}
    values = {
        name: values_of(side, attacks[name], subject=name, confidence=confidence, attack_score=attack_score, variant=variant)
        for name, side in sides.items()
    }
    compared = {
        name: list(
            changes(
                first,
                side,
                (values["candidate"], values[name]),
                (attacks["candidate"], attacks[name]),
                subject=f"candidate-{name}",
                confidence=confidence,
                attack_score=attack_score,
            )
        )
        for name, side in others.items()
    }
    rows = [compared[f"reference#{i + 1}"] for i in yardstick]
    several = len([name for name in others if name != "baseline"]) > 1
    found = [v for side in values.values() for v in side]
    found += closeness(rows, subject="candidate", confidence=confidence)
    found.append(redistribution(first, others.get("baseline"), subject="candidate", confidence=confidence))
    found += [v for side in compared.values() for v in side]
    return found + (list(_mean(rows, values["candidate"], confidence)) if several else [])


def _mean(rows: Sequence[Sequence[MetricValue]], own: Sequence[MetricValue], confidence: float) -> Iterator[MetricValue]:
    return mean_changes(rows, subject="candidate-reference", confidence=confidence, own=own)
