"""Gradients of the cross-entropy over whole sets: their mean, single samples, squares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from grmu_audit.data.batches import Batch
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.runtime import Runtime

Tensors = dict[str, torch.Tensor]


def mean_gradient(model: Classifier, batches: Iterable[Batch], runtime: Runtime) -> Tensors:
    """Gradient of the mean cross-entropy over all samples of the batches, in eval mode.

    (1/n) sum_i grad CE(f(x_i), y_i): every sample counts the same, whatever the batch size.

    Args:
        model: put in eval mode; its weights do not move.
        batches: the samples.
        runtime: precision; counts the sample-gradients.

    Returns:
        Float32 tensors by parameter name; zeros for a parameter that the network does not use.
    """
    parameters = trainable(model.eval())
    total = {name: torch.zeros_like(p, dtype=torch.float32) for name, p in parameters.items()}
    count = 0
    for batch in batches:
        with runtime.autocast():
            loss = functional.cross_entropy(model(batch.pixels).float(), batch.target, reduction="sum")
        found = torch.autograd.grad(loss, list(parameters.values()), materialize_grads=True)
        for name, gradient in zip(parameters, found, strict=True):
            total[name] += gradient
        count += len(batch.rows)
    runtime.sample_gradients += count
    return {name: value / max(1, count) for name, value in total.items()}


def sample_gradients(model: Classifier, batches: Iterable[Batch], runtime: Runtime, *, chunk: int = 32) -> Iterator[Tensors]:
    """Gradients of single samples' cross-entropy in eval mode, in chunks.

    Args:
        model: put in eval mode; its weights do not move.
        batches: the samples, in order.
        runtime: counts the sample-gradients.
        chunk: samples per yield at most; memory is chunk x parameters.

    Yields:
        [b, ...] tensors by parameter name, float32.
    """
    parameters = {name: p.detach() for name, p in trainable(model.eval()).items()}

    def loss(weights: Mapping[str, torch.Tensor], pixels: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of one sample."""
        logits = torch.func.functional_call(model, dict(weights), (pixels[None],))
        return functional.cross_entropy(logits, target[None])

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))
    for batch in batches:
        for start in range(0, len(batch.rows), chunk):
            part = slice(start, start + chunk)
            runtime.sample_gradients += len(batch.rows[part])
            with sdpa_kernel(SDPBackend.MATH):  # the one kernel of attention that takes single-sample gradients as a batch
                found = each(parameters, batch.pixels[part], batch.target[part])
            yield found


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters that take gradients, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}
