"""Changes between two models on the same samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from grmu_audit.intervals import (
    AreaChange,
    Difference,
    Gap,
    Minimum,
    MinimumChange,
    PairedCounts,
    SharedDifference,
    Statistic,
)
from grmu_audit.intervals.proportions import non_empty
from grmu_audit.metrics.accuracy import (
    SPLIT_OF,
    accuracy_basis,
    accuracy_rows,
    dominant_cell,
    group_outcomes,
    group_pairs,
    unit_of,
)
from grmu_audit.metrics.catalog import PLUGINS
from grmu_audit.metrics.catalog.subgroups import CONDITIONAL
from grmu_audit.metrics.checked_predictions import CheckedPredictions, Mask
from grmu_audit.metrics.fairness import gap_change
from grmu_audit.metrics.membership.attacks import FORESTS, AttackResults, area_basis, forest_basis
from grmu_audit.metrics.membership.conformal import CONFORMAL
from grmu_audit.metrics.membership.exposure import area_units
from grmu_audit.metrics.outcome import Basis, Outcome
from grmu_audit.metrics.scores import Roc, change_of_areas, normal_change_of_areas
from grmu_audit.metrics.selection import SELECTION

_COMPOSED = ("WG", "EO", "DP", "EP", "UA_GA_GAP")
_EXPOSURE = ("MIA_TPR_1", "MIA_TPR_01", "RETAIN_AUC", "MIA_DISPARITY")


@dataclass(frozen=True, eq=False)
class ModelResult:
    """Results of the prediction metrics for one model."""

    checked: CheckedPredictions
    """Its checked predictions."""
    attacks: AttackResults
    """Results of the attacks."""
    outcomes: tuple[Outcome, ...]
    """Every metric, those over everything first."""

    def outcome(self, name: str) -> Outcome:
        """The outcome over everything of that name."""
        return next(found for found in self.outcomes if found.metric == name and found.group is None)


def changes(candidate: ModelResult, other: ModelResult) -> Iterator[Outcome]:
    """Candidate minus other for every metric; rows, choices and order of both are the same.

    Accuracies and forest attacks are paired sample by sample, MIA_AUC by its influences; WG, EO, DP and EP are bounded
    by both sides and by the paired changes of their cells.
    """
    for name in (*SPLIT_OF, "GA"):
        rows = accuracy_rows(candidate.checked, name)
        basis, reason = accuracy_basis(candidate.checked, name, rows)
        yield Outcome(name, basis, None if reason else paired_accuracy(candidate.checked, other.checked, name, rows), reason)
    for name in _COMPOSED:
        yield _change_of(name, candidate, other)
    for name in FORESTS:
        yield _forest_change(name, candidate, other)
    yield area_change(candidate, other)
    conditional = CONDITIONAL if candidate.checked.options.control_attributes else ()
    for name in (*_EXPOSURE, *CONFORMAL, *SELECTION, *conditional, *(name for name, _ in PLUGINS)):
        yield _change_of(name, candidate, other)
    yield from group_outcomes(candidate.checked, group_pairs(candidate.checked, other.checked))


def paired_accuracy(candidate: CheckedPredictions, other: CheckedPredictions, name: str, rows: Mask) -> PairedCounts:
    """Paired counts of RA, UA, TA, VA or GA on the rows; GA of one group knows the other cells too."""
    cell = dominant_cell(candidate) if name == "GA" else None
    return _paired_rows(candidate, other, name, rows) if cell is None else group_pairs(candidate, other)[cell]


def _change_of(name: str, candidate: ModelResult, other: ModelResult) -> Outcome:
    """Change of a metric from the outcomes of both models."""
    left, right = candidate.outcome(name), other.outcome(name)
    basis = _basis_of_both(left, right)
    if left.statistic is None or right.statistic is None:
        return Outcome.missing(name, left.reason or right.reason or "undefined", basis)
    return Outcome(name, basis, _compose(name, candidate.checked, other.checked, (left.statistic, right.statistic)))


def _basis_of_both(left: Outcome, right: Outcome) -> Basis:
    """The basis of a change: what either side does not cover, and the smaller of their smallest cells."""
    least = left if left.smallest <= right.smallest else right
    theirs = {
        name: f"{reason} (of the model compared with)" for name, reason in right.basis.details.get("undefined_strata", {}).items()
    }
    undefined = theirs | left.basis.details.get("undefined_strata", {})
    details = {"undefined_strata": undefined} if undefined else {}
    if "smallest_cell" in least.basis.details:
        details["smallest_cell"] = least.basis.details["smallest_cell"]
    return replace(
        left.basis,
        smallest_cell=left.basis.smallest_cell if least is left else right.smallest,
        smallest_group=least.basis.smallest_group,
        empty_cells=tuple(sorted({*left.basis.empty_cells, *right.basis.empty_cells})),
        details=details,
    )


def _compose(
    name: str, candidate: CheckedPredictions, other: CheckedPredictions, sides: tuple[Statistic, Statistic]
) -> Statistic:
    """The statistic of a change: by paired cells where the metric has any, else by the limits of both sides."""
    left, right = sides
    if name == "UA_GA_GAP":
        return Difference(*(_paired_rows(candidate, other, part, accuracy_rows(candidate, part)) for part in ("UA", "GA")))
    if isinstance(left, Minimum) and isinstance(right, Minimum) and name == "WG":
        return MinimumChange(left, right, (tuple(non_empty(group_pairs(candidate, other))),))
    if isinstance(left, Gap) and isinstance(right, Gap) and name in _COMPOSED:
        return gap_change(candidate, other, name, (left, right))
    return SharedDifference(left, right)


def _paired_rows(candidate: CheckedPredictions, other: CheckedPredictions, name: str, rows: Mask) -> PairedCounts:
    return PairedCounts.of(candidate.correct[rows], other.correct[rows], unit_of(candidate, name, rows))


def _forest_change(name: str, candidate: ModelResult, other: ModelResult) -> Outcome:
    checked, basis = candidate.checked, forest_basis(candidate.checked)
    for side in (candidate.attacks, other.attacks):
        if name not in side.called_non_member:
            return Outcome.missing(name, side.reason or "undefined", basis)
    called = candidate.attacks.called_non_member[name], other.attacks.called_non_member[name]
    return Outcome(name, basis, PairedCounts.of(*called, checked.forget_unit(checked.predictions.mask("forget"))))


def area_change(candidate: ModelResult, other: ModelResult) -> Outcome:
    """Difference of two correlated areas; the standard error is that of the paired influences (DeLong)."""
    score = candidate.checked.options.attack_score
    basis, reason = area_basis(candidate.checked, candidate.attacks)
    reason = reason or area_basis(other.checked, other.attacks)[1]
    basis = replace(basis, details={"attack_score": score})
    if reason:
        return Outcome.missing("MIA_AUC", reason, basis)
    left, right = candidate.attacks.rocs[score], other.attacks.rocs[score]
    return Outcome("MIA_AUC", basis, _area_difference(candidate, (left, right)))


def _area_difference(candidate: ModelResult, curves: tuple[Roc, Roc]) -> AreaChange:
    checked, sides = candidate.checked, (candidate.attacks.matched, candidate.attacks.unseen)
    if checked.options.interval_forms > 1:
        return change_of_areas(*curves, *area_units(checked, *sides))
    return normal_change_of_areas(*curves, *map(checked.person_of, sides))
