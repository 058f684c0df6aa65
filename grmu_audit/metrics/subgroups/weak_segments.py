"""Segments of the test rows, by one attribute or two, on which the audited model is weaker than elsewhere or than before."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from grmu_audit.intervals import Difference, PairedCounts, Proportion, design_effect
from grmu_audit.intervals.closed_forms import Floats
from grmu_audit.metrics.checked_predictions import CheckedPredictions, Ints, Mask
from grmu_audit.metrics.subgroups.exact_tests import fisher_tail, holm, mcnemar_tail
from grmu_audit.records.segments import SegmentSearch, WeakSegment

SMALLEST = 30
"""Test samples, and people where they are known, that a segment and its complement must have."""


@dataclass(frozen=True, eq=False)
class _TestRows:
    """The test rows of the audited model and of the version before."""

    names: tuple[str, ...]
    """[attributes] names; empty for one attribute without a name."""
    values: tuple[str, ...]
    """Names of the values of one attribute without a name."""
    columns: tuple[Ints, ...]
    """[attributes] arrays [n] of values."""
    right: Mask
    """[n] whether the audited model is right."""
    before: Mask | None
    """[n] whether the version before was."""
    person: Ints | None
    """[n] person index."""

    def name(self, chosen: tuple[int, ...], value: tuple[int, ...]) -> str:
        """A segment in words."""
        if not self.names:
            return self.values[value[0]] if value[0] < len(self.values) else f"attribute {value[0]}"
        return ", ".join(f"{self.names[i]}={v}" for i, v in zip(chosen, value, strict=True))

    def rows(self, chosen: tuple[int, ...], value: tuple[int, ...]) -> Mask:
        """[n] which rows are in a segment."""
        inside: Mask = np.logical_and.reduce([self.columns[i] == v for i, v in zip(chosen, value, strict=True)])
        return inside

    def person_of(self, rows: Mask) -> Ints | None:
        """Person index of the rows."""
        return None if self.person is None else self.person[rows]


@dataclass(frozen=True, eq=False)
class _Segments:
    """Segments with their counts."""

    keys: list[tuple[tuple[int, ...], tuple[int, ...]]]
    """Attributes, and their values."""
    n: Ints
    """Samples."""
    wrong: Ints
    """Samples that the audited model gets wrong."""
    lost: Ints
    """Samples that only the version before gets right."""
    gained: Ints
    """Samples that only the audited model gets right."""


def find_weak_segments(checked: CheckedPredictions, before: CheckedPredictions | None) -> SegmentSearch:
    """Segments on which the accuracy is lower than on all other test rows, or fell against the version before.

    Every value of each attribute and every pair of values of two attributes is a segment, where it and its complement hold 30
    test samples (and people, where they are known); a pair that holds the samples of one of its values alone is left out.
    Tests: Fisher's exact test of the wrong samples in it against those outside, and McNemar's exact test of the samples that
    changed sides, both one-sided.  With several samples a person, counts are divided by their design effect first.  Holm's
    step-down over all tests keeps the probability of a single wrong finding below 1 - confidence, however segments overlap.

    Args:
        checked: the audited model.
        before: the version before, rows in the same order; its test rows suffice.

    Source: Fisher (1935); McNemar (1947); Holm (1979).
    """
    table = _test_rows(checked, before)
    found = _Segments([], *(np.zeros(0, dtype=np.int64),) * 4) if not len(table.right) else _segments(table)
    alpha = 1 - checked.options.confidence
    others = fisher_tail(found.wrong, found.n, int((~table.right).sum()), len(table.right))
    tests = [_correct(table, found, others, alpha)]
    if table.before is not None:
        fell = mcnemar_tail(found.lost, found.gained)
        tests.append(_correct(table, found, fell, alpha, paired=True))
    adjusted = holm(np.concatenate(tests)).reshape(len(tests), -1)
    weak = np.flatnonzero((adjusted <= alpha).any(axis=0)) if len(found.keys) else np.zeros(0, dtype=np.int64)
    order = sorted(weak.tolist(), key=lambda i: (adjusted[:, i].min(), -found.n[i], found.keys[i]))
    share = alpha / max(adjusted.size, 1)
    listed = tuple(_weak(table, found.keys[i], tuple(adjusted[:, i].tolist()), share) for i in order)
    return SegmentSearch(len(found.keys), adjusted.size, SMALLEST, checked.options.confidence, listed)


def _test_rows(checked: CheckedPredictions, before: CheckedPredictions | None) -> _TestRows:
    p, test = checked.predictions, checked.test
    attribute = p.attribute[test]
    columns = np.unravel_index(attribute, [size for _, size in p.factors]) if p.factors else (attribute,)
    known = before is not None and int(before.test.sum()) == len(attribute)
    earlier = before.correct[before.test] if before is not None and known else None
    names = tuple(name for name, _ in p.factors)
    return _TestRows(names, p.attribute_names, tuple(columns), checked.correct[test], earlier, checked.person_of(test))


def _segments(table: _TestRows) -> _Segments:
    """Every segment that is large enough."""
    gone = np.zeros(len(table.right), dtype=bool) if table.before is None else table.before & ~table.right
    came = np.zeros(len(table.right), dtype=bool) if table.before is None else table.right & ~table.before
    marks = [~table.right, gone, came]
    alone = [np.bincount(column) for column in table.columns]
    keys: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    counts = []
    for chosen in _choices(len(table.columns)):
        sizes = [len(alone[i]) for i in chosen]
        code = np.ravel_multi_index(tuple(table.columns[i] for i in chosen), sizes)
        width = int(np.prod(sizes))
        n = np.bincount(code, minlength=width)
        kept = _large(n, code, table)
        if len(chosen) > 1:
            values = np.unravel_index(np.arange(width), sizes)
            kept &= np.logical_and.reduce([n < alone[i][v] for i, v in zip(chosen, values, strict=True)])
        where = np.flatnonzero(kept)
        keys += [(chosen, tuple(map(int, value))) for value in zip(*np.unravel_index(where, sizes), strict=True)]
        counts.append(np.stack([n[where], *(np.bincount(code[mark], minlength=width)[where] for mark in marks)]))
    return _Segments(keys, *np.concatenate(counts, axis=1).astype(np.int64))


def _choices(attributes: int) -> Iterator[tuple[int, ...]]:
    yield from ((i,) for i in range(attributes))
    yield from combinations(range(attributes), 2)


def _large(n: Ints, code: Ints, table: _TestRows) -> Mask:
    """[cells] whether a segment and its complement have enough samples and people."""
    kept = (n >= SMALLEST) & (len(code) - n >= SMALLEST)
    if table.person is not None and kept.any():
        _, person = np.unique(table.person, return_inverse=True)
        people = int(person.max()) + 1
        cell, who = np.divmod(np.unique(code * people + person), people)
        only_here = np.bincount(who, minlength=people)[who] == 1
        kept &= np.bincount(cell, minlength=len(n)) >= SMALLEST
        kept &= people - np.bincount(cell[only_here], minlength=len(n)) >= SMALLEST
    return kept


def _correct(table: _TestRows, found: _Segments, p: Floats, alpha: float, *, paired: bool = False) -> Floats:
    """The p-values with counts over their design effect, where samples of one person occur and it could matter."""
    if table.person is None:
        return p
    corrected = p.copy()
    for i in np.flatnonzero(p <= alpha).tolist():
        inside = table.rows(*found.keys[i])
        own = _paired_by_people(table, inside) if paired else _apart_by_people(table, inside)
        corrected[i] = max(p[i], own)
    return corrected


def _apart_by_people(table: _TestRows, inside: Mask) -> float:
    """Fisher's p-value with effective counts: fewer wrong ones inside, more outside."""
    wrong, n = _effective_counts(table, inside)
    others, rest = _effective_counts(table, ~inside)
    k, m = math.floor(wrong), min(math.ceil(others), math.floor(rest))
    return float(fisher_tail([k], [math.floor(n)], k + m, math.floor(n) + math.floor(rest))[0])


