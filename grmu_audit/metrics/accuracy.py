"""Accuracies: per split, of the dominant group(s), of the worst group, and of every group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from grmu_audit.intervals.design_effects import clustered_cells, design_effect
from grmu_audit.intervals.proportions import PAIRED, proportion, sample_size
from grmu_audit.intervals.statistic import Statistic
from grmu_audit.metrics.checked_predictions import Facts, Ints, Mask
from grmu_audit.metrics.outcome import Basis, defined, undefined
from grmu_audit.records import SUPPRESSED_BELOW, Group, MetricValue, Subject

SPLIT_OF = {"RA": "retain", "UA": "forget", "TA": "test", "VA": "val"}
"""The split that each plain accuracy is taken on."""


def performance(f: Facts, *, subject: Subject, confidence: float) -> Iterator[MetricValue]:
    """RA, UA, TA, VA, GA, WG, UA_GA_GAP and ``accuracy`` of every declared group on the test split."""
    for name in (*SPLIT_OF, "GA"):
        rows = accuracy_rows(f, name)
        basis, why = accuracy_basis(f, name, rows)
        if why is None:
            yield defined(name, accuracy_statistic(f, name, rows), basis, subject=subject, confidence=confidence)
        else:
            yield undefined(name, why, basis, subject=subject, confidence=confidence)
    yield worst_group(f, subject=subject, confidence=confidence)
    yield unlearned_minus_group(f, subject=subject, confidence=confidence)
    yield from group_accuracies(f, subject=subject, confidence=confidence)
    yield from training_accuracies(f, subject=subject, confidence=confidence)


def accuracy_rows(f: Facts, name: str) -> Mask:
    """[n] rows that RA, UA, TA, VA or GA is the accuracy of."""
    return f.test & f.rows(f.dominant) if name == "GA" else f.predictions.mask(SPLIT_OF[name])


def accuracy_basis(f: Facts, name: str, rows: Mask) -> tuple[Basis, str | None]:
    """What the accuracy rests on, and why it is undefined, or None."""
    n = int(rows.sum())
    uncovered = set(f.empty_cells) if name == "GA" else set()
    empty = tuple(g for g in f.dominant if g in uncovered)
    only = f.dominant[0] if name == "GA" and len(f.dominant) == 1 else None
    basis = Basis(n, smallest_group=only, empty_cells=empty, subjects=f.subjects(rows))
    if n:
        return basis, None
    if name != "GA":
        return basis, f"no {SPLIT_OF[name]} sample (n = 0)"
    return (
        basis,
        "no forget sample, so that no group gives the forget set" if not f.dominant else "dominant group(s): n = 0 in test",
    )


def accuracy_statistic(f: Facts, name: str, rows: Mask) -> Statistic:
    """Accuracy on the rows; GA of one group is that group's cell, whose design effect knows the other cells too."""
    cell = only_cell(f) if name == "GA" else None
    return rows_proportion(f, rows) if cell is None else group_proportions(f)[cell]


def only_cell(f: Facts) -> int | None:
    """Position of the dominant group among the cells, where it is one and samples of one person occur."""
    if len(f.dominant) != 1 or f.predictions.subject is None:
        return None
    code = f.dominant[0].target * f.predictions.attributes + f.dominant[0].attribute
    found = np.flatnonzero(f.cells[0] == code)
    return int(found[0]) if len(found) else None


def rows_proportion(f: Facts, rows: Mask) -> Statistic:
    """Accuracy on the rows as a proportion with its design effect."""
    right = f.correct[rows]
    return proportion(int(right.sum()), len(right), design_effect(right, f.subject_of(rows)), f.subjects(rows))


def cell_proportions(values: Mask, cell: Ints, cells: int, subject: Ints | None) -> list[Statistic]:
    """One proportion of ``values`` per cell, in the order of the cells; n = 0 for an empty one."""
    n = np.bincount(cell, minlength=cells)
    k = np.bincount(cell[values], minlength=cells)
    effects, persons = clustered_cells(values, cell, cells, subject)
    return [proportion(*row) for row in zip(k.tolist(), n.tolist(), effects.tolist(), persons, strict=True)]


def cell_pairs(first: Mask, second: Mask, cell: Ints, cells: int, subject: Ints | None) -> list[Statistic]:
    """The four counts of two models per cell, in the order of the cells."""
    parts = (first & second, first & ~second, second & ~first, ~first & ~second)
    counts = [np.bincount(cell[part], minlength=cells).tolist() for part in parts]
    effects, persons = clustered_cells(first.astype(np.int64) - second, cell, cells, subject)
    rows = zip(zip(*counts, strict=True), effects.tolist(), persons, strict=True)
    return [paired_counts(four, effect, known) for four, effect, known in rows]


def paired_counts(four: tuple[int, ...], effect: float, persons: int | None) -> Statistic:
    """Both right, only the first, only the second, none; the design effect of their difference and its persons."""
    known = {} if persons is None else {"persons": persons}
    return {"kind": "paired", **dict(zip(PAIRED, four, strict=True)), "deff": effect, **known}


def cell_statistics(values: Sequence[Mask], cell: Ints, cells: int, subject: Ints | None) -> list[Statistic]:
    """Proportions per cell of one model's values, or the paired counts of two models' values."""
    if len(values) == 1:
        return cell_proportions(values[0], cell, cells, subject)
    return cell_pairs(values[0], values[1], cell, cells, subject)


def group_proportions(f: Facts) -> list[Statistic]:
    """Test accuracy of every declared cell."""
    codes, index = f.cells
    return cell_proportions(f.correct[f.test], index[f.test], len(codes), f.subject_of(f.test))


