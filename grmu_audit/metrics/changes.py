"""Changes between two models on the same samples, and closeness to a reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from grmu_audit.errors import InputError
from grmu_audit.metrics.attacks import standard_error
from grmu_audit.metrics.catalog import PLUGINS
from grmu_audit.metrics.clusters import design_effect
from grmu_audit.metrics.equivalence import retrain_distribution
from grmu_audit.metrics.facts import Facts, Ints, Mask, facts, listed
from grmu_audit.metrics.fairness import gap_change
from grmu_audit.metrics.intervals import Statistic, estimate, sample_size
from grmu_audit.metrics.performance import (
    SPLIT_OF,
    accuracy_basis,
    accuracy_rows,
    cell_pairs,
    group_subjects,
    group_value,
    only_cell,
    paired_counts,
)
from grmu_audit.metrics.privacy import FORESTS, Attacked, attacked, auc_basis, auc_statistic, forest_basis, pair_subjects
from grmu_audit.metrics.values import Basis, defined, undefined
from grmu_audit.records import Group, MetricValue, Predictions

AVG_GAP_OF = ("RA", "UA", "TA", "MIA_PAPER", "EO", "GA")
"""Metrics that AVG_GAP is the mean over."""

TOW_OF = ("RA", "UA", "TA")
"""Accuracies that TOW is the product over."""

_COMPOSED = ("WG", "EO", "DP", "EP")
_BOXED = ("MIA_TPR_1", "MIA_TPR_01", "RETAIN_AUC", "MIA_DISPARITY")


def align(candidate: Predictions, other: Predictions) -> Predictions:
    """The rows of ``other`` in the order of ``candidate``.

    Raises:
        InputError: the two do not hold the same samples with the same split, target and attribute; the message names
            the first differing row, never an id.
    """
    if len(candidate) != len(other):
        raise InputError(f"the two prediction files hold {len(candidate)} and {len(other)} rows: both must hold the same samples")
    if (candidate.classes, candidate.attributes) != (other.classes, other.attributes):
        sizes = f"{candidate.classes} classes x {candidate.attributes} attribute values and {other.classes} x {other.attributes}"
        raise InputError(f"the two prediction files know {sizes}: both must describe the same task")
    moved = other if np.array_equal(candidate.ids, other.ids) else _take(other, _order(candidate, other))
    for name in ("split", "target", "attribute"):
        differs = getattr(candidate, name) != getattr(moved, name)
        if differs.any():
            raise InputError(f"the two prediction files give another {name} for the same sample: first in {listed(differs)}")
    return moved


def _order(candidate: Predictions, other: Predictions) -> Ints:
    first, second = np.argsort(candidate.ids, kind="stable"), np.argsort(other.ids, kind="stable")
    if not np.array_equal(candidate.ids[first], other.ids[second]):
        missing = ~np.isin(candidate.ids, other.ids)
        where = f"{listed(missing)} of the first is not in the second" if missing.any() else "an id occurs more than once"
        raise InputError(f"the two prediction files do not hold the same samples: {where}")
    order = np.empty(len(first), dtype=np.int64)
    order[first] = second
    return order


def _take(p: Predictions, order: Ints) -> Predictions:
    columns = ("ids", "split", "target", "attribute", "prediction", "logits", "loss", "subject")
    moved: dict[str, Any] = {name: None if getattr(p, name) is None else getattr(p, name)[order] for name in columns}
    return replace(p, **moved)


def changes(
    candidate: Facts,
    other: Facts,
    values: tuple[Sequence[MetricValue], Sequence[MetricValue]],
    attacks: tuple[Attacked, Attacked],
    *,
    subject: str,
    confidence: float,
    attack_score: str,
) -> Iterator[MetricValue]:
    """Candidate minus other for every metric; rows, choices and order of both are the same.

    Args:
        candidate: facts of the audited model.
        other: facts of the model that it is compared with.
        values: metric values of both, as ``measure`` gives them.
        attacks: attack results of both.
        subject: name of the change, such as ``candidate-baseline``.
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


def paired(first: Mask, second: Mask, person: Ints | None) -> Statistic:
    """The four counts of two models on the same samples, with the design effect of their difference."""
    only, lost = first & ~second, second & ~first
    both, none = int((first & second).sum()), int((~first & ~second).sum())
    effect = design_effect(only.astype(np.int64) - lost, person)
    persons = None if person is None else len(np.unique(person))
    return paired_counts((both, int(only.sum()), int(lost.sum()), none), effect, persons)


