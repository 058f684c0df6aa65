"""What the features still hold of the forget set, and how near they are to a retrained model's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from grmu_audit.errors import InputError
from grmu_audit.intervals import PairedCounts, Proportion, Replicated
from grmu_audit.metrics.checked_predictions import CheckedPredictions, Ints, Mask, row_positions
from grmu_audit.metrics.outcome import Basis, Outcome
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
from grmu_audit.records import Group
from grmu_audit.records.metric_value import Subject
from grmu_audit.records.white_box import WhiteBoxOutputs

Recovered = Mapping[str, tuple[Mask, Mask]]
"""Per way of recovery: [n] forget rows whose label is looked for, and [n] whether it was found."""
Model = tuple[CheckedPredictions, WhiteBoxOutputs]
"""A model's predictions, and what was collected of it."""
RECOVERIES = ("KNN", "PROBE", "PROTO")
"""Ways to recover the label of a forget sample from its features."""
DISTANCES = ("CKA", "ACTIVATION_DISTANCE", "JS")
"""Comparisons of the forget set's features or predictions with a retrained model's."""
NEIGHBOURS = 5
SHOTS = 5
"""Forget samples per class that a prototype is computed from."""
RELEARNED = 0.1
"""Cross-entropy on the forget set, in nats, below which it counts as relearned."""
_FOLDS = 20


def recover_labels(checked: CheckedPredictions, outputs: WhiteBoxOutputs) -> Recovered:
    """Recover the labels of the forget set from the features, in every way that they allow."""
    if outputs.features is None or not checked.predictions.mask("forget").any():
        return {}
    features = outputs.features[row_positions(checked.predictions.ids, outputs)]
    ways: dict[str, Callable[[CheckedPredictions, Features], tuple[Mask, Ints]]]
    ways = {"KNN": _knn, "PROBE": _probe, "PROTO": _prototypes}
    found = {}
    for name, way in ways.items():
        try:
            rows, labels = way(checked, features)
        except InputError:
            continue
        right = np.zeros(len(checked.predictions), dtype=bool)
        right[rows] = labels == checked.predictions.target[rows]
        if rows.any():
            found[name] = (rows, right)
    return found


def _knn(checked: CheckedPredictions, features: Features) -> tuple[Mask, Ints]:
    bank, queried = checked.predictions.mask("retain"), checked.predictions.mask("forget")
    return queried, nearest_neighbours(features[bank], checked.predictions.target[bank], features[queried], NEIGHBOURS)


def _probe(checked: CheckedPredictions, features: Features) -> tuple[Mask, Ints]:
    known, queried = checked.predictions.mask("val"), checked.predictions.mask("forget")
    return queried, linear_probe(features[known], checked.predictions.target[known], features[queried])


def _prototypes(checked: CheckedPredictions, features: Features) -> tuple[Mask, Ints]:
    """Prototypes of the forgotten classes from a few forget samples, of the others from as many validation samples."""
    target, forget, val = checked.predictions.target, checked.predictions.mask("forget"), checked.predictions.mask("val")
    rng = np.random.default_rng([checked.options.seed, 17])
    shown = np.zeros(len(target), dtype=bool)
    for code in range(checked.predictions.classes):
        pool = np.flatnonzero(forget & (target == code))
        if not len(pool):
            pool = np.flatnonzero(val & (target == code))
        shown[rng.permutation(pool)[:SHOTS]] = True
    queried = forget & ~shown
    if len(np.unique(target[shown])) < 2:
        raise InputError("prototypes of two classes are needed")
    return queried, nearest_prototype(features[shown], target[shown], features[queried])


def measure_label_recovery(checked: CheckedPredictions, recovered: Recovered) -> Iterator[Outcome]:
    """``KNN``, ``PROBE``, ``PROTO``: share of the forget set whose label can be recovered from the penultimate features.

    ``KNN``: majority of the 5 nearest retain samples.  ``PROBE``: a logistic regression fitted on validation features.
    ``PROTO``: the nearest class mean of 5 forget samples per class (validation samples for classes without any).  Range
    [0, 1]; read towards a retrained model, from whose features the label can often be recovered too.  Undefined without
    forget samples, features, or samples to fit on.

    Sources: Fan et al. (2025, arXiv 2503.06991) for k-NN; Alain and Bengio (2017) for probes.
    """
    for name in RECOVERIES:
        if name not in recovered:
            yield Outcome.missing(name, _why_not(checked, name), Basis(0))
            continue
        rows, right = recovered[name]
        for group in (None, *groups_of(checked, rows)):
            chosen = rows if group is None else rows & checked.rows((group,))
            basis = Basis(int(chosen.sum()), smallest_group=group, persons=checked.persons(chosen))
            yield Outcome(name, basis, Proportion.of(right[chosen], checked.person_of(chosen)), group=group)


def _why_not(checked: CheckedPredictions, name: str) -> str:
    if not checked.predictions.mask("forget").any():
        return "no forget sample (n = 0)"
    needs = {
        "KNN": f"{NEIGHBOURS} retain samples",
        "PROBE": "validation samples of two classes",
        "PROTO": f"samples of two classes, and more than {SHOTS} forget samples of one",
    }
    return f"needs features and {needs[name]}"


def groups_of(checked: CheckedPredictions, rows: Mask) -> list[Group]:
    """Groups with rows among them, where there is more than one."""
    codes = np.unique(checked.predictions.group[rows])
    return [checked.group(int(code)) for code in codes] if len(codes) > 1 else []


