"""A vision transformer small enough for a benchmark on one core."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from grmu_audit.models.catalog import architectures
from grmu_audit.models.classifier import ModelSpec

NAME = "benchmark_vit"
SIZES = {"patch": 8, "width": 64, "depth": 3, "heads": 4}


class Block(nn.Module):
    """Attention and a two-layer network, each after a layer normalisation and with a shortcut."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.join = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[b, tokens, width] -> the same shape."""
        b, tokens, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, tokens, width)
        x = x + self.join(mixed)
        result: torch.Tensor = x + self.mlp(self.norm2(x))
        return result


class Tokens(nn.Module):
    """Patches to tokens with learned places."""

    def __init__(self, channels: int, side: int, patch: int, width: int) -> None:
        super().__init__()
        self.patch = nn.Conv2d(channels, width, patch, patch)
        self.place = nn.Parameter(torch.randn(1, (side // patch) ** 2, width) * 0.02)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[b, c, h, w] -> [b, tokens, width]."""
        result: torch.Tensor = self.patch(x).flatten(2).transpose(1, 2) + self.place
        return result


class MeanToken(nn.Module):
    """Average over the tokens."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[b, tokens, width] -> [b, width]."""
        return x.mean(1)


def _body(spec: ModelSpec) -> tuple[nn.Module, int]:
    size = SIZES | spec.options
    blocks = [Block(size["width"], size["heads"]) for _ in range(size["depth"])]
    tokens = Tokens(spec.image_size[0], spec.image_size[1], size["patch"], size["width"])
    return nn.Sequential(tokens, *blocks, nn.LayerNorm(size["width"]), MeanToken()), size["width"]


if NAME not in architectures.names():
    architectures.add(NAME, _body)
