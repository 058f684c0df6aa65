"""What the features still hold of the forget set, and how near they are to a retrained model's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from grmu_audit.errors import InputError
from grmu_audit.intervals.closed_forms import Floats
from grmu_audit.intervals.design_effects import design_effect
from grmu_audit.intervals.proportions import proportion
from grmu_audit.intervals.replicates import jackknife, mean_of, student
from grmu_audit.intervals.statistic import Statistic
from grmu_audit.metrics.accuracy import paired
from grmu_audit.metrics.checked_predictions import Facts, Ints, Mask, in_order
from grmu_audit.metrics.outcome import Basis, defined, undefined
from grmu_audit.metrics.scores import log_softmax
from grmu_audit.metrics.white_box.similarity import (
    LEAST_CKA,
    Features,
    activation_distance,
    cka,
    js_divergence,
    linear_probe,
    nearest_neighbours,
    nearest_prototype,
)
from grmu_audit.records import Group, MetricValue, Subject
from grmu_audit.records.white_box import Probes

RECOVERIES = ("KNN", "PROBE", "PROTO")
"""Ways to read the label of a forget sample out of its features."""
DISTANCES = ("CKA", "ACTIVATION_DISTANCE", "JS")
"""Comparisons of the forget set's features or answers with a retrained model's."""
NEIGHBOURS = 5
SHOTS = 5
"""Forget samples per class that a prototype is made of."""
RELEARNED = 0.1
"""Cross-entropy on the forget set, in nats, below which it counts as learned again."""
_FOLDS = 20


def recovered(f: Facts, probes: Probes) -> dict[str, tuple[Mask, Mask]]:
    """Per way of reading: [n] rows asked (of the forget set), and [n] whether the label was found; empty where impossible."""
    if probes.features is None or not f.predictions.mask("forget").any():
        return {}
    features = probes.features[in_order(f.predictions.ids, probes)]
    ways: dict[str, Callable[[Facts, Features], tuple[Mask, Ints]]] = {"KNN": _knn, "PROBE": _probe, "PROTO": _prototypes}
    found = {}
    for name, way in ways.items():
        try:
            rows, answers = way(f, features)
        except InputError:
            continue
        right = np.zeros(len(f.predictions), dtype=bool)
        right[rows] = answers == f.predictions.target[rows]
        if rows.any():
            found[name] = (rows, right)
    return found


def _knn(f: Facts, features: Features) -> tuple[Mask, Ints]:
    bank, asked = f.predictions.mask("retain"), f.predictions.mask("forget")
    return asked, nearest_neighbours(features[bank], f.predictions.target[bank], features[asked], NEIGHBOURS)


def _probe(f: Facts, features: Features) -> tuple[Mask, Ints]:
    known, asked = f.predictions.mask("val"), f.predictions.mask("forget")
    return asked, linear_probe(features[known], f.predictions.target[known], features[asked])


def _prototypes(f: Facts, features: Features) -> tuple[Mask, Ints]:
    """Prototypes of the forgotten classes from a few forget samples, of the others from as many validation samples."""
    target, forget, val = f.predictions.target, f.predictions.mask("forget"), f.predictions.mask("val")
    rng = np.random.default_rng([f.seed, 17])
    shown = np.zeros(len(target), dtype=bool)
    for code in range(f.predictions.classes):
        pool = np.flatnonzero(forget & (target == code))
        if not len(pool):
            pool = np.flatnonzero(val & (target == code))
        shown[rng.permutation(pool)[:SHOTS]] = True
    asked = forget & ~shown
    if len(np.unique(target[shown])) < 2:
        raise InputError("prototypes of two classes are needed")
    return asked, nearest_prototype(features[shown], target[shown], features[asked])


def recoveries(f: Facts, found: Mapping[str, tuple[Mask, Mask]], *, subject: Subject, confidence: float) -> Iterator[MetricValue]:
    """``KNN``, ``PROBE``, ``PROTO``: share of the forget set whose label can be read out of the penultimate features.

    ``KNN``: majority of the 5 nearest retain samples.  ``PROBE``: a logistic regression fitted on validation features.
    ``PROTO``: the nearest class mean of 5 forget samples per class (validation samples for classes without any).  Range
    [0, 1]; read towards a retrained model, from whose features the label can often be read too.  Undefined without forget
    samples, features, or samples to fit on.

    Sources: Fan et al. (2025, arXiv 2503.06991) for k-NN; Alain and Bengio (2017) for probes.
    """
    for name in RECOVERIES:
        rows, right = found.get(name, (None, None))
        if rows is None or right is None:
            yield undefined(name, _why_not(f, name), Basis(0), subject=subject, confidence=confidence)
            continue
        yield _share(f, name, rows, right, None, subject=subject, confidence=confidence)
        for group in _groups(f, rows):
            yield _share(f, name, rows & f.rows((group,)), right, group, subject=subject, confidence=confidence)


def _why_not(f: Facts, name: str) -> str:
    if not f.predictions.mask("forget").any():
        return "no forget sample (n = 0)"
    needs = {
        "KNN": f"{NEIGHBOURS} retain samples",
        "PROBE": "validation samples of two classes",
        "PROTO": "samples of two classes",
    }
    return f"needs features and {needs[name]}, and more forget samples than {SHOTS} per class for prototypes"


def _groups(f: Facts, rows: Mask) -> list[Group]:
    """Groups with rows among them, where there is more than one."""
    codes = np.unique(f.predictions.group[rows])
    return [f.group(int(code)) for code in codes] if len(codes) > 1 else []


def _share(
    f: Facts, name: str, rows: Mask, right: Mask, group: Group | None, *, subject: Subject, confidence: float
) -> MetricValue:
    n = int(rows.sum())
    basis = Basis(n, smallest_group=group, subjects=f.subjects(rows))
    statistic = proportion(int(right[rows].sum()), n, design_effect(right[rows], f.subject_of(rows)), f.subjects(rows))
    return defined(name, statistic, basis, subject=subject, confidence=confidence, group=group)


def recovery_changes(
    f: Facts,
    sides: tuple[Mapping[str, tuple[Mask, Mask]], Mapping[str, tuple[Mask, Mask]]],
    *,
    subject: Subject,
    confidence: float,
) -> Iterator[MetricValue]:
    """Candidate minus other of every recovery, paired on the same forget samples."""
    for name in RECOVERIES:
        if all(name in side for side in sides):
            rows = sides[0][name][0]
            statistic = paired(sides[0][name][1][rows], sides[1][name][1][rows], f.subject_of(rows))
            basis = Basis(int(rows.sum()), subjects=f.subjects(rows))
            yield defined(name, statistic, basis, subject=subject, confidence=confidence)


def distances(
    f: Facts, probes: Probes, references: Mapping[str, tuple[Facts, Probes]], *, subject: Subject, confidence: float
) -> Iterator[MetricValue]:
    """``CKA``, ``ACTIVATION_DISTANCE``, ``JS`` between a model and a retrained one on the forget set.

    ``CKA``: unbiased linear CKA of penultimate features (see ``similarity.cka``), jackknifed over 20 folds of persons.
    ``ACTIVATION_DISTANCE``: mean Euclidean distance of the two softmax vectors, in [0, sqrt 2].  ``JS``: mean
    Jensen-Shannon divergence in bits, in [0, 1].  The value is against the first reference; details hold every reference's value.
    Undefined without forget samples or a reference.

    Args:
        f: facts of the model.
        probes: its measurements.
        references: facts (rows in the same order) and measurements of the retrained models by name, the primary ones first.
        subject: whose values these are.
        confidence: coverage of the intervals.
    """
    rows = f.predictions.mask("forget")
    for name in DISTANCES:
        why = _why_no_distance(f, probes, list(references.values()), name)
        if why:
            yield undefined(name, why, Basis(int(rows.sum())), subject=subject, confidence=confidence)
            continue
        for group in [None, *_groups(f, rows)]:
            chosen = rows if group is None else rows & f.rows((group,))
            statistics = [_distance(name, (f, probes), other, chosen) for other in references.values()]
            each = {other: None if s is None else s["value"] for other, s in zip(references, statistics, strict=True)}
            basis = Basis(int(chosen.sum()), smallest_group=group, subjects=f.subjects(chosen), details={"per_reference": each})
            made = partial(undefined, name, f"too few forget samples (n = {basis.n})", basis)
            if statistics[0] is not None:
                made = partial(defined, name, statistics[0], basis)
            yield made(subject=subject, confidence=confidence, group=group)


def _why_no_distance(f: Facts, probes: Probes, references: Sequence[tuple[Facts, Probes]], name: str) -> str:
    if not f.predictions.mask("forget").any():
        return "no forget sample (n = 0)"
    if not references:
        return "no reference model was given"
    held = [probes.features, *(other.features for _, other in references)] if name == "CKA" else []
    scores = [f.predictions.logits, *(other.predictions.logits for other, _ in references)] if name != "CKA" else []
    return (
        "needs features of both models"
        if any(x is None for x in held)
        else "needs logits"
        if any(x is None for x in scores)
        else ""
    )


def _distance(name: str, one: tuple[Facts, Probes], other: tuple[Facts, Probes], rows: Mask) -> Statistic | None:
    if name == "CKA":
        return _cka(one, other, rows)
    sides = [np.exp(log_softmax(f.predictions.logits[rows])) for f, _ in (one, other) if f.predictions.logits is not None]
    values = activation_distance(*sides) if name == "ACTIVATION_DISTANCE" else js_divergence(*sides)
    return mean_of(values, one[0].subject_of(rows), low=0.0, high=2**0.5 if name == "ACTIVATION_DISTANCE" else 1.0)


def _cka(one: tuple[Facts, Probes], other: tuple[Facts, Probes], rows: Mask) -> Statistic | None:
    held = [(p.features[in_order(f.predictions.ids, p)][rows]) for f, p in (one, other) if p.features is not None]
    person = one[0].subject_of(rows)
    code = np.unique(np.arange(len(held[0])) if person is None else person, return_inverse=True)[1]
    folds = code % min(_FOLDS, int(code.max(initial=0)) + 1)
    if len(held[0]) < 2 * LEAST_CKA or int(folds.max(initial=0)) < 2:
        return None
    value = cka(*held)
    left_out = [
        cka(*(z[folds != fold] for z in held)) for fold in range(int(folds.max()) + 1) if (folds != fold).sum() >= LEAST_CKA
    ]
    return jackknife(value, np.array(left_out), low=-1.0, high=1.0) if np.isfinite(value) else None


def relearn(probes: Probes, n: int, *, subject: Subject, confidence: float) -> MetricValue:
    """``RELEARN``: epochs of ordinary training until the forget set's mean cross-entropy is below 0.1 nats.

    Each epoch takes 500 random training samples, the forget set among them, at learning rate 0.01, over several seeds; the
    details hold every curve.  A model that learns it again much faster than a retrained one still holds it.  Range [0, inf), in
    epochs; read towards a retrained model.  Undefined where a run did not get there.

    Args:
        probes: the model's measurements.
        n: forget samples.
        subject: whose value it is.
        confidence: coverage of Student's interval over the seeds.

    Source: Golatkar et al. (2020).
    """
    if probes.relearn is None:
        why = probes.missing.get("relearn", "was not measured")
        return undefined("RELEARN", why, Basis(n), subject=subject, confidence=confidence)
    curves = probes.relearn
    basis = Basis(n, details={"curves": curves.tolist(), "threshold": RELEARNED})
    below = curves < RELEARNED
    if not below.any(axis=1).all():
        why = f"the forget loss did not fall below {RELEARNED} in {curves.shape[1] - 1} epochs in every run"
        return undefined("RELEARN", why, basis, subject=subject, confidence=confidence)
    return defined("RELEARN", _seeds(below.argmax(axis=1).astype(np.float64)), basis, subject=subject, confidence=confidence)


def _seeds(values: Floats) -> Statistic:
    """Student's interval over seeds."""
    m = len(values)
    se = float(values.std(ddof=1) / np.sqrt(m)) if m > 1 else float("nan")
    return student(float(values.mean()), se, m - 1, low=0.0)
