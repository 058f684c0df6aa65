"""Influence unlearning: one Newton-like step with the inverse empirical Fisher matrix, by the Woodbury identity."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import Field

from grmu_audit.models.classifier import Classifier
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.base import Log, Method, MethodConfig, UnlearningData, methods
from grmu_audit.unlearning.gradients import Tensors, mean_gradient, sample_gradients, trainable

PUBLISHED_N = 1000.0
"""Constant of the authors' recursion."""


class InfluenceConfig(MethodConfig):
    """Length and damping of the step; the options of training are not used."""

    step: float = Field(1.0, gt=0, allow_inf_nan=False)
    """alpha: factor of the step."""
    damping: float = Field(1.0, gt=0, allow_inf_nan=False)
    """lambda: added to the diagonal of the Fisher matrix."""
    samples: int = Field(128, ge=1, le=1000)
    """m: retain samples that the Fisher matrix is made of; memory is m times the parameters."""
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
        runtime: device and seed, which draws the m samples (by REWEIGHT where it is on).
    """
    shapes = trainable(model)
    v = flat(difference(model, data, config, runtime))
    columns = torch.cat([flat_each(part) for part in drawn(model, data, config, runtime)])
    x = published(columns, v) if config.as_published else woodbury(columns.T, v, config.damping)
    offset = 0
    with torch.no_grad():
        for parameter in shapes.values():
            part = x[offset : offset + parameter.numel()]
            parameter.add_(config.step * part.view_as(parameter))
            offset += parameter.numel()
    runtime.facts["step_norm"] = float(config.step * x.norm())
    return model.eval()


def difference(model: Classifier, data: UnlearningData, config: InfluenceConfig, runtime: Runtime) -> Tensors:
    """V = g_f - g_r = (n_f / n) (mean gradient over D_f - mean gradient over D_r)."""
    forget = mean_gradient(model, data.forget_batches(config.batch_size, runtime.generator("v forget"), augment=False), runtime)
    retain = mean_gradient(model, data.retain_batches(config.batch_size, runtime.generator("v retain"), augment=False), runtime)
    share = len(data.forget) / (len(data.forget) + len(data.retain))
    return {name: share * (forget[name] - retain[name]) for name in forget}


def drawn(model: Classifier, data: UnlearningData, config: InfluenceConfig, runtime: Runtime) -> Iterator[Tensors]:
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


methods.add(
    "influence",
    Method(
        name="influence",
        title="one step with the inverse empirical Fisher matrix",
        run=influence,
        config=InfluenceConfig,
        exact=False,
        needs=frozenset({"retain", "forget"}),
        reference="Koh and Liang 2017; Izzo et al. 2021; Woodbury identity in place of the published recursion",
        cost="R + F + m",
        moves_statistics=frozenset(),
        search={"step": Log(0.1, 10.0), "damping": Log(0.1, 10.0)},
        trains=False,
    ),
)
