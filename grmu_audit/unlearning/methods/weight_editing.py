"""Influence unlearning: one Newton-like step with the inverse empirical Fisher matrix, by the Woodbury identity."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from pydantic import Field

from grmu_audit.data.batches import Batch
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.blocks.gradients import Tensors, mean_gradient, sample_gradients, trainable
from grmu_audit.unlearning.data import UnlearningData
from grmu_audit.unlearning.method import LogRange, Method, MethodConfig, register

PUBLISHED_N = 1000.0
"""Constant of the authors' recursion."""


class InfluenceConfig(MethodConfig):
    """Length and damping of the step; the options of training are not used."""

    step: float = Field(1.0, gt=0, allow_inf_nan=False)
    """alpha: factor of the step."""
    damping: float = Field(1.0, gt=0, allow_inf_nan=False)
    """lambda: added to the diagonal of the Fisher matrix."""
    samples: int = Field(128, ge=1, le=1000)
    """m: retain samples that the Fisher matrix is computed from; memory is m times the parameters."""
    as_published: bool = False
    """The authors' recursion over the samples, which is not the inverse that it is named after."""


def influence(model: Classifier, data: UnlearningData, config: InfluenceConfig, runtime: Runtime) -> Classifier:
    """Theta <- theta_0 + alpha (lambda I + G G^T / m)^-1 v, v = g_f - g_r.

    g_f = (1/n) sum over D_f of grad CE, g_r = (n_f / (n n_r)) sum over D_r of grad CE, n = n_f + n_r, all in eval mode;
    the columns of G are the gradients of m retain samples.

    Args:
        model: a copy that is changed.
        data: retain and forget rows.
        config: alpha, lambda, m.
        runtime: device and seed, which selects the m samples (by REWEIGHT where it is on).
    """
    shapes = trainable(model)
    v = flat(difference(model, data, config, runtime))
    columns = torch.cat([flat_each(part) for part in sampled_gradients(model, data, config, runtime)])
    x = published(columns, v) if config.as_published else woodbury(columns.T, v, config.damping)
    offset = 0
    with torch.no_grad():
        for parameter in shapes.values():
            part = x[offset : offset + parameter.numel()]
            parameter.add_(config.step * part.view_as(parameter))
            offset += parameter.numel()
    runtime.notes["step_norm"] = float(config.step * x.norm())
    return model.eval()


def difference(model: Classifier, data: UnlearningData, config: InfluenceConfig, runtime: Runtime) -> Tensors:
    """V = g_f - g_r = (n_f / n) (mean gradient over D_f - mean gradient over D_r)."""
    forget = mean_gradient(model, data.forget_batches(config.batch_size, runtime.generator("v forget"), augment=False), runtime)
    retain = mean_gradient(model, data.retain_batches(config.batch_size, runtime.generator("v retain"), augment=False), runtime)
    share = len(data.forget) / (len(data.forget) + len(data.retain))
    return {name: share * (forget[name] - retain[name]) for name in forget}


def sampled_gradients(model: Classifier, data: UnlearningData, config: InfluenceConfig, runtime: Runtime) -> Iterator[Tensors]:
    """Gradients of the first m samples of a shuffled retain pass."""
    left = config.samples
    for batch in data.retain_batches(config.batch_size, runtime.generator("fisher samples"), augment=False):
        for part in sample_gradients(model, [batch], runtime):
            taken = {name: value[:left] for name, value in part.items()}
            left -= len(next(iter(taken.values())))
            yield taken
            if left <= 0:
                return


def flat(tensors: Tensors) -> torch.Tensor:
    """[P] all entries in a row."""
    return torch.cat([value.flatten() for value in tensors.values()])


def flat_each(tensors: Tensors) -> torch.Tensor:
    """[b, P] all entries of each sample in a row."""
    return torch.cat([value.reshape(len(value), -1) for value in tensors.values()], 1)


