"""Conformal prediction sets: how often they hold the true class of forget rows and how large they are, against unseen rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from grmu_audit.intervals import AtThreshold, Difference, Proportion, Replicated, Statistic, design_effect
from grmu_audit.intervals.closed_forms import Floats
from grmu_audit.intervals.operating_points import LEVELS, threshold_ranks
from grmu_audit.intervals.proportions import count_persons
from grmu_audit.metrics.checked_predictions import CheckedPredictions, Ints, Mask
from grmu_audit.metrics.membership.exposure import CONSTANT_SCORES, MatchedRows, match_groups
from grmu_audit.metrics.outcome import Basis, Outcome
from grmu_audit.metrics.scores import log_softmax

CONFORMAL = ("CONFORMAL_COVERAGE", "CONFORMAL_SIZE")
"""Metrics of this module."""
NO_LOGITS = "prediction sets need logits or probabilities; they are not given"
"""Why they are undefined where a model's logits are not known."""
ALPHA = 0.1
"""Share of unseen rows whose true class the prediction sets may miss."""
FEWEST = 100
"""Independent calibration rows that the threshold needs: ten lie beyond it."""
_SLACK = 1e-9


@dataclass(frozen=True, eq=False)
class _Sets:
    """Nonconformity scores of the rows that count, and the threshold that the test rows give."""

    forget: Floats
    """[forget, classes] 1 - p_k of the forget rows."""
    forget_target: Ints
    """[forget] true classes."""
    unseen: Floats
    """[unseen, classes] 1 - p_k of the test rows of the same groups."""
    unseen_target: Ints
    """[unseen] true classes."""
    weight: Floats
    """[unseen] weights that give the unseen rows the forget set's mix of groups; they sum to 1."""
    calibration: Floats
    """[test] 1 - p_y of all test rows, sorted."""
    effective: int
    """Independent rows that the test rows are worth."""

    @property
    def threshold(self) -> float:
        """The smallest score that at least ceil((n + 1) (1 - alpha)) of n test rows do not exceed."""
        return float(self.calibration[_rank(len(self.calibration) + 1) - 1])

    @cached_property
    def own_thresholds(self) -> Floats:
        """[unseen] the threshold that all other test rows give each unseen row."""
        rank = _rank(len(self.calibration))
        score = self._own(unseen=True)
        found: Floats = np.where(score <= self.calibration[rank - 1], self.calibration[rank], self.calibration[rank - 1])
        return found

    def means(self, name: str, threshold: float) -> float:
        """The value with all sets at one threshold."""
        forget, unseen = (
            (self.forget, self.unseen) if name == "CONFORMAL_SIZE" else (self._own(unseen=False), self._own(unseen=True))
        )
        held: Floats = self.weight @ (unseen <= threshold)
        return float(np.count_nonzero(forget <= threshold) / len(forget) - held.sum())

    def _own(self, *, unseen: bool) -> Floats:
        """[rows] 1 - p_y of the unseen or of the forget rows."""
        score, target = (self.unseen, self.unseen_target) if unseen else (self.forget, self.forget_target)
        return score[np.arange(len(score)), target]

    def counted(self, name: str, threshold: float, unseen: float | Floats) -> tuple[Floats, Floats]:
        """[forget] and [unseen] whether the set holds the true class, or its number of classes."""
        if name == "CONFORMAL_SIZE":
            inside = self.unseen <= np.reshape(unseen, (-1, 1))
            return (self.forget <= threshold).sum(axis=1).astype(np.float64), inside.sum(axis=1).astype(np.float64)
        own, other = self._own(unseen=False) <= threshold, self._own(unseen=True) <= unseen
        return own.astype(np.float64), other.astype(np.float64)

    def limits(self, level: float) -> tuple[float, float]:
        """Lower and upper limit of the threshold, by ranks from the largest score."""
        n, share = len(self.calibration), len(self.calibration) / self.effective
        first, last = threshold_ranks(self.effective, ALPHA, level)
        upper = math.inf if first < 1 else float(self.calibration[n - max(math.floor(first * share), 1)])
        return float(self.calibration[max(n - math.ceil(last * share), 0)]), upper


def measure_conformal(checked: CheckedPredictions) -> Iterator[Outcome]:
    """CONFORMAL_COVERAGE and CONFORMAL_SIZE: split-conformal prediction sets of 90 %, forget rows against unseen ones.

    The nonconformity score of a row and a class k is 1 - p_k (LAC); q is the ceil((n + 1) 0.9)-th smallest 1 - p_y of the n test
    rows; the set of a row holds every class with 1 - p_k <= q.  Each unseen row takes the q of all other test rows, so that
    it is as new as a forget row.  CONFORMAL_COVERAGE = share of forget rows whose set holds the true class - the same share
    of test rows of the same groups, weighted to the forget set's mix; range [-1, 1], 0 is like unseen.  CONFORMAL_SIZE = the
    same difference of the mean number of classes in a set.  Both sides, and coverage over size (CR), are in ``details``.

    The interval holds the sampling of both sides and of q.  Undefined without scores, with equal scores, without a forget
    row that has test rows of its group, with fewer than 100 independent test rows, and the size also where all sets of one
    side are of one size.

    Source: Vovk, Gammerman and Shafer (2005); Sadinle, Lei and Wasserman (2019) for LAC; Shi, Liu and Wang (2025), arXiv
    2501.19403, for sets of the forget set and CR.
    """
    matched = match_groups(checked, "forget")
    basis = _basis(checked, matched)
    sets, reason = _sets(checked, matched)
    if sets is None:
        yield from (Outcome.missing(name, reason, basis) for name in CONFORMAL)
        return
    basis = replace(basis, details={**basis.details, "threshold": sets.threshold, **_both_sides(sets)})
    for name in CONFORMAL:
        yield _outcome(checked, name, matched, sets, basis)


