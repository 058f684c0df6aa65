"""Changes between two models on the same samples, and closeness to a reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from grmu_audit.intervals.proportions import sample_size
from grmu_audit.intervals.statistic import Statistic
from grmu_audit.metrics.accuracy import (
    SPLIT_OF,
    accuracy_basis,
    accuracy_rows,
    cell_pairs,
    group_subjects,
    group_value,
    only_cell,
    paired,
)
from grmu_audit.metrics.catalog import PLUGINS
from grmu_audit.metrics.checked_predictions import Facts, Mask
from grmu_audit.metrics.fairness import gap_change
from grmu_audit.metrics.membership.attacks import FORESTS, Attacked, auc_basis, auc_statistic, forest_basis, pair_subjects
from grmu_audit.metrics.outcome import Basis, defined, undefined
from grmu_audit.metrics.scores import standard_error
from grmu_audit.records import MetricValue, Subject

_COMPOSED = ("WG", "EO", "DP", "EP")
_BOXED = ("MIA_TPR_1", "MIA_TPR_01", "RETAIN_AUC", "MIA_DISPARITY")


def changes(
    candidate: Facts,
    other: Facts,
    values: tuple[Sequence[MetricValue], Sequence[MetricValue]],
    attacks: tuple[Attacked, Attacked],
    *,
    subject: Subject,
    confidence: float,
    attack_score: str,
) -> Iterator[MetricValue]:
    """Candidate minus other for every metric; rows, choices and order of both are the same.

    Args:
        candidate: facts of the audited model.
        other: facts of the model that it is compared with.
        values: metric values of both, as ``measure`` gives them.
        attacks: attack results of both.
        subject: which change it is.
        confidence: coverage of the intervals.
        attack_score: score of MIA_AUC.
    """
    for name in (*SPLIT_OF, "GA"):
        rows = accuracy_rows(candidate, name)
        basis, why = accuracy_basis(candidate, name, rows)
        made = None if why else _paired_accuracy(candidate, other, name, rows)
        yield _made(name, made, why, basis, subject=subject, confidence=confidence)
    for name in (*_COMPOSED, "UA_GA_GAP"):
        yield _of_values(name, candidate, other, values, subject=subject, confidence=confidence)
    for name in FORESTS:
        yield _forest_change(name, candidate, attacks, subject=subject, confidence=confidence)
    yield _auc_change(candidate, other, attacks, attack_score, subject=subject, confidence=confidence)
    for name in (*_BOXED, *(name for name, _ in PLUGINS)):
        yield _of_values(name, candidate, other, values, subject=subject, confidence=confidence)
    yield from _group_changes(candidate, other, subject=subject, confidence=confidence)


def _paired_accuracy(candidate: Facts, other: Facts, name: str, rows: Mask) -> Statistic:
    cell = only_cell(candidate) if name == "GA" else None
    if cell is None:
        return paired(candidate.correct[rows], other.correct[rows], candidate.subject_of(rows))
    codes, index = candidate.cells
    test = candidate.test
    both = candidate.correct[test], other.correct[test]
    return cell_pairs(*both, index[test], len(codes), candidate.subject_of(test))[cell]


def _made(
    name: str, statistic: Statistic | None, why: str | None, basis: Basis, *, subject: Subject, confidence: float
) -> MetricValue:
    if statistic is None:
        return undefined(name, why or "undefined", basis, subject=subject, confidence=confidence)
    return defined(name, statistic, basis, subject=subject, confidence=confidence)


def _of_values(
    name: str,
    candidate: Facts,
    other: Facts,
    values: tuple[Sequence[MetricValue], Sequence[MetricValue]],
    *,
    subject: Subject,
    confidence: float,
) -> MetricValue:
    """Change of a composed metric from the statistics of both sides."""
    left, right = (next(v for v in side if v.name == name and v.group is None) for side in values)
    basis = Basis(left.n, left.smallest_cell, left.smallest_group, left.empty_cells, left.subjects)
    if left.statistic is None or right.statistic is None:
        why = left.why_missing or right.why_missing or "undefined"
        return undefined(name, why, basis, subject=subject, confidence=confidence)
    if name == "UA_GA_GAP":
        sides = [_paired_rows(candidate, other, part) for part in ("UA", "GA")]
        statistic = {"kind": "difference", "left": sides[0], "right": sides[1]}
    elif name not in _COMPOSED:
        statistic = {"kind": "difference_box", "left": left.statistic, "right": right.statistic}
    elif name == "WG":
        statistic = _worst_change(candidate, other, (left.statistic, right.statistic))
    else:
        statistic = gap_change(candidate, other, name, str(left.details["variant"]), (left.statistic, right.statistic))
    return defined(name, statistic, basis, subject=subject, confidence=confidence)


def _worst_change(candidate: Facts, other: Facts, sides: tuple[Statistic, Statistic]) -> Statistic:
    """Change of WG with the paired counts of every group that has test samples."""
    codes, index = candidate.cells
    rows = candidate.test
    pairs = cell_pairs(candidate.correct[rows], other.correct[rows], index[rows], len(codes), candidate.subject_of(rows))
    filled = [cell for cell in pairs if sample_size(cell) > 0]
    return {"kind": "bounded_change", "left": sides[0], "right": sides[1], "terms": [filled], "aggregate": "min"}


def _paired_rows(candidate: Facts, other: Facts, name: str) -> Statistic:
    rows = accuracy_rows(candidate, name)
    return paired(candidate.correct[rows], other.correct[rows], candidate.subject_of(rows))


def _forest_change(
    name: str, f: Facts, attacks: tuple[Attacked, Attacked], *, subject: Subject, confidence: float
) -> MetricValue:
    basis = forest_basis(f)
    why = next((a.why for a in attacks if name not in a.calls), None)
    statistic = None
    if why is None:
        statistic = paired(attacks[0].calls[name], attacks[1].calls[name], f.subject_of(f.predictions.mask("forget")))
    return _made(name, statistic, why, basis, subject=subject, confidence=confidence)


def _auc_change(
    candidate: Facts, other: Facts, attacks: tuple[Attacked, Attacked], score: str, *, subject: Subject, confidence: float
) -> MetricValue:
    """Difference of two correlated areas; the standard error is that of the paired influences (DeLong)."""
    basis, why_left = auc_basis(candidate, attacks[0], score)
    why = why_left or auc_basis(other, attacks[1], score)[1]
    basis = replace(basis, details={"attack_score": score})
    if why:
        return undefined("MIA_AUC", why, basis, subject=subject, confidence=confidence)
    left, right = attacks[0].rocs[score].influence, attacks[1].rocs[score].influence
    sides = {"left": auc_statistic(candidate, attacks[0], score), "right": auc_statistic(other, attacks[1], score)}
    se = standard_error(left - right, pair_subjects(candidate, attacks[0]))
    persons = {key: side for key, side in sides["left"].items() if key == "persons"}
    return defined("MIA_AUC", {"kind": "auc_change", **sides, "se": se, **persons}, basis, subject=subject, confidence=confidence)


def _group_changes(candidate: Facts, other: Facts, *, subject: Subject, confidence: float) -> Iterator[MetricValue]:
    codes, index = candidate.cells
    rows, persons = candidate.test, group_subjects(candidate)
    pairs = cell_pairs(candidate.correct[rows], other.correct[rows], index[rows], len(codes), candidate.subject_of(rows))
    for position, (code, statistic) in enumerate(zip(codes.tolist(), pairs, strict=True)):
        yield group_value(candidate.group(code), statistic, persons, position, subject=subject, confidence=confidence)
