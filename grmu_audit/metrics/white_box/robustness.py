"""Accuracy under attack and the fairness-gap of layers, from stored probes."""

from __future__ import annotations

from collections.abc import Iterator

from grmu_audit.intervals.combined import interval
from grmu_audit.intervals.design_effects import design_effect
from grmu_audit.intervals.proportions import proportion
from grmu_audit.metrics.accuracy import paired
from grmu_audit.metrics.checked_predictions import Facts, Ints, Mask, in_order
from grmu_audit.metrics.outcome import Basis, defined, undefined
from grmu_audit.records import Group, MetricValue, Subject
from grmu_audit.records.white_box import ATTACKS, Probes


def under_attack(f: Facts, probes: Probes, *, subject: Subject, confidence: float) -> Iterator[MetricValue]:
    """``FGSM@r``, ``PGD@r``, ``AA@r``: test accuracy under attack at L-infinity radius r, overall and per group.

    Formula: P(f(x') = y) with ``|x' - x|_inf <= r`` in pixels of [0, 1].  Range [0, 1].  The drop from clean accuracy on
    the same samples stands in the details, with its paired interval.  Undefined without test samples, or where the
    attack was not run (the reason says why).

    Sources: Goodfellow et al. (2015); Madry et al. (2018); Croce and Hein (2020).
    """
    order = in_order(f.predictions.ids, probes)
    for name in ATTACKS:
        if name in probes.attacked:
            answer = probes.attacked[name][order]
            yield from _accuracies(f, name, answer, subject=subject, confidence=confidence)
        elif name in probes.missing:
            yield undefined(name, probes.missing[name], Basis(0), subject=subject, confidence=confidence)


def _accuracies(f: Facts, name: str, answer: Ints, *, subject: Subject, confidence: float) -> Iterator[MetricValue]:
    right = answer == f.predictions.target
    rows = f.test & (answer >= 0)
    yield _accuracy(f, name, right, rows, None, subject=subject, confidence=confidence)
    codes, index = f.cells
    for position, code in enumerate(codes.tolist()):
        group = f.group(code)
        yield _accuracy(f, name, right, rows & (index == position), group, subject=subject, confidence=confidence)


def _accuracy(
    f: Facts, name: str, right: Mask, rows: Mask, group: Group | None, *, subject: Subject, confidence: float
) -> MetricValue:
    n = int(rows.sum())
    if not n:
        why = f"no test sample{' of the group' if group else ''} was attacked (n = 0)"
        return undefined(name, why, Basis(0, smallest_group=group), subject=subject, confidence=confidence, group=group)
    drop = paired(f.correct[rows], right[rows], f.subject_of(rows))
    clean = float(f.correct[rows].mean())
    details = {"clean": clean, "drop": clean - float(right[rows].mean()), "drop_interval": interval(drop, confidence)}
    basis = Basis(n, smallest_group=group, subjects=f.subjects(rows), details=details)
    statistic = proportion(int(right[rows].sum()), n, design_effect(right[rows], f.subject_of(rows)), f.subjects(rows))
    return defined(name, statistic, basis, subject=subject, confidence=confidence, group=group)


def under_attack_changes(f: Facts, sides: tuple[Probes, Probes], *, subject: Subject, confidence: float) -> Iterator[MetricValue]:
    """Candidate minus other of every accuracy under attack, paired on the same test samples, overall."""
    orders = [in_order(f.predictions.ids, side) for side in sides]
    for name in ATTACKS:
        if all(name in side.attacked for side in sides):
            answers = [side.attacked[name][order] for side, order in zip(sides, orders, strict=True)]
            rows = f.test & (answers[0] >= 0) & (answers[1] >= 0)
            first, second = (answer[rows] == f.predictions.target[rows] for answer in answers)
            basis = Basis(int(rows.sum()), subjects=f.subjects(rows))
            if basis.n:
                statistic = paired(first, second, f.subject_of(rows))
                yield defined(name, statistic, basis, subject=subject, confidence=confidence)
