"""Small networks: a residual network, a multilayer perceptron, and a vision transformer for small images and small data.

The vision transformer (Lee et al. 2021, arXiv 2112.13492) reads patches together with four copies of the image shifted by one
pixel (shifted patch tokenisation), and a token attends to all others but itself, at a learned temperature (locality
self-attention); both can be switched off.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from grmu_audit.errors import InputError
from grmu_audit.models.architecture import DEEPEST, WIDEST, Options, Width
from grmu_audit.models.classifier import FOREIGN_HEAD


class SmallVitOptions(Options):
    """Options of ``small_vit``."""

    patch: int = Field(4, ge=1, le=WIDEST)
    """Side of a patch in pixels; it divides the image."""
    dim: int = Field(512, ge=1, le=WIDEST)
    """Width of a token."""
    depth: int = Field(6, ge=1, le=DEEPEST)
    """Transformer blocks."""
    heads: int = Field(8, ge=1, le=WIDEST)
    """Attention heads."""
    head_dim: int = Field(64, ge=1, le=WIDEST)
    """Width of one head."""
    mlp: int = Field(512, ge=1, le=WIDEST)
    """Hidden width of the feed-forward part."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of values dropped in tokens, attention and feed-forward part."""
    shifted: bool = True
    """Whether patches see the image shifted by one pixel in four directions."""
    local: bool = True
    """Whether attention leaves out the token itself, at a learned temperature."""


class SmallVit(nn.Module):
    """[b, c, h, w] -> [b, dim]: the class token after all blocks and a last layer normalisation."""

    containers = ()

    def __init__(self, size: tuple[int, int, int], options: SmallVitOptions) -> None:
        super().__init__()
        self.patches = Patches(size, options)
        self.blocks = nn.Sequential(*(Block(options) for _ in range(options.depth)))
        self.norm = nn.LayerNorm(options.dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Tokens, blocks, class token."""
        tokens: torch.Tensor = self.norm(self.blocks(self.patches(x)))
        return tokens[:, 0]


class Patches(nn.Module):
    """[b, c, h, w] -> [b, 1 + h w / patch^2, dim]: a class token and one token for each patch, with learned positions.

    Raises:
        InputError: the patch does not divide the image.
    """

    def __init__(self, size: tuple[int, int, int], options: SmallVitOptions) -> None:
        super().__init__()
        channels, height, width = size
        if height % options.patch or width % options.patch:
            raise InputError(f"small_vit: patch is {options.patch}, which does not divide images of {height} x {width}")
        self.patch, self.shifted = options.patch, options.shifted
        values = channels * (5 if options.shifted else 1) * options.patch**2
        self.norm = nn.LayerNorm(values)
        self.linear = nn.Linear(values, options.dim)
        count = (height // options.patch) * (width // options.patch)
        self.token = nn.Parameter(torch.randn(1, 1, options.dim))
        self.position = nn.Parameter(torch.randn(1, count + 1, options.dim))
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shift, cut, project, add positions."""
        if self.shifted:
            shifts = ((1, -1, 0, 0), (-1, 1, 0, 0), (0, 0, 1, -1), (0, 0, -1, 1))
            x = torch.cat([x, *(functional.pad(x, shift) for shift in shifts)], 1)
        b, c, h, w = x.shape
        p = self.patch
        cut = x.reshape(b, c, h // p, p, w // p, p).permute(0, 2, 4, 3, 5, 1).reshape(b, (h // p) * (w // p), p * p * c)
        tokens = torch.cat([self.token.expand(b, -1, -1), self.linear(self.norm(cut))], 1)
        result: torch.Tensor = self.dropout(tokens + self.position)
        return result


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x)); [b, n, dim] -> [b, n, dim]."""

    def __init__(self, options: SmallVitOptions) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(options.dim)
        self.attention = Attention(options)
        self.norm2 = nn.LayerNorm(options.dim)
        self.feed = nn.Sequential(
            nn.Linear(options.dim, options.mlp),
            nn.GELU(),
            nn.Dropout(options.dropout),
            nn.Linear(options.mlp, options.dim),
            nn.Dropout(options.dropout),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Two residual steps."""
        x = x + self.attention(self.norm1(x))
        result: torch.Tensor = x + self.feed(self.norm2(x))
        return result


