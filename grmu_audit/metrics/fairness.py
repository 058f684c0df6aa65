"""Gaps between attribute values on the test split: equalized odds, equal opportunity, demographic parity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from grmu_audit.intervals.combined import estimate, interval
from grmu_audit.intervals.proportions import sample_size
from grmu_audit.intervals.statistic import Statistic
from grmu_audit.metrics.accuracy import cell_statistics, cells_basis
from grmu_audit.metrics.checked_predictions import Facts, Ints, regroup
from grmu_audit.metrics.outcome import Basis, defined, undefined
from grmu_audit.records import MetricValue, Subject

VARIANTS = ("pairwise", "paper")
"""``pairwise``: every attribute value against every other; ``paper``: the dominant group's values against the rest."""
Terms = list[list[Statistic]]
_MANY_CLASSES = 1000


def fairness(f: Facts, *, subject: Subject, confidence: float, variant: str = "pairwise") -> Iterator[MetricValue]:
    """EO, DP and EP of the variant; the other variant's value stands in ``details`` where it is defined."""
    other = VARIANTS[1 - VARIANTS.index(variant)]
    for name in ("EO", "DP", "EP"):
        made, why = gap_statistic(f, name, variant)
        second, _ = gap_statistic(f, name, other)
        details: dict[str, object] = {"variant": variant, "positive_class": f.positive_class}
        if second is not None:
            details[other] = estimate(second)
        if len(f.predictions.factors) > 1:
            details["by_attribute"] = _each_attribute(f, name, confidence)
        basis = _basis(f, name, variant, details)
        if made is None:
            yield undefined(name, why, basis, subject=subject, confidence=confidence)
        else:
            yield defined(name, made, basis, subject=subject, confidence=confidence)


def _each_attribute(f: Facts, name: str, confidence: float) -> dict[str, object]:
    """The pairwise gap over each attribute alone, where ``attribute`` is crossed from several."""
    found: dict[str, object] = {}
    for factor, _ in f.predictions.factors:
        alone = Facts(regroup(f.predictions, [factor]), (), f.seed, f.positive_class)
        made, why = gap_statistic(alone, name, "pairwise")
        found[factor] = {"value": estimate(made), "interval": interval(made, confidence)} if made else {"why_missing": why}
    return found


def _basis(f: Facts, name: str, variant: str, details: dict[str, object]) -> Basis:
    """All test cells; the smallest one among those of the positive class where only that class counts."""
    basis = cells_basis(f, details=details)
    if name != "EP" or variant != "pairwise" or f.predictions.classes != 2:
        return basis
    cells = f.cells[0] // f.predictions.attributes == f.positive_class
    filled = np.flatnonzero(cells & (f.test_counts > 0))
    if not len(filled):
        return replace(basis, smallest_cell=0, smallest_group=None)
    least = int(filled[np.argmin(f.test_counts[filled])])
    return replace(basis, smallest_cell=int(f.test_counts[least]), smallest_group=f.group(int(f.cells[0][least])))


def gap_statistic(f: Facts, name: str, variant: str) -> tuple[Statistic | None, str]:
    """The statistic of EO, DP or EP, or None with the reason.

    EO = mean over y of max_s - min_s of P(yhat = y given y, s); EP = the same gap at y = 1, or its maximum over y
    with more than two classes; DP = max_s - min_s of P(yhat = 1 given s), or its maximum over classes.  Range
    [0, 1], lower is better.  A class that fewer than two attribute values have test samples of has no gap: it is
    left out of a mean or maximum, and the value is undefined where none is left; also where every test sample gets the
    same prediction, or (EO) has the same class, since a gap of 0 would then say nothing.

    Source: Hardt, Price and Srebro (2016) for EO and EP; Dwork et al. (2012) for DP.
    """
    if variant == "paper" and not f.dominant:
        return None, "the paper's variant needs a forget set, whose dominant group it is taken against"
    collapsed = _collapsed(f, name)
    if collapsed:
        return None, collapsed
    usable = _terms((f,), name, variant)
    if usable:
        return {"kind": "gap", "terms": usable, "aggregate": _aggregate(name)}, ""
    positive = name == "EP" and variant == "pairwise" and f.predictions.classes == 2
    classes = "" if name == "DP" else f" for {f'the positive class {f.positive_class}' if positive else 'any class'}"
    return None, f"fewer than two attribute values with test samples{classes} (n = {int(f.test.sum())})"


