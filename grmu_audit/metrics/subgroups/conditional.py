"""Gaps between attribute values within strata of control attributes, and the largest of these gaps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from grmu_audit.intervals import Gap, Largest, Least, Statistic
from grmu_audit.metrics.accuracy import cell_proportions
from grmu_audit.metrics.catalog.subgroups import CONDITIONAL
from grmu_audit.metrics.checked_predictions import CheckedPredictions, Ints, crossed_names, regroup, restricted
from grmu_audit.metrics.fairness import GAPS, gap_statistic
from grmu_audit.metrics.outcome import Basis, Outcome, with_options
from grmu_audit.metrics.selection import impact_ratio
from grmu_audit.records import Group

MOST_STRATA = 100
"""Strata up to which conditional metrics are measured."""


@dataclass(frozen=True, eq=False)
class _Stratum:
    """The test rows with one combination of control values, grouped by the other attributes."""

    name: str
    """Control attributes with their values."""
    rows: CheckedPredictions
    """These rows alone."""
    cells: tuple[Group, ...]
    """Declared cells of the audit that lie in it, also those without test rows."""


def measure_conditional(checked: CheckedPredictions) -> Iterator[Outcome]:
    """CONDITIONAL_DP, _EO, _EP, _IMPACT_RATIO and _ACCURACY_GAP; nothing where the options name no control attributes.

    Within every stratum c, the test rows with one combination of control values, the gap between the values of all other
    attributes crossed is that of ``gap_statistic`` (pairwise), of ``impact_ratio``, or max_s - min_s of the accuracy.  The
    value is the largest gap over strata (the smallest ratio); range [0, 1].  A stratum without a gap is left out: its declared
    cells are ``empty_cells``, so that no rule passes on such a value, and ``details["undefined_strata"]`` says why, by its
    name.  Undefined where no stratum has a gap, or with more than 100 strata.  ``details["strata"]`` holds the value of each.

    Source: Corbett-Davies et al. (2017), conditional statistical parity; fairlearn's ``MetricFrame`` with ``control_features``.
    """
    if not checked.options.control_attributes:
        return
    strata = _strata(checked)
    for name in CONDITIONAL:
        yield _outcome(checked, name, strata)


def _strata(checked: CheckedPredictions) -> list[_Stratum]:
    """Every declared stratum, in the order of its values; none where there are too many."""
    p, controls = checked.predictions, checked.options.control_attributes
    others = [name for name, _ in p.factors if name not in controls]
    every = np.arange(p.attributes)
    grid = replace(p, attribute=every)
    stratum_of, other_of = (regroup(grid, names).attribute for names in (controls, others))
    declared = [checked.group(code) for code in checked.cells[0].tolist()]
    codes = sorted({int(stratum_of[cell.attribute]) for cell in declared})
    if len(codes) > MOST_STRATA:
        return []
    test = restricted(checked, checked.test)
    mine = stratum_of[test.predictions.attribute]
    width = int(other_of.max()) + 1
    names = crossed_names([factor for name in controls for factor in p.factors if factor[0] == name])
    found = []
    for code in codes:
        part = restricted(test, mine == code)
        alone = replace(part.predictions, attribute=other_of[part.predictions.attribute], attributes=width)
        rows = CheckedPredictions(replace(alone, attribute_names=(), factors=()), (), checked.options)
        found.append(_Stratum(names[code], rows, tuple(cell for cell in declared if stratum_of[cell.attribute] == code)))
    return found


def _outcome(checked: CheckedPredictions, name: str, strata: list[_Stratum]) -> Outcome:
    measured = {stratum.name: _within(name, stratum.rows) for stratum in strata}
    known = {stratum: statistic for stratum, (statistic, _) in measured.items() if statistic is not None}
    undefined = {stratum: reason for stratum, (_, reason) in measured.items() if reason}
    basis = _basis(checked, name, strata, undefined)
    if not known:
        listed = "; ".join(f"{stratum}: {reason}" for stratum, reason in list(undefined.items())[:3])
        reason = f"no stratum has one ({listed})" if strata else f"there are more than {MOST_STRATA} strata"
        return Outcome.missing(name, reason, basis)
    basis.details["strata"] = {stratum: _describe(statistic, checked) for stratum, statistic in known.items()}
    combined = Least if CONDITIONAL[name] == "IMPACT_RATIO" else Largest
    return Outcome(name, basis, combined(tuple(known.values())))


def _within(name: str, rows: CheckedPredictions) -> tuple[Statistic | None, str]:
    """The statistic of a metric on the rows of one stratum, or None with the reason."""
    if not len(rows.predictions):
        return None, "no test sample (n = 0)"
    kind = CONDITIONAL[name]
    if kind in GAPS:
        return gap_statistic(rows, kind, "pairwise")
    if kind == "IMPACT_RATIO":
        found = impact_ratio(rows)
        return found.statistic, found.reason
    values, cell = np.unique(rows.predictions.attribute, return_inverse=True)
    if len(values) < 2:
        return None, f"fewer than two attribute values with test samples (n = {len(cell)})"
    cells = cell_proportions(rows.correct, cell.astype(np.int64), len(values), rows.predictions.subject)
    return Gap((tuple(cells),), "max"), ""


def _describe(statistic: Statistic, checked: CheckedPredictions) -> dict[str, object]:
    limits = with_options(statistic, checked.options).interval(checked.options.confidence)
    return {"value": statistic.estimate, "interval": list(limits) if limits else None}


def _basis(checked: CheckedPredictions, name: str, strata: list[_Stratum], undefined: Mapping[str, str]) -> Basis:
    """All test rows; the smallest cell that a rate within a stratum rests on, by its name."""
    left_out = {cell for stratum in strata if stratum.name in undefined for cell in stratum.cells}
    options = checked.options
    details: dict[str, object] = {
        "control_attributes": list(options.control_attributes),
        "positive_class": options.positive_class,
    }
    if undefined:
        details["undefined_strata"] = dict(undefined)
    empty = tuple(sorted(left_out | set(checked.empty_cells)))
    basis = Basis(int(checked.test.sum()), 0, None, empty, checked.persons(checked.test), details)
    rows = checked.test & _counting(checked, name)
    by_class = CONDITIONAL[name] in ("EO", "EP")
    codes, counts = np.unique(
        (checked.predictions.group if by_class else checked.predictions.attribute)[rows], return_counts=True
    )
    if not len(codes):
        return basis
    least, count = int(codes[counts.argmin()]), int(counts.min())
    if by_class:
        return replace(basis, smallest_cell=count, smallest_group=checked.group(least))
    details["smallest_cell"] = _name(checked, least)
    return replace(basis, smallest_cell=count)


def _counting(checked: CheckedPredictions, name: str) -> Ints | bool:
    """[n] which rows count: those of the positive class where only that class does."""
    only = CONDITIONAL[name] == "EP" and checked.predictions.classes == 2
    return checked.predictions.target == checked.options.positive_class if only else True


def _name(checked: CheckedPredictions, code: int) -> str:
    names = checked.predictions.attribute_names
    return names[code] if code < len(names) else f"attribute {code}"