def _rank(n: int) -> int:
    return math.ceil(n * (1 - ALPHA) - _SLACK)


def _basis(checked: CheckedPredictions, matched: MatchedRows) -> Basis:
    member, unseen = int(matched.member.sum()), int(matched.unseen.sum())
    details = {"alpha": ALPHA, "calibration": int(checked.test.sum()), "member": member, "unseen": unseen}
    persons = checked.persons(matched.member | matched.unseen)
    return Basis(member + unseen, min(member, unseen), persons=persons, details=details)


def _sets(checked: CheckedPredictions, matched: MatchedRows) -> tuple[_Sets | None, str]:
    """The scores, or None with the reason."""
    logits, target = checked.predictions.logits, checked.predictions.target
    if logits is None:
        return None, NO_LOGITS
    if checked.has_constant_scores:
        return None, CONSTANT_SCORES
    if not matched.member.any():
        return None, f"no forget sample whose group has test samples (forget n = {int(checked.predictions.mask('forget').sum())})"
    test, rows = checked.test, np.flatnonzero(checked.test)
    score = 1 - np.exp(log_softmax(logits[test]))
    own = score[np.arange(len(rows)), target[test]]
    calibration = np.sort(own)
    beyond = own > (calibration[_rank(len(own) + 1) - 1] if len(own) >= 1 / ALPHA else math.inf)
    effective = int(len(own) / design_effect(beyond, checked.person_of(test)) + _SLACK)
    if effective < FEWEST:
        return None, f"{effective} independent test samples, of which prediction sets need {FEWEST} for their threshold"
    forget = 1 - np.exp(log_softmax(logits[matched.member]))
    weight = matched.weight / matched.weight.sum()
    unseen = score[matched.unseen[rows]]
    return _Sets(forget, target[matched.member], unseen, target[matched.unseen], weight, calibration, effective), ""


def _outcome(checked: CheckedPredictions, name: str, matched: MatchedRows, sets: _Sets, basis: Basis) -> Outcome:
    forget, unseen = sets.counted(name, sets.threshold, sets.own_thresholds)
    if name == "CONFORMAL_SIZE" and (forget.min() == forget.max() or unseen.min() == unseen.max()):
        side = "forget" if forget.min() == forget.max() else "unseen"
        return Outcome.missing(
            name, f"all prediction sets of the {side} rows are of one size: nothing tells how they vary", basis
        )
    units = [checked.forget_unit(matched.member), *([None] if checked.predictions.subject is not None else [])]
    right = _side(name, unseen, checked.person_of(matched.unseen), sets.weight)
    middle = sets.means(name, sets.threshold)
    moved = [[sets.means(name, limit) - middle for limit in sets.limits(level)] for level in LEVELS]
    found = []
    for unit in units:
        known = Difference(_side(name, forget, unit, None), right)
        lower, upper = (tuple(known.estimate + change for change in column) for column in zip(*moved, strict=True))
        found.append(AtThreshold(known, LEVELS, lower, upper))
    return Outcome(name, basis, found[0], these_people=found[1] if len(found) > 1 else None)


def _both_sides(sets: _Sets) -> dict[str, dict[str, float | None]]:
    """Coverage, mean size and their ratio (CR) of forget and unseen rows."""
    parts = [sets.counted(name, sets.threshold, sets.own_thresholds) for name in CONFORMAL]
    weights = (np.full(len(sets.forget), 1 / len(sets.forget)), sets.weight)
    made: dict[str, dict[str, float | None]] = {}
    for i, side in enumerate(("forget", "unseen_of_groups")):
        coverage, size = (float((values[i] * weights[i]).sum()) for values in parts)
        made[side] = {"coverage": coverage, "size": size, "cr": coverage / size if size else None}
    return made


def _side(name: str, values: Floats, person: Ints | None, weight: Floats | None) -> Statistic:
    """Share or mean of one side, weighted where it has weights."""
    held: Mask = values > 0
    if weight is None:
        return Proportion.of(held, person) if name == "CONFORMAL_COVERAGE" else Replicated.of_samples(values, person, low=0.0)
    if name == "CONFORMAL_COVERAGE":
        worth = float(1 / (weight**2).sum())
        return Proportion(float((values * weight).sum()) * worth, worth, design_effect(held, person), count_persons(person))
    mean = float((values * weight).sum())
    away: Floats = weight * (values - mean)
    if person is not None:
        away = np.bincount(np.unique(person, return_inverse=True)[1], weights=away).astype(np.float64)
    units = len(away)
    se = math.sqrt(units / (units - 1) * float((away**2).sum())) if units > 1 else None
    return Replicated(mean, se, units - 1, 0.0)