class Attention(nn.Module):
    """Multi-head self-attention; with ``local`` a token does not see itself, and the temperature is learned."""

    def __init__(self, options: SmallVitOptions) -> None:
        super().__init__()
        inner = options.heads * options.head_dim
        self.heads, self.local = options.heads, options.local
        temperature = torch.tensor(math.log(options.head_dim**-0.5))
        self.temperature: torch.Tensor
        if options.local:
            self.temperature = nn.Parameter(temperature)
        else:
            self.register_buffer("temperature", temperature, persistent=False)
        self.qkv = nn.Linear(options.dim, 3 * inner, bias=False)
        self.out = nn.Linear(inner, options.dim)
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[b, n, dim] -> [b, n, dim]."""
        b, n, _ = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) * self.temperature.exp()
        if self.local:
            scores = scores.masked_fill(torch.eye(n, dtype=torch.bool, device=x.device), -math.inf)
        mixed = self.dropout(scores.softmax(-1)) @ v
        result: torch.Tensor = self.dropout(self.out(mixed.transpose(1, 2).reshape(b, n, -1)))
        return result


class SmallResnetOptions(Options):
    """Options of ``small_resnet``."""

    widths: tuple[Width, ...] = Field((24, 48, 96), min_length=1, max_length=DEEPEST)
    """Channels of each block."""


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation and a shortcut.

    The shortcut drops pixels first and convolves then: the same numbers as a 1x1 convolution with a stride, whose
    backward pass corrupts memory on CPUs for few channels and an odd batch (torch 2.15 with oneDNN).
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.stride = stride
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[b, inputs, h, w] -> [b, outputs, h / stride, w / stride]."""
        y = functional.relu(self.norm1(self.conv1(x)))
        result: torch.Tensor = functional.relu(self.norm2(self.conv2(y)) + self.shortcut(x[:, :, :: self.stride, :: self.stride]))
        return result


def small_resnet_body(channels: int, widths: tuple[int, ...]) -> nn.Sequential:
    """A 5x5 stem with stride 2, one block per width (each but the first halves the side), average pooling; [b, widths[-1]]."""
    layers: list[nn.Module] = [
        nn.Conv2d(channels, widths[0], 5, 2, 2, bias=False),
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(),
    ]
    inputs = widths[0]
    for index, width in enumerate(widths):
        layers.append(BasicBlock(inputs, width, 1 if index == 0 else 2))
        inputs = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class MlpOptions(Options):
    """Options of ``mlp``."""

    hidden: tuple[Width, ...] = Field((64, 64), min_length=1, max_length=DEEPEST)
    """Width of each hidden layer."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of hidden values dropped."""
    norm: Literal["layer", "batch", "none"] = "layer"
    """Normalisation of each hidden layer."""


def mlp_body(shape: Sequence[int], options: MlpOptions) -> nn.Sequential:
    """Linear, normalisation, ReLU for each hidden layer; [b, ...] -> [b, hidden[-1]].

    Weights of a plain ``nn.Sequential`` of the same layers, its head last, fit by their numbers.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    inputs = math.prod(shape)
    for width in options.hidden:
        layers.append(nn.Linear(inputs, width))
        if options.norm != "none":
            layers.append(nn.LayerNorm(width) if options.norm == "layer" else nn.BatchNorm1d(width))
        layers.append(nn.ReLU())
        if options.dropout:
            layers.append(nn.Dropout(options.dropout))
        inputs = width
    body = nn.Sequential(*layers)
    setattr(body, FOREIGN_HEAD, str(len(layers)))
    return body
