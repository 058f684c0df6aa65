"""torchvision's classifiers, with the data's input size, an optional stem for small images, and safe shortcuts."""

from __future__ import annotations

import functools
import os
import re
import urllib.request
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from grmu_audit.errors import EnvironmentFailure, InputError, IntegrityError
from grmu_audit.models.architecture import Options, image_shape, options_of
from grmu_audit.models.classifier import CONTAINERS, ModelSpec, detach_head
from grmu_audit.utils import sha256_file


class TorchvisionOptions(Options):
    """Options of torchvision's classifiers."""

    stem: Literal["imagenet", "cifar"] = "imagenet"
    """``cifar``: a 3x3 convolution without stride and no pooling, for small images; ResNets only."""


@functools.cache
def torchvision_names() -> tuple[str, ...]:
    """Names of torchvision's image classifiers, sorted."""
    from torchvision import models

    return tuple(models.list_models(module=models))


def torchvision_body(name: str, spec: ModelSpec) -> tuple[nn.Module, int]:
    """A torchvision classifier without its last layer, and the width of its features.

    Raises:
        InputError: the inputs do not fit the network, or an option does not.
    """
    channels, height, width = image_shape(spec)
    options = options_of(TorchvisionOptions, spec)
    try:
        network = _network(name, _arguments(name, height, width))
    except (ValueError, AssertionError, RuntimeError) as error:
        raise InputError(f"{name} cannot be built for inputs of {channels} x {height} x {width}: {error}") from None
    if options.stem == "cifar":
        _small_stem(network, name)
    if channels != 3:
        _first_channels(network, channels)
    safe_shortcuts(network)
    body, features = detach_head(network, name)
    setattr(body, CONTAINERS, ("encoder",) if name.startswith("vit_") else ())
    return body, features


def _network(name: str, arguments: dict[str, Any]) -> nn.Module:
    from torchvision import models

    try:
        network: nn.Module = models.get_model(name, weights=None, **arguments)
    except NotImplementedError:  # on the device meta: RegNets compute their widths with tensors and read them
        with _WidthsOnCpu():
            network = models.get_model(name, weights=None, **arguments)
    return network


class _WidthsOnCpu(TorchFunctionMode):
    """Tensors that are computed with are on the CPU; parameters stay on the device meta, and take no memory."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.arange, torch.tensor):
            kwargs.setdefault("device", "cpu")
        return func(*args, **kwargs)


def _arguments(name: str, height: int, width: int) -> dict[str, Any]:
    """Arguments of the constructor that depend on the input; auxiliary outputs are left out."""
    if name.startswith("vit_"):
        if height != width:
            raise InputError(f"{name} needs square images, these are {height} x {width}")
        return {"image_size": height}
    if name.startswith("maxvit"):
        return {"input_size": (height, width)}
    if name in {"googlenet", "inception_v3"}:
        return {"aux_logits": False, "init_weights": True}
    return {}


def _small_stem(network: nn.Module, name: str) -> None:
    from torchvision.models import ResNet

    if not isinstance(network, ResNet):
        raise InputError(f"stem=cifar is for ResNets, not for {name}: leave the option out")
    stem = nn.Conv2d(3, network.conv1.out_channels, 3, 1, 1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    network.conv1, network.maxpool = stem, nn.Identity()


def _first_channels(network: nn.Module, channels: int) -> None:
    """Give the first convolution another number of input channels, freshly initialised."""
    path, first = next((path, m) for path, m in network.named_modules() if isinstance(m, nn.Conv2d))
    bias = first.bias is not None
    made = nn.Conv2d(channels, first.out_channels, first.kernel_size, first.stride, first.padding, bias=bias)  # type: ignore[arg-type]
    _replace(network, path, made)


class SlicedConv2d(nn.Conv2d):
    """A 1x1 convolution with a stride that drops pixels first and convolves then: the same numbers.

    The backward pass of oneDNN's strided 1x1 convolution corrupts memory on some CPUs for few channels and an odd batch
    (torch 2.15); where it does so is not known exactly, so that no network runs it on a CPU.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002  (the name of the base class)
        """[b, inputs, h, w] -> [b, outputs, ceil(h / stride), ceil(w / stride)]."""
        if input.device.type != "cpu":
            return super().forward(input)
        rows, columns = self.stride
        return nn.functional.conv2d(input[:, :, ::rows, ::columns], self.weight, self.bias)