def cells_basis(f: Facts, *, details: dict[str, object] | None = None) -> Basis:
    """What a value over all non-empty test cells rests on."""
    codes, counts = f.cells[0], f.test_counts
    filled = np.flatnonzero(counts)
    smallest = int(filled[np.argmin(counts[filled])]) if len(filled) else None
    return Basis(
        n=int(counts.sum()),
        smallest_cell=0 if smallest is None else int(counts[smallest]),
        smallest_group=None if smallest is None else f.group(int(codes[smallest])),
        empty_cells=f.empty_cells,
        subjects=f.subjects(f.test),
        details=details or {},
    )


def worst_group(f: Facts, *, subject: Subject, confidence: float) -> MetricValue:
    """WG: the smallest test accuracy over the declared cells that have test samples.

    Formula: min over (y, s) of P(yhat = y given y, s).  Range [0, 1], higher is better.  Undefined without test samples.
    """
    cells = [c for c in group_proportions(f) if c["n"]]
    if not cells:
        return undefined("WG", "no test sample (n = 0)", cells_basis(f), subject=subject, confidence=confidence)
    codes, counts = f.cells[0], f.test_counts
    worst = min(range(len(cells)), key=lambda i: cells[i]["k"] / cells[i]["n"])
    group = f.group(int(codes[counts > 0][worst]))
    basis = cells_basis(f, details={"worst_group": {"target": group.target, "attribute": group.attribute}})
    return defined("WG", {"kind": "minimum", "cells": cells}, basis, subject=subject, confidence=confidence)


def unlearned_minus_group(f: Facts, *, subject: Subject, confidence: float) -> MetricValue:
    """UA_GA_GAP: accuracy on the forget set minus test accuracy of its dominant group(s); separate samples, MOVER."""
    forget, group = accuracy_rows(f, "UA"), accuracy_rows(f, "GA")
    (ua, why_ua), (ga, why_ga) = accuracy_basis(f, "UA", forget), accuracy_basis(f, "GA", group)
    basis = Basis(
        ua.n + ga.n, min(ua.n, ga.n), ga.smallest_group if ga.n <= ua.n else None, ga.empty_cells, f.subjects(forget | group)
    )
    if why_ua or why_ga:
        return undefined("UA_GA_GAP", "; ".join(w for w in (why_ua, why_ga) if w), basis, subject=subject, confidence=confidence)
    statistic = {"kind": "difference", "left": rows_proportion(f, forget), "right": rows_proportion(f, group)}
    return defined("UA_GA_GAP", statistic, basis, subject=subject, confidence=confidence)


def group_accuracies(f: Facts, *, subject: Subject, confidence: float) -> Iterator[MetricValue]:
    """``accuracy`` of every declared group on the test split; undefined where the group has no test sample."""
    persons = group_subjects(f)
    for position, (code, statistic) in enumerate(zip(f.cells[0].tolist(), group_proportions(f), strict=True)):
        yield group_value(f.group(code), statistic, persons, position, subject=subject, confidence=confidence)


def training_accuracies(f: Facts, *, subject: Subject, confidence: float) -> Iterator[MetricValue]:
    """RA and UA of every group of the forget set; suppressed where it has fewer than ``SUPPRESSED_BELOW`` forget rows."""
    codes, index = f.cells
    forget = f.predictions.mask("forget")
    forgotten = np.bincount(index[forget], minlength=len(codes))
    for name in ("RA", "UA"):
        rows = f.predictions.mask(SPLIT_OF[name])
        cells = cell_proportions(f.correct[rows], index[rows], len(codes), f.subject_of(rows))
        for i in np.flatnonzero(forgotten).tolist():
            n, group = int(cells[i]["n"]), f.group(int(codes[i]))
            basis = Basis(n, n, group, (), cells[i].get("persons"))
            why = f"the group has no {SPLIT_OF[name]} sample (n = 0)" if not n else None
            if name == "UA" and n < SUPPRESSED_BELOW:
                why = f"fewer than {SUPPRESSED_BELOW} forget samples of the group: suppressed"
            if why is None:
                yield defined(name, cells[i], basis, subject=subject, confidence=confidence, group=group)
            else:
                yield undefined(name, why, basis, subject=subject, confidence=confidence, group=group)


def group_value(
    group: Group, statistic: Statistic, persons: list[int] | None, position: int, *, subject: Subject, confidence: float
) -> MetricValue:
    """One group's accuracy, or its change, on the test split."""
    n = int(sample_size(statistic))
    basis = Basis(n, n, group, () if n else (group,), None if persons is None else persons[position])
    if not n:
        return undefined(
            "accuracy", "the group has no test sample (n = 0)", basis, subject=subject, confidence=confidence, group=group
        )
    return defined("accuracy", statistic, basis, subject=subject, confidence=confidence, group=group)


def group_subjects(f: Facts) -> list[int] | None:
    """Distinct persons per declared cell on the test split, or None without a subject column."""
    subject = f.subject_of(f.test)
    if subject is None:
        return None
    codes, index = f.cells
    pairs = np.unique(np.stack([index[f.test], subject]), axis=1) if len(subject) else np.zeros((2, 0), dtype=np.int64)
    counts: list[int] = np.bincount(pairs[0], minlength=len(codes)).tolist()
    return counts


def paired(first: Mask, second: Mask, person: Ints | None) -> Statistic:
    """The four counts of two models on the same samples, with the design effect of their difference."""
    only, lost = first & ~second, second & ~first
    both, none = int((first & second).sum()), int((~first & ~second).sum())
    effect = design_effect(only.astype(np.int64) - lost, person)
    persons = None if person is None else len(np.unique(person))
    return paired_counts((both, int(only.sum()), int(lost.sum()), none), effect, persons)