def _effective_counts(table: _TestRows, rows: Mask) -> tuple[float, float]:
    """Wrong samples and samples over their design effect."""
    wrong = ~table.right[rows]
    effect = design_effect(wrong, table.person_of(rows))
    return float(wrong.sum() / effect), float(len(wrong) / effect)


def _paired_by_people(table: _TestRows, inside: Mask) -> float:
    """McNemar's p-value with effective counts: fewer lost, more gained."""
    assert table.before is not None
    right, before = table.right[inside], table.before[inside]
    effect = design_effect(right.astype(np.int64) - before, table.person_of(inside))
    lost, gained = (before & ~right).sum() / effect, (right & ~before).sum() / effect
    return float(mcnemar_tail(np.floor([lost]), np.ceil([gained]))[0])


def _weak(
    table: _TestRows, key: tuple[tuple[int, ...], tuple[int, ...]], adjusted: tuple[float, ...], alpha: float
) -> WeakSegment:
    """A finding with its numbers; intervals at ``alpha`` each."""
    inside = table.rows(*key)
    sides = [Proportion.of(table.right[rows], table.person_of(rows)) for rows in (inside, ~inside)]
    below = Difference(*sides).exact().limits(alpha)
    name, own, others = table.name(*key), sides[0], sides[1].estimate
    if table.before is None:
        return WeakSegment(name, int(own.n), own.estimate, others, below, adjusted[0])
    paired = PairedCounts.of(table.right[inside], table.before[inside], table.person_of(inside)).exact()
    before, change = float(table.before[inside].mean()), paired.limits(alpha)
    return WeakSegment(name, int(own.n), own.estimate, others, below, adjusted[0], before, change, adjusted[1])
