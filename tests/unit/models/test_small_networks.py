from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional

from grmu_audit.models.small_networks import BasicBlock


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
