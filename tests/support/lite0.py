"""EfficientNet-Lite0 as an operator's own architecture: the network of a package, with its own head."""

from __future__ import annotations

from torch import nn

from grmu_audit.models.classifier import ModelSpec


def lite0(spec: ModelSpec) -> nn.Module:
    from efficientnet_lite_pytorch import EfficientNet

    return EfficientNet.from_name("efficientnet-lite0")
