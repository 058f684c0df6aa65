"""Certified removal: one Newton step on a strongly convex loss, with a bound on what it leaves and a budget for it.

Source: Guo et al. 2020 (arXiv 1911.03030), algorithm 2; with a fairness term in the loss: Oesterling et al. 2023
(arXiv 2307.14754).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field

from grmu_audit.errors import InputError
from grmu_audit.models.classifier import Classifier
from grmu_audit.models.guaranteed import LinearBody
from grmu_audit.training.guaranteed.convex import (
    ConvexLoss,
    convex_loss,
    newton_step,
    perturbation,
    require_linear,
    weights_of,
    write_weights,
)
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.data import UnlearningData
from grmu_audit.unlearning.guaranteed.shards import newly_forgotten
from grmu_audit.unlearning.layers import ALL
from grmu_audit.unlearning.method import Method, MethodConfig, register

_SLACK = 1e-6
NOT_CHECKED = (
    "the inputs of the head were not learned from the removed rows",
    "who asked for a removal had not seen the published weights (requests do not depend on them)",
    "the operator's key, from which the random term follows, is secret",
)
"""Assumptions of the guarantee that nothing here can check."""


class CertifiedConfig(MethodConfig):
    """The budget of the whole lineage since its last training."""

    epsilon: float = Field(1.0, gt=0, allow_inf_nan=False)
    """Largest epsilon that all removals since the last training may add up to."""
    delta: float = Field(1e-4, gt=0, lt=1, allow_inf_nan=False)
    """Probability with which the bound by epsilon may fail."""
    start_seed: int | None = Field(None, ge=0)
    """Seed of the training that the model comes from, which its random term follows from; None: the run's own seed."""


@dataclass(frozen=True)
class Spent:
    """What a bound on the gradient norm means for the guarantee."""

    bound: float
    """Bound on |gradient of the loss on the retain set at the stored weights|."""
    noise: float
    """Standard deviation of the random term."""
    delta: float
    """Probability with which the bound by epsilon may fail."""

    @property
    def epsilon(self) -> float:
        """Sqrt(2 ln(1.5 / delta)) bound / noise (theorem 3 of the source); infinite without noise.

        >>> round(Spent(0.1, 1.0, 1e-4).epsilon, 4)
        0.4385
        """
        return math.sqrt(2 * math.log(1.5 / self.delta)) * self.bound / self.noise if self.noise else math.inf


def remove(model: Classifier, data: UnlearningData, config: CertifiedConfig, runtime: Runtime) -> Classifier:
    """One Newton step that takes the newly forgotten rows out: W <- W + H^-1 (grad L(W; before) - grad L(W; after)).

    H is the Hessian of the loss on the retain set.  The gradient that is left is bounded by the one before, plus what Taylor's
    theorem leaves of the step, plus the rounding of the stored weights; the bounds of all removals since the last training add
    up.

    Raises:
        InputError: an assumption does not hold (another network, no noise, weights that are not near the minimum of this loss,
            REWEIGHT, frozen layers), or the budget does not allow the removal.
    """
    body = _require_assumptions(model, data, config)
    new = newly_forgotten(data)
    before = convex_loss(model, data.source, np.concatenate([data.retain, new]))
    after = convex_loss(model, data.source, data.retain)
    w, stored_bound = weights_of(model), float(body.residual)
    seed = runtime.seed if config.start_seed is None else config.start_seed
    noise = perturbation(model, seed, runtime.secret)
    measured = float((before.gradient(w) + noise).norm())
    _require_near_minimum(measured, stored_bound)
    step = newton_step(after, w, before.gradient(w) - after.gradient(w))
    stored = write_weights(model, w + step)
    bound = stored_bound + after.remainder(stored - w) + _left_by_rounding(after, w, stored - w - step)
    spent = Spent(bound, body.options.noise, config.delta)
    left = float((after.gradient(stored) + noise).norm())
    _require_budget(spent, left, config.epsilon)
    body.residual.fill_(bound)
    runtime.sample_gradients += len(before.y) + len(after.y)
    runtime.notes["certified"] = {
        "guarantee": "certified",
        "epsilon": spent.epsilon,
        "epsilon_allowed": config.epsilon,
        "delta": config.delta,
        "gradient_norm_bound": bound,
        "gradient_norm": left,
        "gradient_norm_bound_before": stored_bound,
        "noise": body.options.noise,
        "l2": body.options.l2,
        "fairness": body.options.fairness,
        "longest_row": float(after.x.norm(dim=1).max()),
        "not_checked": list(NOT_CHECKED),
    }
    return model.eval()


def _require_assumptions(model: Classifier, data: UnlearningData, config: CertifiedConfig) -> LinearBody:
    body = require_linear(model)
    if config.layers != ALL:
        raise InputError("certified: the bound is on the gradient of all weights, so layers must be 'all'")
    if data.retain_weights is not None:
        raise InputError("certified: the loss counts every row once, so that REWEIGHT cannot act: use --no-reweight")
    if not body.options.noise > 0:
        raise InputError(
            "certified: this model was trained without a random term (noise is 0), so that nothing hides what a removal leaves:"
            " pretrain with --architecture-option noise=5"
        )
    return body


def _require_near_minimum(measured: float, bound: float) -> None:
    """Return when the weights are as near to the minimum as their record says.

    Raises:
        InputError: no bound goes with them, or the gradient is larger.
    """
    if bound < 0:
        raise InputError(
            "certified: no bound on the loss gradient goes with these weights: they were not trained here as a linear model"
            " (pretrain --architecture linear)"
        )
    if not measured <= bound * (1 + _SLACK) + _SLACK:
        raise InputError(
            f"certified: the loss gradient at these weights has the norm {measured:.3g}, above the {bound:.3g} that goes with"
            " them: another method, seed, key or dataset made them; retrain, or start from a version that was trained or"
            " removed from by this method"
        )


def _left_by_rounding(loss: ConvexLoss, w: torch.Tensor, rounding: torch.Tensor) -> float:
    """|H rounding|: what the precision of the stored weights adds to the gradient."""
    return float((loss.hessian(w) @ rounding.reshape(-1)).norm())


def _require_budget(spent: Spent, left: float, allowed: float) -> None:
    """Return when the removal is within the budget and the bound holds where it can be measured.

    Raises:
        InputError: the budget is spent, or the bound does not hold, which shows a defect.
    """
    if not left <= spent.bound * (1 + _SLACK) + _SLACK:
        raise InputError(f"certified: the gradient norm {left:.3g} is above its bound {spent.bound:.3g}; nothing was registered")
    if not spent.epsilon <= allowed:
        raise InputError(
            f"certified: with this removal all since the last training come to epsilon {spent.epsilon:.3g}, and {allowed:g} is"
            " allowed: retrain with another --seed, which starts the budget anew, or pretrain with more noise or l2"
        )


register(
    Method(
        name="certified",
        title="one Newton step on a convex loss with noise: a certified removal from a linear model",
        run=remove,
        config=CertifiedConfig,
        certified=True,
        needs=frozenset({"retain", "forget"}),
        reference="Guo et al. 2020 (arXiv 1911.03030); with fairness: Oesterling et al. 2023 (arXiv 2307.14754)",
        cost="2 R + F",
        trains=False,
        seeded=False,
        requires="linear",
    )
)
