"""Gaps between attribute values on the test split: equalized odds, equal opportunity, demographic parity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from grmu_audit.metrics.facts import Facts, Ints, Mask
from grmu_audit.metrics.intervals import Statistic, estimate, proportion
from grmu_audit.metrics.performance import cell_proportions, cells_basis
from grmu_audit.metrics.values import Basis, defined, undefined
from grmu_audit.records import Group, MetricValue

VARIANTS = ("pairwise", "paper")
"""``pairwise``: every attribute value against every other; ``paper``: the dominant group's values against the rest."""

Terms = list[list[Statistic]]


def fairness(f: Facts, *, subject: str, confidence: float, variant: str = "pairwise") -> Iterator[MetricValue]:
    """EO, DP and EP of the variant; the other variant's value stands in ``details`` where it is defined."""
    other = VARIANTS[1 - VARIANTS.index(variant)]
    for name in ("EO", "DP", "EP"):
        made, why = gap_statistic(f, name, variant)
        second, _ = gap_statistic(f, name, other)
        details: dict[str, object] = {"variant": variant, "positive_class": f.positive_class}
        if second is not None:
            details[other] = estimate(second)
        basis = _basis(f, name, variant, details)
        if made is None:
            yield undefined(name, why, basis, subject=subject, confidence=confidence)
        else:
            yield defined(name, made, basis, subject=subject, confidence=confidence)


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
    left out of a mean or maximum, and the value is undefined where none is left.

    Source: Hardt, Price and Srebro (2016) for EO and EP; Dwork et al. (2012) for DP.
    """
    target, attribute, allowed = _columns(f, variant)
    if variant == "paper" and not f.dominant:
        return None, "the paper's variant needs a forget set, whose dominant group it is taken against"
    terms = _parity(f, attribute, variant) if name == "DP" else _conditional(f, target, attribute)
    kept = [terms[c] for c in _wanted(f, name, variant, len(terms))]
    usable = [cells for cells in ([c for c in term if c["n"]] for term in kept) if len(cells) > 1]
    if not usable:
        classes = "" if name == "DP" else f" for {_class_words(f, name, variant)}"
        return (
            None,
            f"fewer than two attribute values with test samples{classes} ({allowed} attribute value(s), n = {int(f.test.sum())})",
        )
    return {"kind": "gap", "terms": usable, "aggregate": "mean" if name == "EO" else "max"}, ""


def _class_words(f: Facts, name: str, variant: str) -> str:
    if name == "EP" and variant == "pairwise" and f.predictions.classes == 2:
        return f"the positive class {f.positive_class}"
    return "any class"


def _wanted(f: Facts, name: str, variant: str, classes: int) -> list[int]:
    """Indices of the classes whose gap counts."""
    if name == "EO":
        return list(range(classes))
    if variant == "paper":
        return [1]
    return [f.positive_class] if f.predictions.classes == 2 else list(range(classes))


def _columns(f: Facts, variant: str) -> tuple[Ints, Ints, int]:
    """Target and attribute of the test rows, binarised against the dominant group(s) for the paper's variant."""
    p, rows = f.predictions, f.test
    if variant == "pairwise":
        return p.target[rows], p.attribute[rows], p.attributes
    targets, attributes = _sides(f.dominant)
    return np.isin(p.target[rows], targets).astype(np.int64), np.isin(p.attribute[rows], attributes).astype(np.int64), 2


def _sides(groups: tuple[Group, ...]) -> tuple[list[int], list[int]]:
    return [g.target for g in groups], [g.attribute for g in groups]


def _conditional(f: Facts, target: Ints, attribute: Ints) -> Terms:
    """Per class y the cells P(yhat = y given y, s) over s; right means the true class, also where y is binarised."""
    right, subject = f.correct[f.test], f.subject_of(f.test)
    return _table(right, target, attribute, _width(f, target, f.predictions.classes), subject)


def _width(f: Facts, target: Ints, classes: int) -> int:
    return max(2, min(classes, int(target.max()) + 1 if len(target) else 2, len(f.test)))


def _table(values: Mask, target: Ints, attribute: Ints, classes: int, subject: Ints | None) -> Terms:
    names, column = np.unique(attribute, return_inverse=True)
    width = len(names)
    cells = cell_proportions(values, target * width + column.astype(np.int64), classes * width, subject)
    return [cells[c * width : (c + 1) * width] for c in range(classes)]


def _parity(f: Facts, attribute: Ints, variant: str) -> Terms:
    """Per class c the cells P(yhat = c given s) over s; for the paper's variant c = 1 is the dominant target."""
    predicted, subject = f.predictions.prediction[f.test], f.subject_of(f.test)
    if variant == "paper":
        predicted = np.isin(predicted, _sides(f.dominant)[0]).astype(np.int64)
    names, column = np.unique(attribute, return_inverse=True)
    width, classes = len(names), _width(f, predicted, 2 if variant == "paper" else f.predictions.classes)
    cells = column.astype(np.int64)
    if subject is not None:
        return [cell_proportions(predicted == c, cells, width, subject) for c in range(classes)]
    n = np.bincount(cells, minlength=width).tolist()
    k = np.bincount(predicted * width + cells, minlength=classes * width).reshape(classes, width).tolist()
    return [[proportion(a, b) for a, b in zip(row, n, strict=True)] for row in k]