def _made(
    name: str, statistic: Statistic | None, why: str | None, basis: Basis, *, subject: str, confidence: float
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
    subject: str,
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


def _forest_change(name: str, f: Facts, attacks: tuple[Attacked, Attacked], *, subject: str, confidence: float) -> MetricValue:
    basis = forest_basis(f)
    why = next((a.why for a in attacks if name not in a.calls), None)
    statistic = None
    if why is None:
        statistic = paired(attacks[0].calls[name], attacks[1].calls[name], f.subject_of(f.predictions.mask("forget")))
    return _made(name, statistic, why, basis, subject=subject, confidence=confidence)


def _auc_change(
    candidate: Facts, other: Facts, attacks: tuple[Attacked, Attacked], score: str, *, subject: str, confidence: float
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


def _group_changes(candidate: Facts, other: Facts, *, subject: str, confidence: float) -> Iterator[MetricValue]:
    codes, index = candidate.cells
    rows, persons = candidate.test, group_subjects(candidate)
    pairs = cell_pairs(candidate.correct[rows], other.correct[rows], index[rows], len(codes), candidate.subject_of(rows))
    for position, (code, statistic) in enumerate(zip(codes.tolist(), pairs, strict=True)):
        yield group_value(candidate.group(code), statistic, persons, position, subject=subject, confidence=confidence)


def compare(
    candidate: Predictions | Facts,
    other: Predictions | Facts,
    *,
    subject: str,
    dominant: tuple[Group, ...] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    attack_score: str = "margin",
    variant: str = "pairwise",
) -> tuple[MetricValue, ...]:
    """Candidate minus other, metric by metric, on the same samples; rows are aligned by id.

    Accuracies and forest attacks are paired sample by sample, MIA_AUC by its influences; WG, EO, DP and EP are bounded
    by both sides and by the paired changes of their cells.  Names are the metrics' names; ``subject`` says which change it is.

    Raises:
        InputError: the two do not hold the same samples, or one cannot be used.
    """
    from grmu_audit.metrics.suite import values_of

    f = facts(candidate, dominant=dominant, seed=seed)
    second = other.predictions if isinstance(other, Facts) else other
    g = facts(align(f.predictions, second), dominant=f.dominant, seed=f.seed, positive_class=f.positive_class)
    attacks = attacked(f), attacked(g)
    sides = [
        values_of(facts_, attack, subject="candidate", confidence=confidence, attack_score=attack_score, variant=variant)
        for facts_, attack in zip((f, g), attacks, strict=True)
    ]
    found = changes(f, g, (sides[0], sides[1]), attacks, subject=subject, confidence=confidence, attack_score=attack_score)
    return tuple(found)


def mean_changes(
    per_reference: Sequence[Sequence[MetricValue]], *, subject: str, confidence: float, own: Sequence[MetricValue] = ()
) -> Iterator[MetricValue]:
    """Mean over references of every change.

    ``details`` holds, apart from the interval, the spread over references and, where ``own`` gives the candidate's values,
    where these lie in the distribution of retrained models (``metrics.equivalence``).
    """
    values = {(v.name, v.group): v.value for v in own}
    for row in zip(*per_reference, strict=True):
        first, missing = row[0], [v for v in row if v.statistic is None]
        basis = _shared_basis(row)
        if missing:
            why = f"{missing[0].subject}: {missing[0].why_missing}"
            yield undefined(first.name, why, basis, subject=subject, confidence=confidence, group=first.group)
            continue
        terms = [v.statistic for v in row if v.statistic is not None]
        basis.details.update(_among_retrained(row, values.get((first.name, first.group))))
        statistic = terms[0] if len(terms) == 1 else {"kind": "mean", "terms": terms}
        yield defined(first.name, statistic, basis, subject=subject, confidence=confidence, group=first.group)


def _among_retrained(row: Sequence[MetricValue], own: float | None) -> dict[str, object]:
    """The candidate's value among those of the retrained models, which are it minus the change to each."""
    found = [v.value for v in row if v.value is not None]
    if own is None or len(found) < 2:
        return {}
    return {"retrain_distribution": retrain_distribution(own, [own - change for change in found])}


def closeness(
    per_reference: Sequence[Sequence[MetricValue]], *, subject: str, confidence: float, why: str = ""
) -> Iterator[MetricValue]:
    """AVG_GAP and TOW: 1 - abs(candidate - reference), averaged or multiplied, per reference and then averaged.

    AVG_GAP = mean over RA, UA, TA, MIA_PAPER, EO, GA; TOW = product over RA, UA, TA.  Range [0, 1], higher is nearer
    to the reference.  Undefined without a reference (``why``) or where one of the parts is undefined.
    """
    for name, parts, how in (("AVG_GAP", AVG_GAP_OF, "mean"), ("TOW", TOW_OF, "product")):
        rows = [[_named(changes_, part) for part in parts] for changes_ in per_reference]
        missing = [v for row in rows for v in row if v.statistic is None]
        basis = _shared_basis([v for row in rows for v in row]) if rows else Basis(0)
        if missing or not rows:
            reason = (
                f"{missing[0].name} is undefined: {missing[0].why_missing}" if missing else why or "no reference model was given"
            )
            yield undefined(name, reason, replace(basis, details={}), subject=subject, confidence=confidence)
            continue
        terms: list[Statistic] = [{"kind": "closeness", "aggregate": how, "terms": [v.statistic for v in row]} for row in rows]
        spread = {"per_reference": {row[0].subject: estimate(term) for row, term in zip(rows, terms, strict=True)}}
        statistic = terms[0] if len(terms) == 1 else {"kind": "mean", "terms": terms}
        yield defined(name, statistic, replace(basis, details=spread), subject=subject, confidence=confidence)


def _named(values: Sequence[MetricValue], name: str) -> MetricValue:
    return next(v for v in values if v.name == name and v.group is None)


def _shared_basis(row: Sequence[MetricValue]) -> Basis:
    """The least of the parts: what a rule on their mean must be judged by."""
    least = min(row, key=lambda v: v.n if v.smallest_cell is None else v.smallest_cell)
    empty = tuple(sorted({cell for v in row for cell in v.empty_cells}))
    each = {v.subject: v.value for v in row}
    details: dict[str, object] = {}
    if all(isinstance(x, float) for x in each.values()) and len(each) == len(row) > 1:
        numbers = np.array([x for x in each.values() if x is not None])
        details = {"per_reference": each, "sd_over_references": float(numbers.std(ddof=1))}
    return Basis(max(v.n for v in row), least.smallest_cell, least.smallest_group, empty, least.subjects, details)