def woodbury(G: torch.Tensor, v: torch.Tensor, damping: float) -> torch.Tensor:
    """(lambda I + G G^T / m)^-1 v = (1 / lambda) (v - G (lambda m I + G^T G)^-1 G^T v).

    Args:
        G: [P, m] one gradient a column.
        v: [P].
        damping: lambda, above 0.

    Returns:
        [P]; only an [m, m] system is solved, in double precision.

    >>> [round(float(x), 4) for x in woodbury(torch.tensor([[2.0], [0.0]]), torch.tensor([1.0, 1.0]), 1.0)]
    [0.2, 1.0]
    """
    m = G.shape[1]
    gram = (G.T @ G).double() + damping * m * torch.eye(m, dtype=torch.float64, device=G.device)
    inner = torch.linalg.solve(gram, (G.T @ v).double()).to(G.dtype)
    x: torch.Tensor = (v - G @ inner) / damping
    return x


def published(rows: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """The authors' recursion: k <- k - (k.g_i / (N + o.g_i)) o, o <- o - (o.g_i / (N + o.g_i)) o, from k = v, o = g_1.

    ``o`` only ever follows the first gradient, so this is no inverse; with N = 1000 it hardly differs from v.

    Args:
        rows: [m, P] gradients, in order.
        v: [P].
    """
    k, o = v.clone(), rows[0].clone()
    for gradient in rows[1:]:
        scale = PUBLISHED_N + o @ gradient
        k = k - (k @ gradient) / scale * o
        o = o - (o @ gradient) / scale * o
    return k


register(
    Method(
        name="influence",
        title="one step with the inverse empirical Fisher matrix",
        run=influence,
        config=InfluenceConfig,
        needs=frozenset({"retain", "forget"}),
        reference="Koh and Liang 2017; Izzo et al. 2021; Woodbury identity in place of the published recursion",
        cost="R + F + m",
        moves_statistics=frozenset(),
        search={"step": LogRange(0.1, 10.0), "damping": LogRange(0.1, 10.0)},
        trains=False,
    )
)


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
        runtime: device and seed; nothing is sampled unless REWEIGHT is on or ``as_published``.
    """
    share = len(data.forget) / (len(data.forget) + len(data.retain))
    forget = importance(model, forget_samples(data, config, runtime), runtime, config.as_published)
    if config.as_published:
        whole = importance(model, all_samples(data, config, runtime), runtime, True)
    else:
        retain = importance(model, retain_samples(data, config, runtime), runtime, False)
        whole = {name: (1.0 - share) * retain[name] + share * forget[name] for name in retain}
    selection = config.selection or 0.6 / share
    runtime.notes["selection"] = selection
    dampened = 0
    with torch.no_grad():
        for name, parameter in trainable(model).items():
            factor = dampening(whole[name], forget[name], selection, config)
            dampened += int((factor < 1).sum())
            parameter.mul_(factor)
    runtime.notes["dampened_share"] = dampened / sum(p.numel() for p in model.parameters())
    return model.eval()


def retain_samples(data: UnlearningData, config: SsdConfig, runtime: Runtime) -> Iterable[Batch]:
    """All retain samples in order; sampled by REWEIGHT where it is on."""
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


def dampening(whole: torch.Tensor, forget: torch.Tensor, selection: float, config: SsdConfig) -> torch.Tensor:
    """Factor of each weight: min((lambda F / F^f)^p, 1) where F^f > a F, else 1.

    >>> dampening(torch.tensor([1.0, 1.0]), torch.tensor([5.0, 20.0]), 10.0, SsdConfig()).tolist()
    [1.0, 0.05000000074505806]
    """
    ratio = (config.strength * whole / forget.clamp_min(torch.finfo(forget.dtype).tiny)) ** config.exponent
    return torch.where(forget > selection * whole, ratio.clamp_max(1.0), torch.ones_like(ratio))


register(
    Method(
        name="ssd",
        title="weights that matter more to the forget set than to all data are dampened",
        run=ssd,
        config=SsdConfig,
        needs=frozenset({"retain", "forget"}),
        reference="Foster et al. 2024, Fast Machine Unlearning without Retraining (SSD)",
        cost="R + F",
        moves_statistics=frozenset(),
        seeded=False,
        search={"selection": LogRange(1.5, 30.0), "strength": LogRange(0.1, 1.0)},
        trains=False,
    )
)
