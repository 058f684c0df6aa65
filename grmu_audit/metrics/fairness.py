"""Gaps between attribute values on the test split: equalized odds, equal opportunity, demographic parity."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from grmu_audit.intervals import Gap, GapChange, PairedCounts, Proportion
from grmu_audit.intervals.design_effects import contrast_inflation
from grmu_audit.intervals.gaps import GapAggregate
from grmu_audit.intervals.proportions import Cell, non_empty
from grmu_audit.metrics.accuracy import cell_pairs, cell_proportions, cells_basis
from grmu_audit.metrics.checked_predictions import VARIANTS, CheckedPredictions, Ints, Mask, regroup
from grmu_audit.metrics.outcome import Basis, Outcome, with_options

GAPS = ("EO", "DP", "EP")
"""Gaps between attribute values."""
_MANY_CLASSES = 1000
_Count = Callable[[Sequence[Mask], Ints, int, Ints | None], list[Cell]]


def measure_fairness(checked: CheckedPredictions) -> Iterator[Outcome]:
    """EO, DP and EP of the variant; the other variant's value is in ``details`` where it is defined."""
    variant = checked.options.gap_variant
    other = VARIANTS[1 - VARIANTS.index(variant)]
    for name in GAPS:
        statistic, reason = gap_statistic(checked, name, variant)
        second, _ = gap_statistic(checked, name, other)
        details: dict[str, object] = {"variant": variant, "positive_class": checked.options.positive_class}
        if second is not None:
            details[other] = second.estimate
        if len(checked.predictions.factors) > 1:
            details["by_attribute"] = _each_attribute(checked, name)
        yield Outcome(name, _basis(checked, name, variant, details), statistic, reason)


def _each_attribute(checked: CheckedPredictions, name: str) -> dict[str, object]:
    """The pairwise gap over each attribute alone, where ``attribute`` is crossed from several."""
    found: dict[str, object] = {}
    for factor, _ in checked.predictions.factors:
        alone = CheckedPredictions(regroup(checked.predictions, [factor]), (), checked.options)
        statistic, reason = gap_statistic(alone, name, "pairwise")
        found[factor] = {"why_missing": reason}
        if statistic is not None:
            limits = with_options(statistic, checked.options).interval(checked.options.confidence)
            found[factor] = {"value": statistic.estimate, "interval": limits}
    return found


def _basis(checked: CheckedPredictions, name: str, variant: str, details: dict[str, object]) -> Basis:
    """All test cells; the smallest one among those of the positive class where only that class counts."""
    basis = cells_basis(checked, details=details)
    if name != "EP" or variant != "pairwise" or checked.predictions.classes != 2:
        return basis
    cells = checked.cells[0] // checked.predictions.attributes == checked.options.positive_class
    filled = np.flatnonzero(cells & (checked.test_counts > 0))
    if not len(filled):
        return replace(basis, smallest_cell=0, smallest_group=None)
    least = int(filled[np.argmin(checked.test_counts[filled])])
    group = checked.group(int(checked.cells[0][least]))
    return replace(basis, smallest_cell=int(checked.test_counts[least]), smallest_group=group)


def gap_statistic(checked: CheckedPredictions, name: str, variant: str) -> tuple[Gap | None, str]:
    """The statistic of EO, DP or EP, or None with the reason.

    EO = mean over y of max_s - min_s of P(yhat = y given y, s); EP = the same gap at y = 1, or its maximum over y
    with more than two classes; DP = max_s - min_s of P(yhat = 1 given s), or its maximum over classes.  Range
    [0, 1], lower is better.  A class that fewer than two attribute values have test samples of has no gap: it is
    left out of a mean or maximum, and the value is undefined where none is left; also where every test sample gets the
    same prediction, or (EO) has the same class, since a gap of 0 would then say nothing.

    Source: Hardt, Price and Srebro (2016) for EO and EP; Dwork et al. (2012) for DP.
    """
    if variant == "paper" and not checked.dominant_groups:
        return None, "the paper's variant needs a forget set, whose dominant group it is taken against"
    collapsed = _why_collapsed(checked, name)
    if collapsed:
        return None, collapsed
    usable = _terms((checked,), name, variant, _proportions)
    if usable:
        return Gap(usable, _aggregate(name), dependence=_dependence((checked,), name, variant)), ""
    positive = name == "EP" and variant == "pairwise" and checked.predictions.classes == 2
    classes = (
        "" if name == "DP" else f" for {f'the positive class {checked.options.positive_class}' if positive else 'any class'}"
    )
    return None, f"fewer than two attribute values with test samples{classes} (n = {int(checked.test.sum())})"


def _why_collapsed(checked: CheckedPredictions, name: str) -> str:
    """Why a gap would be 0 by construction, or an empty string."""
    predicted, target = checked.predictions.prediction[checked.test], checked.predictions.target[checked.test]
    if len(predicted) > 1 and predicted.min() == predicted.max():
        return f"every test sample is predicted as class {int(predicted[0])}: a gap of 0 would say nothing (n = {len(predicted)})"
    if name == "EO" and len(target) and target.min() == target.max():
        return f"only class {int(target[0])} occurs among the test samples (n = {len(target)})"
    return ""


def gap_change(candidate: CheckedPredictions, other: CheckedPredictions, name: str, sides: tuple[Gap, Gap]) -> GapChange:
    """The change of EO, DP or EP from the other model to the candidate with the paired counts of every cell."""
    models, variant = (candidate, other), candidate.options.gap_variant
    terms = _terms(models, name, variant, _pairs)
    return GapChange(*sides, terms, _aggregate(name), _dependence(models, name, variant))