def label_recovery_changes(checked: CheckedPredictions, sides: tuple[Recovered, Recovered]) -> Iterator[Outcome]:
    """Candidate minus other of every recovery, paired on the same forget samples."""
    for name in RECOVERIES:
        if all(name in side for side in sides):
            rows, first, second = sides[0][name][0], sides[0][name][1], sides[1][name][1]
            basis = Basis(int(rows.sum()), persons=checked.persons(rows))
            yield Outcome(name, basis, PairedCounts.of(first[rows], second[rows], checked.person_of(rows)))


def measure_distances(model: Model, references: Mapping[Subject, Model]) -> Iterator[Outcome]:
    """``CKA``, ``ACTIVATION_DISTANCE``, ``JS`` between a model and a retrained one on the forget set.

    ``CKA``: unbiased linear CKA of penultimate features (see ``similarity.cka``), jackknifed over 20 folds of persons.
    ``ACTIVATION_DISTANCE``: mean Euclidean distance of the two softmax vectors, in [0, sqrt 2].  ``JS``: mean
    Jensen-Shannon divergence in bits, in [0, 1].  The value is that to the first reference; details hold every reference's.
    Undefined without forget samples or a reference.

    Args:
        model: the model.
        references: the retrained models (rows in the same order), the primary ones first.
    """
    checked = model[0]
    rows = checked.predictions.mask("forget")
    for name in DISTANCES:
        reason = _why_no_distance(model, list(references.values()), name)
        if reason:
            yield Outcome.missing(name, reason, Basis(int(rows.sum())))
            continue
        for group in (None, *groups_of(checked, rows)):
            chosen = rows if group is None else rows & checked.rows((group,))
            found = {str(subject): _distance(name, model, other, chosen) for subject, other in references.items()}
            details = {"per_reference": {subject: None if s is None else s.value for subject, s in found.items()}}
            basis = Basis(int(chosen.sum()), smallest_group=group, persons=checked.persons(chosen), details=details)
            first = next(iter(found.values()))
            reason = "" if first else f"needs {2 * LEAST_CKA} forget samples of 3 people, and features that vary (n = {basis.n})"
            yield Outcome(name, basis, first, reason, group)


def _why_no_distance(model: Model, references: Sequence[Model], name: str) -> str:
    checked, outputs = model
    if not checked.predictions.mask("forget").any():
        return "no forget sample (n = 0)"
    if not references:
        return "no reference model was given"
    if name == "CKA":
        features = [outputs.features, *(other.features for _, other in references)]
        return "needs features of both models" if any(x is None for x in features) else ""
    logits = [checked.predictions.logits, *(other.predictions.logits for other, _ in references)]
    return "needs logits" if any(x is None for x in logits) else ""


def _distance(name: str, one: Model, other: Model, rows: Mask) -> Replicated | None:
    if name == "CKA":
        return _cka(one, other, rows)
    sides = [np.exp(log_softmax(p.predictions.logits[rows])) for p, _ in (one, other) if p.predictions.logits is not None]
    values = activation_distance(*sides) if name == "ACTIVATION_DISTANCE" else js_divergence(*sides)
    highest = 2**0.5 if name == "ACTIVATION_DISTANCE" else 1.0
    return Replicated.of_samples(values, one[0].person_of(rows), low=0.0, high=highest)


def _cka(one: Model, other: Model, rows: Mask) -> Replicated | None:
    held = [o.features[row_positions(p.predictions.ids, o)][rows] for p, o in (one, other) if o.features is not None]
    person = one[0].person_of(rows)
    code = np.unique(np.arange(len(held[0])) if person is None else person, return_inverse=True)[1]
    folds = code % min(_FOLDS, int(code.max(initial=0)) + 1)
    if len(held[0]) < 2 * LEAST_CKA or int(folds.max(initial=0)) < 2:
        return None
    value = cka(*held)
    left_out = [
        cka(*(z[folds != fold] for z in held)) for fold in range(int(folds.max()) + 1) if (folds != fold).sum() >= LEAST_CKA
    ]
    return Replicated.jackknife(value, np.array(left_out), low=-1.0, high=1.0) if np.isfinite(value) else None


def measure_relearning(checked: CheckedPredictions, outputs: WhiteBoxOutputs) -> Iterator[Outcome]:
    """``RELEARN``: epochs of ordinary training until the forget set's mean cross-entropy is below 0.1 nats.

    Each epoch takes 500 random training samples, the forget set among them, at learning rate 0.01, over several seeds; the
    details hold every curve.  A model that relearns it much faster than a retrained one still holds it.  Range [0, 20], in
    epochs; read towards a retrained model.  The interval is a t interval over the seeds.  Undefined where a run did not get
    there; nothing where relearning was not part of what was collected.

    Source: Golatkar et al. (2020).
    """
    curves, n = outputs.relearn, int(checked.predictions.mask("forget").sum())
    if curves is None:
        if "relearn" in outputs.missing:
            yield Outcome.missing("RELEARN", outputs.missing["relearn"].text, Basis(n))
        return
    basis, below = Basis(n, details={"curves": curves.tolist(), "threshold": RELEARNED}), curves < RELEARNED
    if not below.any(axis=1).all():
        reason = f"the forget loss did not fall below {RELEARNED} in {curves.shape[1] - 1} epochs in every run"
        yield Outcome.missing("RELEARN", reason, basis)
        return
    yield Outcome("RELEARN", basis, Replicated.of_runs(below.argmax(axis=1).astype(np.float64), low=0.0))
