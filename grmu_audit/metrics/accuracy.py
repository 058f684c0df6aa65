"""Accuracies: per split, of the dominant group(s), of the worst group, and of every group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np

from grmu_audit.intervals import Difference, Minimum, PairedCounts, Proportion
from grmu_audit.intervals.design_effects import clustered_cells
from grmu_audit.intervals.proportions import Cell
from grmu_audit.metrics.checked_predictions import CheckedPredictions, Ints, Mask
from grmu_audit.metrics.outcome import Basis, Outcome
from grmu_audit.records import Group
from grmu_audit.records.data import SUPPRESSED_BELOW

SPLIT_OF = {"RA": "retain", "UA": "forget", "TA": "test", "VA": "val"}
"""The split that each plain accuracy is taken on."""


def measure_accuracy(checked: CheckedPredictions) -> Iterator[Outcome]:
    """RA, UA, TA, VA, GA, WG, UA_GA_GAP, ``accuracy`` of every declared group on the test split, RA and UA of forget groups."""
    for name in (*SPLIT_OF, "GA"):
        rows = accuracy_rows(checked, name)
        basis, reason = accuracy_basis(checked, name, rows)
        statistic = None if reason else accuracy_statistic(checked, name, rows)
        yield Outcome(name, basis, statistic, reason, these_people=of_these(checked, rows) if name == "UA" else None)
    yield worst_group(checked)
    yield forget_minus_group_accuracy(checked)
    yield from group_outcomes(checked, group_proportions(checked))
    yield from accuracy_of_forget_groups(checked)


def accuracy_rows(checked: CheckedPredictions, name: str) -> Mask:
    """[n] rows that RA, UA, TA, VA or GA is the accuracy of."""
    if name == "GA":
        return checked.test & checked.rows(checked.dominant_groups)
    return checked.predictions.mask(SPLIT_OF[name])


def accuracy_basis(checked: CheckedPredictions, name: str, rows: Mask) -> tuple[Basis, str]:
    """The basis of the accuracy, and why it is undefined, or an empty string."""
    n, dominant = int(rows.sum()), checked.dominant_groups
    empty = tuple(g for g in dominant if g in set(checked.empty_cells)) if name == "GA" else ()
    only = dominant[0] if name == "GA" and len(dominant) == 1 else None
    basis = Basis(n, smallest_group=only, empty_cells=empty, persons=checked.persons(rows))
    if n:
        return basis, ""
    if name != "GA":
        return basis, f"no {SPLIT_OF[name]} sample (n = 0)"
    return (
        basis,
        "dominant group(s): n = 0 in test" if dominant else "no forget sample, so that no group dominates the forget set",
    )


def accuracy_statistic(checked: CheckedPredictions, name: str, rows: Mask) -> Proportion:
    """Accuracy on the rows; GA of one group is that group's cell, whose design effect knows the other cells too."""
    cell = dominant_cell(checked) if name == "GA" else None
    if cell is not None:
        return group_proportions(checked)[cell]
    return Proportion.of(checked.correct[rows], unit_of(checked, name, rows))


def unit_of(checked: CheckedPredictions, name: str, rows: Mask) -> Ints | None:
    """Person index of the rows that a plain accuracy rests on; None where samples are the unit."""
    return checked.forget_unit(rows) if name == "UA" else checked.person_of(rows)


def of_these(checked: CheckedPredictions, rows: Mask) -> Proportion | None:
    """Accuracy on forget rows about these people alone; None without a subject column."""
    known = checked.predictions.subject is not None and checked.options.interval_forms > 1 and rows.any()
    return Proportion.of(checked.correct[rows]) if known else None


def dominant_cell(checked: CheckedPredictions) -> int | None:
    """Position of the dominant group among the cells, where it is one and samples of one person occur."""
    if len(checked.dominant_groups) != 1 or checked.predictions.subject is None:
        return None
    found = np.flatnonzero(checked.cells[0] == checked.codes_of(checked.dominant_groups)[0])
    return int(found[0]) if len(found) else None


def cell_proportions(values: Mask, cell: Ints, cells: int, person: Ints | None) -> list[Proportion]:
    """One proportion of ``values`` per cell, in the order of the cells; n = 0 for an empty one."""
    n = np.bincount(cell, minlength=cells)
    k = np.bincount(cell[values], minlength=cells)
    effects, persons = clustered_cells(values, cell, cells, person)
    return [Proportion(*row) for row in zip(k.tolist(), n.tolist(), effects.tolist(), persons, strict=True)]


def cell_pairs(first: Mask, second: Mask, cell: Ints, cells: int, person: Ints | None) -> list[PairedCounts]:
    """The four counts of two models per cell, in the order of the cells."""
    parts = (first & second, first & ~second, second & ~first, ~first & ~second)
    counts = [np.bincount(cell[part], minlength=cells).tolist() for part in parts]
    effects, persons = clustered_cells(first.astype(np.int64) - second, cell, cells, person)
    return [PairedCounts(*row) for row in zip(*counts, effects.tolist(), persons, strict=True)]


def group_proportions(checked: CheckedPredictions) -> list[Proportion]:
    """Test accuracy of every declared cell."""
    codes, index = checked.cells
    rows = checked.test
    return cell_proportions(checked.correct[rows], index[rows], len(codes), checked.person_of(rows))


