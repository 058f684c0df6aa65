"""REMAINING_SHARE: the share of the forget set that still looks used for training, debiased by shadow models (DUCI).

A membership attack calls some samples "used" that were not, and misses some that were.  Both error rates are known in shadow
models, whose training sets are known; the share of samples called "used" in the audited model is corrected by them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from grmu_audit.errors import InputError
from grmu_audit.intervals import Ratio, Replicated
from grmu_audit.intervals.closed_forms import Floats
from grmu_audit.metrics.checked_predictions import CheckedPredictions, Ints, Mask, row_positions
from grmu_audit.metrics.membership.shadow_attacks import rmia
from grmu_audit.metrics.outcome import Basis, Outcome
from grmu_audit.records.white_box import MIN_SHADOW_MODELS, ShadowTable

NAME = "REMAINING_SHARE"
LEAST_FORGET = 20
"""Forget samples that the share rests on at least."""
_GRID = 99
_SURE = 0.05


@dataclass(frozen=True, eq=False)
class Calls:
    """What the attack calls used, in the audited model and in shadow models of known truth."""

    target: Floats
    """[f] 1 where the attack calls a forget sample of the audited model used."""
    rates: Floats
    """[models, 2] true-positive and false-positive rate of each shadow model; models 2i and 2i + 1 are complementary."""

    def share(self, person: Ints | None) -> Ratio:
        """(called - FPR) / (TPR - FPR), with Fieller's limits.

        Variances: of the mean rates, over pairs of shadow models; of the share called, by person of the forget set or between
        shadow models, whichever is larger, since the audited model is one draw of many.

        Args:
            person: [f] person of each forget sample, or None.
        """
        called, (true, false) = float(self.target.mean()), self.rates.mean(axis=0).tolist()
        pairs = self.rates.reshape(-1, 2, 2).mean(axis=1)
        spread = np.cov(np.stack([-pairs[:, 1], pairs[:, 0] - pairs[:, 1]])) / len(pairs)
        used = min(max((called - false) / (true - false), 0.0), 1.0) if true > false else 1.0
        between = self.rates.var(axis=0, ddof=1) @ np.array([used**2, (1 - used) ** 2])
        own = max(_variance_of_mean(self.target, person), float(between))
        return Ratio(
            called - false, true - false, own + float(spread[0, 0]), float(spread[1, 1]), float(spread[0, 1]), len(pairs)
        )


def _variance_of_mean(values: Floats, person: Ints | None) -> float:
    error = Replicated.of_samples(values, person).se
    return 0.0 if error is None else error**2


def measure_remaining_share(checked: CheckedPredictions, table: ShadowTable) -> Iterator[Outcome]:
    """``REMAINING_SHARE``: debiased share of the forget set that the model looks to have been trained on.

    share = (c - FPR) / (TPR - FPR), c = share of the forget set whose RMIA score (see ``shadow_attacks.rmia``) is above t; TPR
    and FPR are those of the same attack on the same samples in shadow models, each attacked with the others, and t is where
    TPR - FPR is largest (for the rates of a pair of models: in the other pairs).  1 where all look used, 0 where none does;
    sampling error may lead outside.  Fieller's interval from the forget samples (by person) and the pairs of shadow models.
    Undefined, with the reason, with fewer than four shadow models, with fewer than 20 forget samples, without validation samples
    that a shadow model has not seen, without margins, and where TPR - FPR is not surely above 0: the attack then tells nothing.

    Args:
        checked: predictions of the audited model.
        table: the pool.

    Source: Tong et al. (2025), How Much of My Dataset Did You Use? (DUCI), with the whole pool instead of one pair of models.
    """
    order = row_positions(checked.predictions.ids, table)
    forget = checked.predictions.mask("forget") & table.population[order]
    basis = Basis(int(forget.sum()), persons=checked.persons(forget))
    reason = _obstacle(checked, table, basis.n)
    if reason:
        yield Outcome.missing(NAME, reason, basis)
        return
    try:
        calls = call_used(checked, table)
    except InputError as error:
        yield Outcome.missing(NAME, str(error), basis)
        return
    share = calls.share(checked.person_of(forget))
    rates = dict(zip(("true_positive_rate", "false_positive_rate"), calls.rates.mean(axis=0).tolist(), strict=True))
    basis.details.update({"called_used": float(calls.target.mean()), **rates, "shadow_models": len(table.margin)})
    if not share.denominator > 0 or share.limits(_SURE) is None:
        why = "the attack does not surely tell used from unused forget samples in shadow models: more of them may"
        yield Outcome.missing(NAME, f"{why} (true-positive rate minus false-positive rate {share.denominator:.3f})", basis)
        return
    yield Outcome(NAME, basis, share)


def _obstacle(checked: CheckedPredictions, table: ShadowTable, forget: int) -> str:
    if len(table.margin) < MIN_SHADOW_MODELS:
        return f"{len(table.margin)} shadow models; {MIN_SHADOW_MODELS} are needed"
    if checked.margin is None:
        return "needs logits or probabilities; they are not given"
    return "" if forget >= LEAST_FORGET else f"fewer than {LEAST_FORGET} forget samples that shadow models know (n = {forget})"


def call_used(checked: CheckedPredictions, table: ShadowTable) -> Calls:
    """Scores of the audited model and of each shadow model by all other models, and what one threshold makes of them.

    Raises:
        InputError: no validation sample that a shadow model was not trained on.
    """
    order = row_positions(checked.predictions.ids, table)
    margin, member, known = table.margin[:, order], table.member[:, order], table.population[order]
    forget, unseen = checked.predictions.mask("forget") & known, checked.predictions.mask("val") & known
    models = len(margin) - len(margin) % 2
    scores = np.stack([_left_out(margin, member, unseen, k)[forget] for k in range(models)])
    truth = member[:models, forget]
    assert checked.margin is not None
    target = rmia(margin, member, checked.margin, unseen)[forget] > best_threshold(scores, truth)
    rates = [_rates(scores, truth, k) for k in range(models)]
    return Calls(target.astype(np.float64), np.array(rates))


def _left_out(margin: Floats, member: Mask, unseen: Mask, k: int) -> Floats:
    """[n] scores of one shadow model, attacked with the others; samples z are those that it has not seen."""
    rest = np.arange(len(margin)) != k
    return rmia(margin[rest], member[rest], margin[k], unseen & ~member[k])


def _rates(scores: Floats, truth: Mask, k: int) -> tuple[float, float]:
    """True-positive and false-positive rate of one model, at the threshold of the other pairs."""
    others = np.arange(len(scores)) // 2 != k // 2
    called = scores[k] > best_threshold(scores[others], truth[others])
    return tuple(float(called[rows].mean()) if rows.any() else 0.0 for rows in (truth[k], ~truth[k]))  # type: ignore[return-value]


def best_threshold(scores: Floats, truth: Mask) -> float:
    """The score where true-positive rate minus false-positive rate is largest; the lowest of several.

    >>> best_threshold(np.array([[0.1, 0.2, 0.8, 0.9]]), np.array([[False, False, True, True]])) < 0.8
    True
    """
    grid = np.unique(np.quantile(scores, np.linspace(0, 1, _GRID + 2)[:-1]))
    beaten = [np.searchsorted(np.sort(scores[rows]), grid, side="right") / max(int(rows.sum()), 1) for rows in (truth, ~truth)]
    return float(grid[int(np.argmax(beaten[1] - beaten[0]))])
