"""Accuracy under attack, from stored predictions under attack."""

from __future__ import annotations

from collections.abc import Iterator

from grmu_audit.intervals import PairedCounts, Proportion
from grmu_audit.metrics.checked_predictions import CheckedPredictions, Ints, Mask, row_positions
from grmu_audit.metrics.outcome import Basis, Outcome
from grmu_audit.records import Group
from grmu_audit.records.white_box import ATTACKS, WhiteBoxOutputs


def measure_robustness(checked: CheckedPredictions, outputs: WhiteBoxOutputs) -> Iterator[Outcome]:
    """``FGSM@r``, ``PGD@r``, ``AA@r``: test accuracy under attack at L-infinity radius r, overall and per group.

    Formula: P(f(x') = y) with ``|x' - x|_inf <= r`` in pixels of [0, 1].  Range [0, 1].  The drop from clean accuracy on
    the same samples is in the details, with its paired interval.  Undefined without test samples, or where the
    attack was not run (the reason says why).

    Sources: Goodfellow et al. (2015); Madry et al. (2018); Croce and Hein (2020).
    """
    order = row_positions(checked.predictions.ids, outputs)
    for name in ATTACKS:
        if name in outputs.adversarial_predictions:
            yield from _accuracies(checked, name, outputs.adversarial_predictions[name][order])
        elif name in outputs.missing:
            yield Outcome.missing(name, outputs.missing[name].text, Basis(0))


def _accuracies(checked: CheckedPredictions, name: str, predicted: Ints) -> Iterator[Outcome]:
    correct = predicted == checked.predictions.target
    rows = checked.test & (predicted >= 0)
    yield _accuracy(checked, name, correct, rows)
    codes, index = checked.cells
    for position, code in enumerate(codes.tolist()):
        yield _accuracy(checked, name, correct, rows & (index == position), checked.group(code))


def _accuracy(checked: CheckedPredictions, name: str, correct: Mask, rows: Mask, group: Group | None = None) -> Outcome:
    n = int(rows.sum())
    if not n:
        reason = f"no test sample{' of the group' if group else ''} was attacked (n = 0)"
        return Outcome.missing(name, reason, Basis(0, smallest_group=group), group)
    statistic = Proportion.of(correct[rows], checked.person_of(rows))
    drop = PairedCounts.of(checked.correct[rows], correct[rows], checked.person_of(rows))
    clean, limits = float(checked.correct[rows].mean()), drop.interval(checked.options.confidence)
    details = {"clean": clean, "drop": clean - float(correct[rows].mean()), "drop_interval": limits}
    return Outcome(name, Basis(n, smallest_group=group, persons=checked.persons(rows), details=details), statistic, group=group)


def robustness_changes(checked: CheckedPredictions, sides: tuple[WhiteBoxOutputs, WhiteBoxOutputs]) -> Iterator[Outcome]:
    """Candidate minus other of every accuracy under attack, paired on the same test samples, overall."""
    orders = [row_positions(checked.predictions.ids, side) for side in sides]
    for name in ATTACKS:
        if all(name in side.adversarial_predictions for side in sides):
            found = [side.adversarial_predictions[name][order] for side, order in zip(sides, orders, strict=True)]
            rows = checked.test & (found[0] >= 0) & (found[1] >= 0)
            first, second = (predicted[rows] == checked.predictions.target[rows] for predicted in found)
            if rows.any():
                basis = Basis(int(rows.sum()), persons=checked.persons(rows))
                yield Outcome(name, basis, PairedCounts.of(first, second, checked.person_of(rows)))
