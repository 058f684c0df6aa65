"""The small residual net of the demo: trains in seconds on two cores."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


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