def safe_shortcuts(network: nn.Module) -> None:
    """Replace every plain strided 1x1 convolution, in place, by a ``SlicedConv2d`` with the same parameters."""
    for path, module in list(network.named_modules()):
        if type(module) is nn.Conv2d and _strided_point(module):
            stride: tuple[int, int] = module.stride  # type: ignore[assignment]
            sliced = SlicedConv2d(module.in_channels, module.out_channels, 1, stride, bias=module.bias is not None)
            sliced.weight, sliced.bias = module.weight, module.bias
            _replace(network, path, sliced)


def plain_shortcuts(network: nn.Module) -> None:
    """The opposite of ``safe_shortcuts``, for networks that are never trained: forward passes are safe."""
    for path, module in list(network.named_modules()):
        if isinstance(module, SlicedConv2d):
            stride: tuple[int, int] = module.stride  # type: ignore[assignment]
            plain = nn.Conv2d(module.in_channels, module.out_channels, 1, stride, bias=module.bias is not None)
            plain.weight, plain.bias = module.weight, module.bias
            _replace(network, path, plain.train(module.training))


def _strided_point(layer: nn.Conv2d) -> bool:
    """Whether it is an undivided 1x1 convolution with a stride."""
    plain = layer.kernel_size == (1, 1) and layer.groups == 1 and layer.padding in ((0, 0), "valid")
    return plain and max(layer.stride) > 1


def _replace(network: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, leaf = path.rpartition(".")
    setattr(network.get_submodule(parent), leaf, module)


IMAGENET = "imagenet"
"""The first set of weights that torchvision published for an architecture."""
TIMEOUT = 20.0
"""Seconds without an answer before a download is given up."""


def pretrained_file(architecture: str, name: str = IMAGENET) -> Path:
    """The local file of torchvision's weights for an architecture, downloaded if it is not there yet.

    Args:
        architecture: one of torchvision's.
        name: ``imagenet``, or a name of torchvision's such as ``IMAGENET1K_V2``.

    Raises:
        InputError: torchvision has no such weights.
        EnvironmentFailure: the file is neither here nor can it be downloaded; the message names it.
        IntegrityError: it is not the published one.
    """
    return fetch(weights_url(architecture, name), Path(torch.hub.get_dir()) / "checkpoints")


def weights_url(architecture: str, name: str = IMAGENET) -> str:
    """Where torchvision publishes the weights.

    Raises:
        InputError: it has none of that name.
    """
    if architecture not in torchvision_names():
        raise InputError(f"--pretrained {name}: only torchvision's architectures have published weights, not {architecture}")
    from torchvision import models

    known = list(models.get_model_weights(architecture))
    found = known[0] if name == IMAGENET else next((one for one in known if one.name == name), None)
    if found is None:
        raise InputError(f"--pretrained {name}: {architecture} has {', '.join(one.name for one in known)}; or say {IMAGENET}")
    return str(found.url)


def fetch(url: str, folder: Path) -> Path:
    """The file of a URL whose name ends in the first digits of its SHA-256, from the folder or downloaded into it.

    Raises:
        EnvironmentFailure: it cannot be downloaded; the message names the file that is wanted.
        IntegrityError: the digest is another.
    """
    path = folder / url.rpartition("/")[2]
    if not path.is_file():
        _download(url, path)
    digest = sha256_file(path)
    match = re.search(r"-([0-9a-f]{8,})\.", path.name)
    if match is None or not digest.startswith(match[1]):
        raise IntegrityError(f"{path} is not the published file (SHA-256 {digest}): remove it, or give it with --weights")
    return path


def _download(url: str, path: Path) -> None:
    """Into a temporary file first."""
    part = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, part.open("wb") as out:  # noqa: S310  (torchvision's table)
            while block := answer.read(1 << 20):
                out.write(block)
        part.replace(path)
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise EnvironmentFailure(
            f"{path.name} is not here and cannot be downloaded from {url} ({reason}): put it into {path.parent}, or give it with "
            f"--weights {path.name}"
        ) from None
    finally:
        part.unlink(missing_ok=True)
