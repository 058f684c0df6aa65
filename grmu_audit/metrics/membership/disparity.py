"""Is the attack better on some groups than on others, or does it only look so in small groups?"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from grmu_audit.intervals import Area, AreaGap
from grmu_audit.intervals.closed_forms import Floats
from grmu_audit.metrics.checked_predictions import CheckedPredictions, Ints, Mask
from grmu_audit.metrics.outcome import Basis, Outcome
from grmu_audit.metrics.scores import roc
from grmu_audit.records.data import SUPPRESSED_BELOW

PERMUTATIONS = 999
"""Permutations of the test; fewer where there are very many samples."""
_MOST_DRAWS = 5_000_000


def measure_disparity(checked: CheckedPredictions, member: Mask, unseen: Mask, reason: str) -> Outcome:
    """MIA_DISPARITY: largest minus smallest area under the attack's curve over the groups of the forget set.

    Groups with fewer than ``SUPPRESSED_BELOW`` rows on a side are left out.  The estimate is biased upwards where groups are
    small (Kulynych et al., 2022): ``details`` holds ``expected``, what it is on average where all groups leak alike, and the
    permutation test's ``p_value``.  Undefined with fewer than two such groups.
    """
    codes, index = checked.cells
    sizes = np.minimum(*(np.bincount(index[rows], minlength=len(codes)) for rows in (member, unseen)))
    used = np.flatnonzero(sizes >= SUPPRESSED_BELOW)
    rows = np.isin(index, used)
    member, unseen = member & rows, unseen & rows
    basis = Basis(int(member.sum() + unseen.sum()), int(sizes[used].min()) if len(used) else 0)
    if not reason and len(used) < 2:
        reason = f"fewer than two groups with {SUPPRESSED_BELOW} forget and {SUPPRESSED_BELOW} test samples"
    if reason:
        return Outcome.missing("MIA_DISPARITY", reason, basis)
    score, label = checked.options.attack_score, np.searchsorted(used, index)
    values = checked.scores[score]
    cells = [_area(checked, member & (index == i), unseen & (index == i)) for i in used.tolist()]
    sides = ((values[side], label[side]) for side in (member, unseen))
    p_value, expected, draws = permutation_test(*sides, seed=checked.options.seed)
    areas = [{"group": asdict(checked.group(int(codes[i]))), "auc": c.value} for i, c in zip(used.tolist(), cells, strict=True)]
    details = {"attack_score": score, "p_value": p_value, "expected": expected, "permutations": draws, "groups": areas}
    basis = Basis(basis.n, basis.smallest_cell, None, (), checked.persons(member | unseen), details)
    return Outcome("MIA_DISPARITY", basis, AreaGap(tuple(cells)))


def _area(checked: CheckedPredictions, member: Mask, unseen: Mask) -> Area:
    values = checked.scores[checked.options.attack_score]
    curve = roc(values[member], values[unseen], np.ones(int(unseen.sum())))
    if checked.options.interval_forms < 2:
        return curve.area(checked.person_of(member), checked.person_of(unseen))
    return curve.effective_area(checked.forget_unit(member), checked.person_of(unseen))


def permutation_test(
    member: tuple[Floats, Ints], unseen: tuple[Floats, Ints], *, seed: int, permutations: int = PERMUTATIONS
) -> tuple[float, float, int]:
    """Would as large a spread of the groups' areas arise if the attack did equally well on all groups?

    Groups differ in how easy they are, so scores are first brought to one scale: the share of the group's own unseen
    rows below them.  On this scale rows of all groups are exchangeable within members and within unseen rows if every
    group has the same curve.  They are dealt to groups of the same sizes again; a group's area is taken to first order
    (its rows' influences on the pooled area).

    Args:
        member: [n1] scores, and group labels 0, 1, ...; every group has rows on both sides.
        unseen: [n0] the same.
        seed: seed of the permutations.
        permutations: how many; at most as many as 5 million random numbers allow, at least 99.

    Returns:
        p-value (1 + exceeding) / (1 + permutations); the average spread under the null; the number of permutations.

    Source: Kulynych et al. (2022), Disparate vulnerability to membership inference attacks; the scale is this tool's.
    """
    groups = int(max(member[1].max(), unseen[1].max())) + 1
    scaled = [_on_own_scale(side, unseen, groups) for side in (member, unseen)]
    curve = roc(scaled[0], scaled[1], np.ones(len(scaled[1])))
    parts = [(curve.positive * len(scaled[0]), member[1]), (curve.negative * len(scaled[1]), unseen[1])]
    rng = np.random.default_rng(seed)
    draws = int(max(99, min(permutations, _MOST_DRAWS // max(len(scaled[0]) + len(scaled[1]), 1))))
    labels = [label for _, label in parts]
    observed = _spread([influence for influence, _ in parts], labels, groups)
    null = np.array([_spread([rng.permutation(x) for x, _ in parts], labels, groups) for _ in range(draws)])
    exceeding = int((null >= observed - 1e-12).sum())
    return (1 + exceeding) / (1 + draws), float(null.mean()), draws


def _on_own_scale(side: tuple[Floats, Ints], unseen: tuple[Floats, Ints], groups: int) -> Floats:
    """Share of the group's own unseen rows below each score, ties by half."""
    result = np.empty(len(side[0]))
    for group in range(groups):
        ranked = np.sort(unseen[0][unseen[1] == group])
        rows = side[1] == group
        below = np.searchsorted(ranked, side[0][rows], "left") + np.searchsorted(ranked, side[0][rows], "right")
        result[rows] = below / (2 * len(ranked))
    return result


def _spread(influences: list[Floats], labels: list[Ints], groups: int) -> float:
    """Largest minus smallest area of the groups, to first order."""
    area = np.zeros(groups)
    for influence, label in zip(influences, labels, strict=True):
        area += np.bincount(label, weights=influence, minlength=groups) / np.bincount(label, minlength=groups)
    return float(np.ptp(area))
