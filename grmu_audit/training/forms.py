"""Forms of a network for forward passes without gradients: plain, batch normalisation folded into convolutions, compiled."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sysconfig
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.fx.proxy import TraceError

from grmu_audit.models.classifier import Classifier, count_forward
from grmu_audit.models.normalisation import normalises_by_batch
from grmu_audit.training.runtime import Inference

Forward = Callable[[torch.Tensor], torch.Tensor]
"""[b, ...] inputs on the device -> float32 outputs."""
NOT_TRACEABLE = (RuntimeError, TypeError, ValueError, AttributeError, KeyError, NotImplementedError, AssertionError, TraceError)
"""What a network's code raises where it meets a stand-in for a tensor."""


def forward_of(model: Classifier, inference: Inference, device: torch.device, *, features: bool = False) -> Forward:
    """How the logits (or features) of inputs are computed in a form; the head is always computed in float32.

    In fp32 and plain form these are the bits of ``model(inputs)``.  A form that this network has not (nothing to fold, or it
    cannot be traced) is plain.

    Args:
        model: in eval mode on the device; later changes of its weights are not seen by the other forms.
        inference: precision and form.
        device: where the inputs are.
        features: penultimate features instead of logits.
    """
    body = body_in_form(model, inference)
    low = inference.precision == "bf16"

    def forward(pixels: torch.Tensor) -> torch.Tensor:
        """One batch."""
        if body is None:
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=low):
                found = model.features(pixels)
        else:
            normalised = (pixels - model.mean) / model.std if model.spec.mean else pixels
            count_forward(pixels)
            found = body(normalised.to(torch.bfloat16) if low else normalised)
            for hook in model.body._forward_hooks.values():  # hooks that count the passes of the body count these too
                hook(model.body, (pixels,), found)
        found = found.float()
        return found if features else model.head(found)

    return forward


def body_in_form(model: Classifier, inference: Inference) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """The body of a network in a form of its own, weights copied; None for the plain form."""
    if inference.form == "plain" or not normalises_by_batch(model):
        return None
    body = folded(model.body)
    if body is None:
        return None
    if inference.precision == "bf16":
        body = body.to(torch.bfloat16)
    return compiled(body) if inference.form == "compiled" else body


def folded(body: nn.Module) -> nn.Module | None:
    """A copy without batch normalisation where that follows a convolution; None where the network cannot be traced.

    conv'(x) = g / sqrt(v + eps) (conv(x) - m) + b for the running mean m and variance v: the same function up to rounding.
    """
    from torch.fx.experimental.optimization import fuse

    from grmu_audit.models.torchvision_models import plain_shortcuts

    copy = deepcopy(body).eval()
    plain_shortcuts(copy)
    try:
        copy = fuse(copy, inplace=True)
    except NOT_TRACEABLE:
        return None
    for parameter in copy.parameters():
        parameter.requires_grad_(False)
    return copy.to(memory_format=torch.channels_last)


def compiler_is_there() -> bool:
    """Whether this machine can compile for its CPU: a C++ compiler and Python's headers."""
    names = [os.environ.get("CXX", ""), "g++", "clang++"]
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    there = importlib.util.find_spec("torch._inductor") is not None
    return there and any(name and shutil.which(name) for name in names) and headers.is_file()


def compiled(body: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """The body compiled with its weights as constants, for batches of the shape that it sees first; others stay as they are.

    A batch for which compiling fails is passed through the body itself, and so are all later ones.
    """
    import torch._inductor.config as settings

    torch._dynamo.reset()  # another network's code would count against the limit of recompilations
    code: Any = torch.compile(body, dynamic=False)
    shape: list[torch.Size] = []

    def forward(pixels: torch.Tensor) -> torch.Tensor:
        """One batch, filled up to the compiled shape where it is smaller."""
        nonlocal code
        if code is None:
            return body(pixels)  # type: ignore[no-any-return]
        if not shape:
            shape.append(pixels.shape)
        count, whole = len(pixels), shape[0][0]
        if count > whole or pixels.shape[1:] != shape[0][1:]:
            return body(pixels)  # type: ignore[no-any-return]
        filled = torch.cat([pixels, pixels[:1].expand(whole - count, *pixels.shape[1:])]) if count < whole else pixels
        try:
            with settings.patch(freezing=True):
                return code(filled.contiguous(memory_format=torch.channels_last))[:count]  # type: ignore[no-any-return]
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, OSError, ImportError):  # a compiler that is missing or fails is no reason to fail
            code = None
            return body(pixels)  # type: ignore[no-any-return]

    return forward