def group_pairs(candidate: CheckedPredictions, other: CheckedPredictions) -> list[PairedCounts]:
    """Paired counts of every declared cell on the test split."""
    codes, index = candidate.cells
    rows = candidate.test
    return cell_pairs(candidate.correct[rows], other.correct[rows], index[rows], len(codes), candidate.person_of(rows))


def cells_basis(checked: CheckedPredictions, *, details: dict[str, object] | None = None) -> Basis:
    """The basis of a value over all non-empty test cells."""
    codes, counts = checked.cells[0], checked.test_counts
    filled = np.flatnonzero(counts)
    smallest = int(filled[np.argmin(counts[filled])]) if len(filled) else None
    return Basis(
        n=int(counts.sum()),
        smallest_cell=0 if smallest is None else int(counts[smallest]),
        smallest_group=None if smallest is None else checked.group(int(codes[smallest])),
        empty_cells=checked.empty_cells,
        persons=checked.persons(checked.test),
        details=details or {},
    )


def worst_group(checked: CheckedPredictions) -> Outcome:
    """WG: the smallest test accuracy over the declared cells that have test samples.

    Formula: min over (y, s) of P(yhat = y given y, s).  Range [0, 1], higher is better.  Undefined without test samples.
    """
    cells = [cell for cell in group_proportions(checked) if cell.n]
    if not cells:
        return Outcome.missing("WG", "no test sample (n = 0)", cells_basis(checked))
    codes = checked.cells[0][checked.test_counts > 0]
    group = checked.group(int(codes[min(range(len(cells)), key=lambda i: cells[i].estimate)]))
    basis = cells_basis(checked, details={"worst_group": asdict(group)})
    return Outcome("WG", basis, Minimum(tuple(cells)))


def forget_minus_group_accuracy(checked: CheckedPredictions) -> Outcome:
    """UA_GA_GAP: accuracy on the forget set minus test accuracy of its dominant group(s); separate samples, MOVER."""
    forget, group = accuracy_rows(checked, "UA"), accuracy_rows(checked, "GA")
    (ua, why_ua), (ga, why_ga) = accuracy_basis(checked, "UA", forget), accuracy_basis(checked, "GA", group)
    smallest = ga.smallest_group if ga.n <= ua.n else None
    basis = Basis(ua.n + ga.n, min(ua.n, ga.n), smallest, ga.empty_cells, checked.persons(forget | group))
    if why_ua or why_ga:
        return Outcome.missing("UA_GA_GAP", "; ".join(filter(None, (why_ua, why_ga))), basis)
    right = checked.correct
    ga_side = Proportion.of(right[group], checked.person_of(group))
    ua_side, these = Proportion.of(right[forget], checked.forget_unit(forget)), of_these(checked, forget)
    of_those = None if these is None else Difference(these, ga_side)
    return Outcome("UA_GA_GAP", basis, Difference(ua_side, ga_side), these_people=of_those)


def group_outcomes(checked: CheckedPredictions, cells: Sequence[Cell]) -> Iterator[Outcome]:
    """``accuracy`` of every declared group on the test split, or its change; undefined where the group has no test sample."""
    persons = _group_persons(checked)
    for code, statistic, known in zip(checked.cells[0].tolist(), cells, persons, strict=True):
        n, group = int(statistic.n), checked.group(code)
        basis = Basis(n, n, group, () if n else (group,), known)
        reason = "" if n else "the group has no test sample (n = 0)"
        yield Outcome("accuracy", basis, statistic if n else None, reason, group)


def _group_persons(checked: CheckedPredictions) -> list[int] | list[None]:
    """Distinct people per declared cell on the test split; Nones without a subject column."""
    person = checked.person_of(checked.test)
    codes, index = checked.cells
    if person is None:
        return [None] * len(codes)
    pairs = np.unique(np.stack([index[checked.test], person]), axis=1) if len(person) else np.zeros((2, 0), dtype=np.int64)
    counts: list[int] = np.bincount(pairs[0], minlength=len(codes)).tolist()
    return counts


def accuracy_of_forget_groups(checked: CheckedPredictions) -> Iterator[Outcome]:
    """RA and UA of every group of the forget set; suppressed where it has fewer than ``SUPPRESSED_BELOW`` forget rows."""
    codes, index = checked.cells
    forgotten = np.bincount(index[checked.predictions.mask("forget")], minlength=len(codes))
    for name in ("RA", "UA"):
        rows = checked.predictions.mask(SPLIT_OF[name])
        cells = cell_proportions(checked.correct[rows], index[rows], len(codes), checked.person_of(rows))
        for i in np.flatnonzero(forgotten).tolist():
            yield _forget_group(name, cells[i], checked.group(int(codes[i])))


def _forget_group(name: str, cell: Proportion, group: Group) -> Outcome:
    n = int(cell.n)
    basis = Basis(n, n, group, (), None if cell.persons is None else int(cell.persons))
    reason = "" if n else f"the group has no {SPLIT_OF[name]} sample (n = 0)"
    if name == "UA" and n < SUPPRESSED_BELOW:
        reason = suppressed_reason()
    return Outcome(name, basis, None if reason else cell, reason, group)


def suppressed_reason() -> str:
    """Why a result on the forget samples of a small group is not reported."""
    return f"fewer than {SUPPRESSED_BELOW} forget samples of the group: suppressed"
