"""How attribute values fare in what a two-class model selects: impact ratio, predictive parity, calibration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from grmu_audit.intervals import Gap, Proportion, RateRatio, Replicated, Spread
from grmu_audit.metrics.checked_predictions import CheckedPredictions, Mask
from grmu_audit.metrics.outcome import Basis, Outcome
from grmu_audit.metrics.scores import log_softmax
from grmu_audit.records import Group

SELECTION = ("IMPACT_RATIO", "PREDICTIVE_PARITY", "CALIBRATION_GAP")
"""Metrics of this module."""
_NO_SPREAD = 1e-12


@dataclass(frozen=True)
class _Value:
    """Test rows of one attribute value."""

    name: str
    rows: Mask
    """[n] which rows."""
    cells: tuple[Group, ...]
    """Its declared cells, in any split."""

    @property
    def measured(self) -> bool:
        """Whether it has such rows."""
        return bool(self.rows.any())


def measure_selection(checked: CheckedPredictions) -> Iterator[Outcome]:
    """IMPACT_RATIO, PREDICTIVE_PARITY, CALIBRATION_GAP; what each attribute value has is in ``details``.

    IMPACT_RATIO = min_s P(yhat = 1 given s) / max_s P(yhat = 1 given s); range [0, 1], 1 is equal.  PREDICTIVE_PARITY = max_s -
    min_s of P(y = 1 given yhat = 1, s).  CALIBRATION_GAP = max_s - min_s of mean(p_1 - [y = 1]) over the test rows of s, p_1 the
    probability that the model gives the positive class.  Only attribute values with (selected) test rows count; the declared
    cells of all others are ``empty_cells``, so that no rule passes on such a value.  Undefined with more than two classes, with
    fewer than two such values, where nobody is selected, and for the last without scores.

    Source: 6 RCNY 5-301 (impact ratio); Chouldechova (2017) for predictive parity; Pleiss et al. (2017) for calibration.
    """
    if checked.predictions.classes != 2:
        yield from (Outcome.missing(name, _other_classes(checked), Basis(int(checked.test.sum()))) for name in SELECTION)
        return
    values = _values(checked)
    yield _impact_ratio(checked, values)
    yield _predictive_parity(checked, values)
    yield _calibration(checked, values)


def _values(checked: CheckedPredictions) -> list[_Value]:
    """Every declared attribute value, also without test rows."""
    attribute, cells = checked.predictions.attribute, [checked.group(code) for code in checked.cells[0].tolist()]
    return [
        _Value(str(code), checked.test & (attribute == code), tuple(cell for cell in cells if cell.attribute == code))
        for code in sorted({cell.attribute for cell in cells})
    ]


def impact_ratio(checked: CheckedPredictions) -> Outcome:
    """IMPACT_RATIO alone; as ``measure_selection``."""
    if checked.predictions.classes != 2:
        return Outcome.missing("IMPACT_RATIO", _other_classes(checked), Basis(int(checked.test.sum())))
    return _impact_ratio(checked, _values(checked))


def _other_classes(checked: CheckedPredictions) -> str:
    return f"it is for two classes, and there are {checked.predictions.classes}"


def _impact_ratio(checked: CheckedPredictions, values: list[_Value]) -> Outcome:
    chosen = checked.predictions.prediction == checked.options.positive_class
    cells = [_share(checked, chosen, value.rows) for value in values if value.measured]
    basis = _basis(checked, values, cells)
    reason = _few(values) or ("" if any(cell.k for cell in cells) else f"no test sample is selected (n = {basis.n})")
    return Outcome("IMPACT_RATIO", basis, None if reason else RateRatio(tuple(cells)), reason)


def _predictive_parity(checked: CheckedPredictions, values: list[_Value]) -> Outcome:
    positive = checked.options.positive_class
    chosen, true = checked.predictions.prediction == positive, checked.predictions.target == positive
    values = [replace(value, rows=value.rows & chosen) for value in values]
    cells = [_share(checked, true, value.rows) for value in values if value.measured]
    reason = _few(values, "selected ")
    return Outcome("PREDICTIVE_PARITY", _basis(checked, values, cells), None if reason else Gap((tuple(cells),), "max"), reason)


def _calibration(checked: CheckedPredictions, values: list[_Value]) -> Outcome:
    logits, positive = checked.predictions.logits, checked.options.positive_class
    if logits is None:
        return Outcome.missing("CALIBRATION_GAP", "the predictions have no scores", _basis(checked, values, []))
    excess = np.exp(log_softmax(logits)[:, positive]) - (checked.predictions.target == positive)
    terms = [_mean(checked, excess, value.rows) for value in values if value.measured]
    reason = _few(values) or (
        ""
        if all(term.se is not None for term in terms)
        else "an attribute value has one test sample or person, or several that are all alike"
    )
    return Outcome("CALIBRATION_GAP", _basis(checked, values, terms), None if reason else Spread(tuple(terms)), reason)


def _share(checked: CheckedPredictions, happened: Mask, rows: Mask) -> Proportion:
    return Proportion.of(happened[rows], checked.person_of(rows))


def _mean(checked: CheckedPredictions, numbers: np.ndarray, rows: Mask) -> Replicated:
    """Mean of a group with its standard error by people: squares of each person's summed distance from the mean."""
    own, person = numbers[rows], checked.person_of(rows)
    if person is not None:
        _, person = np.unique(person, return_inverse=True)
    sums = own - own.mean() if person is None else np.bincount(person, weights=own - own.mean())
    units = len(sums)
    se = float(np.sqrt((sums**2).sum() * units / (units - 1)) / len(own)) if units > 1 else 0.0
    # people who are all alike say nothing about how much people differ
    return Replicated(float(own.mean()), se if se > _NO_SPREAD else None, max(units - 1, 1), -1.0, 1.0)


def _few(values: list[_Value], what: str = "") -> str:
    return "" if sum(value.measured for value in values) > 1 else f"fewer than two attribute values have {what}test samples"


def _basis(checked: CheckedPredictions, values: list[_Value], cells: list[Proportion] | list[Replicated]) -> Basis:
    rows = np.logical_or.reduce([value.rows for value in values])
    empty = tuple(sorted(cell for value in values if not value.measured for cell in value.cells))
    values = [value for value in values if value.measured]
    sizes = [int(value.rows.sum()) for value in values]
    each: dict[str, object] = {}
    for value, cell, size in zip(values, cells, sizes, strict=False):
        limits = cell.interval(checked.options.confidence)
        each[value.name] = {"value": cell.estimate, "interval": list(limits) if limits else None, "n": size}
    details = {"positive_class": checked.options.positive_class, "by_attribute_value": each}
    return Basis(int(rows.sum()), min(sizes, default=0), empty_cells=empty, persons=checked.persons(rows), details=details)
