"""Membership inference: does the forget set still look like training data?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from grmu_audit.intervals import Proportion
from grmu_audit.intervals.closed_forms import Floats
from grmu_audit.metrics.checked_predictions import CheckedPredictions, Mask
from grmu_audit.metrics.membership.exposure import CONSTANT_SCORES, forget_area, match_groups, why_no_score
from grmu_audit.metrics.membership.forest import TREES, forest_calls
from grmu_audit.metrics.outcome import Basis, Outcome
from grmu_audit.metrics.scores import ATTACK_SCORES, Roc, roc
from grmu_audit.records import Group

FORESTS = ("MIA", "MIA_PAPER")
"""Forest attacks: balanced by subsampling, and unbalanced as published."""


@dataclass(frozen=True, eq=False)
class AttackResults:
    """Results of the attacks on one model, so that two models can be compared sample by sample."""

    called_non_member: dict[str, Mask]
    """Per forest attack: [forget] called non-member; empty where there is no loss or a side is missing."""
    rocs: dict[str, Roc]
    """Per attack score: area under the curve of forget against unseen samples of the same groups."""
    reason: str
    """Why ``called_non_member`` is empty, or an empty string."""
    unseen: Mask
    """[n] test rows that the forget set is compared with."""
    matched: Mask
    """[n] forget rows whose group has test rows."""
    weight: Floats
    """[unseen] weights that give the unseen rows the forget set's group mix."""


def run_attacks(checked: CheckedPredictions) -> AttackResults:
    """Run every attack that the predictions allow."""
    return _score_attacks(checked, checked.scores, *_run_forests(checked))


def run_score_attack(checked: CheckedPredictions) -> AttackResults:
    """Only the attack by the score of the options."""
    name = checked.options.attack_score
    score = checked.score(name)
    return _score_attacks(checked, {} if score is None else {name: score}, {}, "the forest attacks were left out")


def _score_attacks(
    checked: CheckedPredictions, scores: Mapping[str, Floats], called: dict[str, Mask], reason: str
) -> AttackResults:
    rows = match_groups(checked, "forget")
    rocs: dict[str, Roc] = {}
    if rows.member.any():
        rocs = {name: roc(score[rows.member], score[rows.unseen], rows.weight) for name, score in scores.items()}
    return AttackResults(called, rocs, reason, rows.unseen, rows.member, rows.weight)


def _run_forests(checked: CheckedPredictions) -> tuple[dict[str, Mask], str]:
    """Calls of both forests, or the reason why there are none."""
    rows = {name: checked.predictions.mask(name) for name in ("retain", "val", "forget")}
    missing = [name for name, mask in rows.items() if not mask.any()]
    if missing:
        return {}, f"no {' and no '.join(missing)} sample (n = 0)"
    if checked.loss is None:
        return {}, "needs logits, probabilities or losses; only predicted classes are given"
    if checked.has_constant_scores:
        return {}, CONSTANT_SCORES
    losses = [checked.loss[rows[name]] for name in ("retain", "val", "forget")]
    return {name: forest_calls(*losses, seed=checked.options.seed, balanced=name == "MIA") for name in FORESTS}, ""


def measure_membership(checked: CheckedPredictions, attacks: AttackResults) -> Iterator[Outcome]:
    """MIA, MIA_PAPER and MIA_AUC.

    ``MIA`` and ``MIA_PAPER``: share of the forget set that a forest fitted on retain (member) and validation
    (non-member) losses calls non-member; range [0, 1]; read towards the value of a retrained model.  ``MIA_AUC``:
    area under the ROC curve of an attack score, forget against unseen test samples of the same groups; 0.5 means
    that the score does not distinguish them, and both sides of 0.5 leak.  Undefined without forget samples, without
    scores, or without unseen samples of the groups; the reason says which.
    """
    forget = checked.predictions.mask("forget")
    for name in FORESTS:
        called = attacks.called_non_member.get(name)
        statistic = None if called is None else Proportion.of(called, checked.forget_unit(forget))
        yield Outcome(name, forest_basis(checked), statistic, attacks.reason, these_people=_calls_of_these(checked, called))
    basis, reason = area_basis(checked, attacks)
    curve = attacks.rocs.get(checked.options.attack_score)
    if reason or curve is None:
        yield Outcome("MIA_AUC", basis, None, reason)
        return
    area, these = forget_area(checked, curve, attacks.matched, attacks.unseen)
    yield Outcome("MIA_AUC", basis, area, these_people=these)


def _calls_of_these(checked: CheckedPredictions, called: Mask | None) -> Proportion | None:
    """Share called non-member about these people alone, where people are known."""
    known = checked.predictions.subject is not None and checked.options.interval_forms > 1
    return Proportion.of(called) if called is not None and known else None


def forest_basis(checked: CheckedPredictions) -> Basis:
    """The basis of a forest attack's value: the forget set."""
    forget = checked.predictions.mask("forget")
    fitted = {name: int(checked.predictions.mask(split).sum()) for name, split in (("member", "retain"), ("non_member", "val"))}
    only = checked.dominant_groups[0] if len(checked.dominant_groups) == 1 else None
    details = {"seed": checked.options.seed, "trees": TREES, "criterion": "gini", **fitted}
    return Basis(int(forget.sum()), smallest_group=only, persons=checked.persons(forget), details=details)


def area_basis(checked: CheckedPredictions, attacks: AttackResults) -> tuple[Basis, str]:
    """The basis of MIA_AUC, and why it is undefined, or an empty string."""
    score, (codes, index) = checked.options.attack_score, checked.cells
    lost = np.unique(index[checked.predictions.mask("forget") & ~attacks.matched])
    counts = {"forget": int(attacks.matched.sum()), "unseen": int(attacks.unseen.sum())}
    details: dict[str, object] = {"attack_score": score, **counts}
    details["scores"] = {name: attacks.rocs[name].value for name in ATTACK_SCORES if name in attacks.rocs}
    if score in attacks.rocs:
        details["leakage"] = abs(attacks.rocs[score].value - 0.5)
    size, group = _smallest(checked, attacks)
    uncovered = tuple(checked.group(int(codes[c])) for c in lost)
    persons = checked.persons(attacks.matched | attacks.unseen)
    return Basis(sum(counts.values()), size, group, uncovered, persons, details), _why_no_area(checked, attacks)


def _smallest(checked: CheckedPredictions, attacks: AttackResults) -> tuple[int, Group | None]:
    """The smaller of the forget set and the smallest test cell that it is compared with."""
    codes, index = checked.cells
    used, counts = np.unique(index[attacks.unseen], return_counts=True)
    if not len(used):
        return 0, None
    least = int(np.argmin(counts))
    size = min(int(counts[least]), int(attacks.matched.sum()))
    return size, checked.group(int(codes[used[least]])) if size == counts[least] else None


def _why_no_area(checked: CheckedPredictions, attacks: AttackResults) -> str:
    forget = int(checked.predictions.mask("forget").sum())
    if not forget:
        return "no forget sample (n = 0)"
    if not attacks.matched.any():
        return f"no test sample of the forget set's groups (forget n = {forget}, unseen n = 0)"
    return why_no_score(checked)
