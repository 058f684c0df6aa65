"""SSD: dampen the weights that matter more to the forget set than to all data; no training at all."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from pydantic import Field

from grmu_audit.data.source import Batch
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.base import Log, Method, MethodConfig, UnlearningData, methods
from grmu_audit.unlearning.gradients import Tensors, mean_gradient, sample_gradients, trainable


class SsdConfig(MethodConfig):
    """Selection, strength, and how importance is measured; the options of training are not used."""

    selection: float | None = Field(None, gt=0, allow_inf_nan=False)
    """a: a weight is dampened when its importance for the forget set exceeds a times that for all data; None: 0.6 n / n_f,
    since the ratio of importances cannot exceed n / n_f; ten is published for whole classes."""
    strength: float = Field(1.0, gt=0, allow_inf_nan=False)
    """lambda: the larger, the weaker the dampening."""
    exponent: float = Field(1.0, gt=0, allow_inf_nan=False)
    """Power of the ratio of importances."""
    as_published: bool = False
    """Square gradients of batch means instead of single samples', so that importance depends on the batch size; that of
    all data is measured on shuffled batches of retain and forget samples together."""


def ssd(model: Classifier, data: UnlearningData, config: SsdConfig, runtime: Runtime) -> Classifier:
    """theta_j <- theta_j min((lambda F_j / F^f_j)^p, 1) for every j with F^f_j > a F_j.

    F_j = mean over samples of (d CE / d theta_j)^2, the diagonal of the empirical Fisher matrix in eval mode: F over
    D_r and D_f together, F^f over D_f.  F^f / F is at most n / n_f, so a must lie below that.  Known to be very sensitive
    to a for requests that are no whole class.

    Args:
        model: a copy that is changed.
        data: retain and forget rows.
        config: a, lambda, exponent.
        runtime: device and seed; nothing is drawn unless REWEIGHT is on or ``as_published``.
    """
    share = len(data.forget) / (len(data.forget) + len(data.retain))
    gone = importance(model, forget_samples(data, config, runtime), runtime, config.as_published)
    if config.as_published:
        whole = importance(model, all_samples(data, config, runtime), runtime, True)
    else:
        stay = importance(model, retain_samples(data, config, runtime), runtime, False)
        whole = {name: (1.0 - share) * stay[name] + share * gone[name] for name in stay}
    selection = config.selection or 0.6 / share
    runtime.facts["selection"] = selection
    dampened = 0
    with torch.no_grad():
        for name, parameter in trainable(model).items():
            factor = dampening(whole[name], gone[name], selection, config)
            dampened += int((factor < 1).sum())
            parameter.mul_(factor)
    runtime.facts["dampened_share"] = dampened / sum(p.numel() for p in model.parameters())
    return model.eval()


def retain_samples(data: UnlearningData, config: SsdConfig, runtime: Runtime) -> Iterable[Batch]:
    """All retain samples in order; drawn by REWEIGHT where it is on."""
    if data.retain_weights is None:
        return data.source.batches(data.retain, config.batch_size)
    return data.retain_batches(config.batch_size, runtime.generator("importance", "retain"), augment=False)


def all_samples(data: UnlearningData, config: SsdConfig, runtime: Runtime) -> Iterable[Batch]:
    """Retain and forget samples shuffled into the same batches, as published; retain samples by REWEIGHT where it is on."""
    weights = data.retain_weights
    if weights is not None:
        weights = np.concatenate([weights, np.ones(len(data.forget))])
    rows = np.concatenate([data.retain, data.forget])
    return data.source.batches(rows, config.batch_size, runtime.generator("importance", "all"), weights=weights)


def forget_samples(data: UnlearningData, config: SsdConfig, runtime: Runtime) -> Iterable[Batch]:
    """All forget samples in order, shuffled ``as_published``."""
    if not config.as_published:
        return data.source.batches(data.forget, config.batch_size)
    return data.forget_batches(config.batch_size, runtime.generator("importance", "forget"), augment=False)


def importance(model: Classifier, passes: Iterable[Batch], runtime: Runtime, batch_means: bool) -> Tensors:
    """Mean squared gradient by parameter: of single samples, or of batch means.

    Args:
        model: put in eval mode.
        passes: the samples.
        runtime: counts the sample-gradients.
        batch_means: square the mean gradient of each batch instead.
    """
    total = {name: torch.zeros_like(p, dtype=torch.float32) for name, p in trainable(model).items()}
    count = 0
    if batch_means:
        for batch in passes:
            for name, gradient in mean_gradient(model, [batch], runtime).items():
                total[name] += gradient.square()
            count += 1
    else:
        for gradients in sample_gradients(model, passes, runtime):
            for name, gradient in gradients.items():
                total[name] += gradient.square().sum(0)
            count += len(next(iter(gradients.values())))
    return {name: value / max(1, count) for name, value in total.items()}


def dampening(whole: torch.Tensor, gone: torch.Tensor, selection: float, config: SsdConfig) -> torch.Tensor:
    """Factor of each weight: min((lambda F / F^f)^p, 1) where F^f > a F, else 1.

    >>> dampening(torch.tensor([1.0, 1.0]), torch.tensor([5.0, 20.0]), 10.0, SsdConfig()).tolist()
    [1.0, 0.05000000074505806]
    """
    ratio = (config.strength * whole / gone.clamp_min(torch.finfo(gone.dtype).tiny)) ** config.exponent
    return torch.where(gone > selection * whole, ratio.clamp_max(1.0), torch.ones_like(ratio))


methods.add(
    "ssd",
    Method(
        name="ssd",
        title="weights that matter more to the forget set than to all data are dampened",
        run=ssd,
        config=SsdConfig,
        exact=False,
        needs=frozenset({"retain", "forget"}),
        reference="Foster et al. 2024, Fast Machine Unlearning without Retraining (SSD)",
        cost="R + F",
        moves_statistics=frozenset(),
        seeded=False,
        search={"selection": Log(1.5, 30.0), "strength": Log(0.1, 1.0)},
        trains=False,
    ),
)
