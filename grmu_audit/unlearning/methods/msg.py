"""MSG: reinitialise the convolution weights with the smallest gradients, then fine-tune mostly those."""

from __future__ import annotations

from dataclasses import replace

import torch
from pydantic import Field
from torch import nn

from grmu_audit.data.batches import Batch
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.loop import run_epochs
from grmu_audit.training.plan import Hooks, Phase
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.blocks.gradients import Tensors, mean_gradient
from grmu_audit.unlearning.blocks.passes import cross_entropy_loss, retain_pass
from grmu_audit.unlearning.data import UnlearningData
from grmu_audit.unlearning.method import Method, MethodConfig, register


class MsgConfig(MethodConfig):
    """What is reinitialised, and the fine-tuning after it."""

    epochs: int = Field(10, ge=1, le=100_000)
    """Passes over the retain set; five are published for far larger data."""
    share: float = Field(0.3, gt=0, le=1)
    """Share of each convolution's weights that is reinitialised."""
    slow: float = Field(0.1, ge=0, le=1)
    """Factor on the gradients of the convolution weights that were not reinitialised."""


def msg(model: Classifier, data: UnlearningData, config: MsgConfig, runtime: Runtime) -> Classifier:
    """Masked small gradients.

    s = sum of grad CE over |D_f| random retain samples - sum over D_f, at the trained weights in eval mode.  In each
    convolution the share of weights with the smallest |s| is reinitialised (Kaiming normal, fan-out); then CE on D_r,
    where the other convolution weights get their gradient times ``slow``.  All other layers train freely; a network without
    2-D convolutions that may move is fine-tuned, which is said.
    """
    fresh = reinitialise_weights(
        model, gradient_difference(model, data, config, runtime), config.share, runtime.generator("redraw")
    )
    if not fresh:
        runtime.observer.note(
            "msg: there is no 2-D convolution to reinitialise, so this is fine-tuning on the retain set, as by method ft"
        )
    loss = cross_entropy_loss(model)
    parameters = dict(model.named_parameters())

    def slow_down(batch: Batch) -> None:
        """Scale the gradients of convolution weights that were not reinitialised."""
        for name, drawn in fresh.items():
            gradient = parameters[name].grad
            if gradient is not None:
                gradient.mul_(torch.where(drawn, 1.0, config.slow))

    def plan(epoch: int) -> list[Phase]:
        """One retain pass."""
        phase = retain_pass(data, config, runtime, epoch, loss)
        return [replace(phase, before_step=slow_down)]

    return run_epochs(model, plan, config, runtime, Hooks(validate=data.validator(runtime)))


def gradient_difference(model: Classifier, data: UnlearningData, config: MsgConfig, runtime: Runtime) -> Tensors:
    """Mean gradient over as many retain samples as there are to forget, minus that over D_f; the order of |s| is the sum's."""
    order = torch.randperm(len(data.retain), generator=runtime.generator("signal"))
    if data.retain_weights is not None:
        weights = torch.from_numpy(data.retain_weights)
        order = torch.multinomial(weights, len(weights), replacement=False, generator=runtime.generator("signal"))
    chosen = data.retain[order[: len(data.forget)].numpy()]
    retain = mean_gradient(model, data.source.batches(chosen, config.batch_size), runtime)
    forget = mean_gradient(model, data.source.batches(data.forget, config.batch_size), runtime)
    return {name: retain[name] - forget[name] for name in retain}


def reinitialise_weights(model: nn.Module, values: Tensors, share: float, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Reinitialise, in place, the weights of smallest |value| in each convolution; returns which ones, as masks.

    Args:
        model: its convolutions whose weights have a value.
        values: by parameter name.
        share: of each convolution's weights, rounded.
        generator: on the CPU.
    """
    masks = {}
    for path, module in model.named_modules():
        name = f"{path}.weight"
        if not isinstance(module, nn.Conv2d) or name not in values:
            continue
        flat = values[name].abs().flatten()
        chosen = torch.zeros_like(flat, dtype=torch.bool)
        chosen[torch.sort(flat, stable=True).indices[: round(share * len(flat))]] = True
        masks[name] = chosen.view_as(module.weight)
        drawn = torch.empty(module.weight.shape)
        nn.init.kaiming_normal_(drawn, mode="fan_out", nonlinearity="relu", generator=generator)
        with torch.no_grad():
            module.weight.copy_(torch.where(masks[name], drawn.to(module.weight.device), module.weight))
    return masks


register(
    Method(
        name="msg",
        title="convolution weights with small gradients are reinitialised, then fine-tuning on the retain set",
        run=msg,
        config=MsgConfig,
        needs=frozenset({"retain", "forget"}),
        reference="NeurIPS 2023 unlearning challenge, 2nd place; Cadet et al. 2024, Deep Unlearn (arXiv 2410.01276)",
        cost="2 F + E R",
    )
)