def _aggregate(name: str) -> GapAggregate:
    return "mean" if name == "EO" else "max"


def _proportions(values: Sequence[Mask], cell: Ints, cells: int, person: Ints | None) -> list[Proportion]:
    return cell_proportions(values[0], cell, cells, person)


def _pairs(values: Sequence[Mask], cell: Ints, cells: int, person: Ints | None) -> list[PairedCounts]:
    return cell_pairs(values[0], values[1], cell, cells, person)


def _terms(models: Sequence[CheckedPredictions], name: str, variant: str, count: _Count[Cell]) -> tuple[tuple[Cell, ...], ...]:
    """Per class the cells over attribute values that have test samples; classes with fewer than two are left out.

    With one model a cell is a proportion, with two the paired counts of both.
    """
    by_class = _parity(models, variant, count) if name == "DP" else _conditional(models, variant, count)
    wanted = _wanted(models[0], name, variant, list(by_class))
    filled = [tuple(non_empty(by_class.get(c, []))) for c in wanted]
    return tuple(cells for cells in filled if len(cells) > 1)


def _wanted(checked: CheckedPredictions, name: str, variant: str, classes: list[int]) -> list[int]:
    """The classes whose gap counts."""
    if name == "EO":
        return classes
    if variant == "paper":
        return [1]
    return [checked.options.positive_class] if checked.predictions.classes == 2 else classes


def _attribute(checked: CheckedPredictions, variant: str) -> tuple[Ints, int]:
    """Attribute column of the test rows from 0 without gaps, and its width; binarised for the paper's variant."""
    attribute = checked.predictions.attribute[checked.test]
    if variant == "paper":
        attribute = np.isin(attribute, [g.attribute for g in checked.dominant_groups]).astype(np.int64)
    names, column = np.unique(attribute, return_inverse=True)
    return column.astype(np.int64), len(names)


def _class_rows(checked: CheckedPredictions, variant: str) -> tuple[list[int], Ints]:
    """The classes of the test rows and the position of each row's among them; binarised for the paper's variant."""
    target = checked.predictions.target[checked.test]
    if variant == "paper":
        target = np.isin(target, [g.target for g in checked.dominant_groups]).astype(np.int64)
    classes, row = np.unique(target, return_inverse=True)
    return classes.tolist(), row.astype(np.int64)


def _called(models: Sequence[CheckedPredictions], variant: str) -> list[Ints]:
    """Per model the predicted class of the test rows; for the paper's variant 1 is the dominant target."""
    predicted = [model.predictions.prediction[models[0].test] for model in models]
    if variant != "paper":
        return predicted
    return [np.isin(x, [g.target for g in models[0].dominant_groups]).astype(np.int64) for x in predicted]


def _dependence(models: Sequence[CheckedPredictions], name: str, variant: str) -> float:
    """How much one person's samples in several cells can widen the gap's limits: see ``contrast_inflation``."""
    first = models[0]
    person = first.person_of(first.test)
    if person is None or first.options.interval_forms < 2:
        return 1.0
    column = _attribute(first, variant)[0]
    if name == "DP":
        called = _called(models, variant)
        whole = np.zeros(len(column), dtype=np.int64)
        wanted = _wanted(first, "DP", variant, _predictable(first, called))
        return max(contrast_inflation(_difference([x == c for x in called]), whole, column, person)[0] for c in wanted)
    classes, row = _class_rows(first, variant)
    used = np.isin(row, [i for i, c in enumerate(classes) if c in set(_wanted(first, name, variant, classes))])
    right = _difference([model.correct[first.test] for model in models])
    one, mean = contrast_inflation(right[used], np.unique(row[used], return_inverse=True)[1], column[used], person[used])
    return mean if name == "EO" else one


def _difference(values: Sequence[Mask]) -> Ints:
    """[n] 1 or 0 of one model, or the first model's minus the second's."""
    numbers = [v.astype(np.int64) for v in values]
    return numbers[0] if len(numbers) == 1 else numbers[0] - numbers[1]


def _conditional(models: Sequence[CheckedPredictions], variant: str, count: _Count[Cell]) -> Mapping[int, list[Cell]]:
    """Per class y the cells P(yhat = y given y, s) over s; right means the true class, also where y is binarised."""
    first = models[0]
    classes, row = _class_rows(first, variant)
    column, width = _attribute(first, variant)
    right = [model.correct[first.test] for model in models]
    cells = count(right, row * width + column, len(classes) * width, first.person_of(first.test))
    return {c: cells[i * width : (i + 1) * width] for i, c in enumerate(classes)}


def _parity(models: Sequence[CheckedPredictions], variant: str, count: _Count[Cell]) -> Mapping[int, list[Cell]]:
    """Per class c the cells P(yhat = c given s) over s; for the paper's variant c = 1 is the dominant target."""
    first = models[0]
    column, width = _attribute(first, variant)
    predicted = _called(models, variant)
    wanted = _wanted(first, "DP", variant, _predictable(first, predicted))
    return {c: count([x == c for x in predicted], column, width, first.person_of(first.test)) for c in wanted}


def _predictable(checked: CheckedPredictions, predicted: Sequence[Ints]) -> list[int]:
    """All classes; only those that are ever predicted where there are very many, since the others have no gap."""
    if checked.predictions.classes <= _MANY_CLASSES:
        return list(range(checked.predictions.classes))
    found: list[int] = np.unique(np.concatenate(predicted)).tolist()
    return found
