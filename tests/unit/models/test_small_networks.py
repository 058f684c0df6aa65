from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional

from grmu_audit.models.small_networks import Attention, BasicBlock, MlpOptions, Patches, SmallVitOptions, mlp_body


@pytest.mark.parametrize("stride", [1, 2])
def test_the_shortcut_is_a_strided_convolution(stride: int) -> None:
    block = BasicBlock(6, 12, stride).eval()
    x = torch.randn(5, 6, 15, 15, generator=torch.Generator().manual_seed(0))
    y = functional.relu(block.norm1(block.conv1(x)))
    assert isinstance(block.shortcut, nn.Sequential)
    strided = functional.conv2d(x, block.shortcut[0].weight, stride=stride)
    expected = functional.relu(block.norm2(block.conv2(y)) + block.shortcut[1](strided))
    assert torch.allclose(block(x), expected, atol=1e-5)


SCRIPT = """
import torch
from grmu_audit.models.small_networks import small_resnet_body
body = small_resnet_body(3, (6, 12))
for _ in range(100):
    for n in (3, 5, 13):
        body(torch.randn(n, 3, 32, 32)).square().sum().backward()
"""


def test_narrow_networks_survive_odd_batches() -> None:
    """In a process of its own, since what is guarded against is memory corruption."""
    assert subprocess.run([sys.executable, "-c", SCRIPT], check=False, timeout=120).returncode == 0


def test_patches_without_shifts_are_the_pixels_alone() -> None:
    patches = Patches((3, 8, 8), SmallVitOptions(patch=4, dim=5, shifted=False, dropout=0.0))
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    upper_right = x[:, :, :4, 4:].permute(0, 2, 3, 1).reshape(2, -1)
    expected = patches.linear(patches.norm(upper_right)) + patches.position[:, 2]
    assert patches(x).shape == (2, 5, 5)
    assert torch.allclose(patches(x)[:, 2], expected, atol=1e-6)


@pytest.mark.parametrize("local", [True, False])
def test_attention_to_the_token_itself_is_left_out_where_it_is_local(local: bool) -> None:
    attention = Attention(SmallVitOptions(dim=4, heads=1, head_dim=3, local=local, dropout=0.0))
    x = torch.rand(2, 2, 4, generator=torch.Generator().manual_seed(0))
    q, k, v = attention.qkv(x).split(3, dim=-1)
    shares = (q @ k.transpose(1, 2) * 3**-0.5).softmax(-1)
    expected = attention.out(v.flip(1) if local else shares @ v)
    assert torch.allclose(attention(x), expected, atol=1e-6)
    assert ("temperature" in dict(attention.named_parameters())) is local
    assert ("temperature" in attention.state_dict()) is local


@pytest.mark.parametrize(
    ("norm", "dropout", "each"),
    [
        ("none", 0.0, [nn.Linear, nn.ReLU]),
        ("none", 0.5, [nn.Linear, nn.ReLU, nn.Dropout]),
        ("layer", 0.5, [nn.Linear, nn.LayerNorm, nn.ReLU, nn.Dropout]),
        ("batch", 0.0, [nn.Linear, nn.BatchNorm1d, nn.ReLU]),
    ],
)
def test_hidden_layers_have_the_normalisation_and_dropout_that_is_wanted(
    norm: str, dropout: float, each: list[type[nn.Module]]
) -> None:
    body = mlp_body((3, 2), MlpOptions(hidden=(4, 5), norm=norm, dropout=dropout))  # type: ignore[arg-type]
    assert [type(layer) for layer in body] == [nn.Flatten, *each, *each]
    assert [(layer.in_features, layer.out_features) for layer in body if isinstance(layer, nn.Linear)] == [(6, 4), (4, 5)]
    assert {layer.p for layer in body if isinstance(layer, nn.Dropout)} == ({dropout} if dropout else set())