def _collapsed(f: Facts, name: str) -> str:
    """Why a gap would be 0 by construction, or an empty string."""
    predicted, target = f.predictions.prediction[f.test], f.predictions.target[f.test]
    if len(predicted) > 1 and predicted.min() == predicted.max():
        return f"every test sample is predicted as class {int(predicted[0])}: a gap of 0 would say nothing (n = {len(predicted)})"
    if name == "EO" and len(target) and target.min() == target.max():
        return f"only class {int(target[0])} occurs among the test samples (n = {len(target)})"
    return ""


def gap_change(f: Facts, g: Facts, name: str, variant: str, sides: tuple[Statistic, Statistic]) -> Statistic:
    """The change of EO, DP or EP from model ``g`` to model ``f`` with the paired counts of every cell."""
    paired = {"terms": _terms((f, g), name, variant), "aggregate": _aggregate(name)}
    return {"kind": "bounded_change", "left": sides[0], "right": sides[1], **paired}


def _aggregate(name: str) -> str:
    return "mean" if name == "EO" else "max"


def _terms(models: Sequence[Facts], name: str, variant: str) -> Terms:
    """Per class the cells over attribute values that have test samples; classes with fewer than two are left out.

    With one model a cell is a proportion, with two the paired counts of both.
    """
    by_class = _parity(models, variant) if name == "DP" else _conditional(models, variant)
    wanted = _wanted(models[0], name, variant, list(by_class))
    filled = [[cell for cell in by_class.get(c, []) if sample_size(cell) > 0] for c in wanted]
    return [cells for cells in filled if len(cells) > 1]


def _wanted(f: Facts, name: str, variant: str, classes: list[int]) -> list[int]:
    """The classes whose gap counts."""
    if name == "EO":
        return classes
    if variant == "paper":
        return [1]
    return [f.positive_class] if f.predictions.classes == 2 else classes


def _attribute(f: Facts, variant: str) -> tuple[Ints, int]:
    """Attribute column of the test rows from 0 without gaps, and its width; binarised for the paper's variant."""
    attribute = f.predictions.attribute[f.test]
    if variant == "paper":
        attribute = np.isin(attribute, [g.attribute for g in f.dominant]).astype(np.int64)
    names, column = np.unique(attribute, return_inverse=True)
    return column.astype(np.int64), len(names)


def _conditional(models: Sequence[Facts], variant: str) -> dict[int, list[Statistic]]:
    """Per class y the cells P(yhat = y given y, s) over s; right means the true class, also where y is binarised."""
    f = models[0]
    target = f.predictions.target[f.test]
    if variant == "paper":
        target = np.isin(target, [g.target for g in f.dominant]).astype(np.int64)
    classes, row = np.unique(target, return_inverse=True)
    column, width = _attribute(f, variant)
    right = [m.correct[f.test] for m in models]
    cells = cell_statistics(right, row.astype(np.int64) * width + column, len(classes) * width, f.subject_of(f.test))
    return {c: cells[i * width : (i + 1) * width] for i, c in enumerate(classes.tolist())}


def _parity(models: Sequence[Facts], variant: str) -> dict[int, list[Statistic]]:
    """Per class c the cells P(yhat = c given s) over s; for the paper's variant c = 1 is the dominant target."""
    f = models[0]
    column, width = _attribute(f, variant)
    predicted = [m.predictions.prediction[f.test] for m in models]
    if variant == "paper":
        predicted = [np.isin(x, [g.target for g in f.dominant]).astype(np.int64) for x in predicted]
    wanted = _wanted(f, "DP", variant, _predictable(f, predicted))
    return {c: cell_statistics([x == c for x in predicted], column, width, f.subject_of(f.test)) for c in wanted}


def _predictable(f: Facts, predicted: Sequence[Ints]) -> list[int]:
    """All classes; only those that are ever predicted where there are very many, since the others have no gap."""
    if f.predictions.classes <= _MANY_CLASSES:
        return list(range(f.predictions.classes))
    found: list[int] = np.unique(np.concatenate(predicted)).tolist()
    return found
