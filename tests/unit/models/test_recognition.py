"""Which architecture a file of weights belongs to."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision import models

from grmu_audit.models.recognition import likely_architecture


def state(name: str) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return dict(models.get_model(name, num_classes=7).state_dict())


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
@pytest.mark.parametrize("prefix", ["", "module.model."])
def test_classifiers_of_torchvision(name: str, prefix: str) -> None:
    assert likely_architecture({f"{prefix}{key}": value for key, value in state(name).items()}) == f"--architecture {name}"


def test_a_small_stem() -> None:
    found = state("resnet18") | {"conv1.weight": torch.empty(64, 3, 3, 3, device="meta")}
    assert likely_architecture(found) == "--architecture resnet18 --architecture-option 'stem=cifar'"


def test_multilayer_perceptrons() -> None:
    network = nn.Sequential(
        nn.Linear(9, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 16), nn.BatchNorm1d(16), nn.Linear(16, 3)
    )
    assert likely_architecture(network.state_dict()) == (
        "--architecture mlp --architecture-option 'hidden=[32,16]' --architecture-option 'norm=batch'"
    )


def test_bert() -> None:
    pytest.importorskip("transformers")
    from support.foreign import bert

    found = likely_architecture(bert(90).state_dict())
    assert found.startswith("--architecture bert --architecture-option 'hidden=32' --architecture-option 'layers=2'")


def test_nothing_is_guessed() -> None:
    assert likely_architecture({"a": torch.zeros(3, 3, 3), "b": torch.zeros(2)}) == ""


@pytest.mark.parametrize("absent", ["word_embeddings", "position_embeddings", "intermediate"])
def test_bert_is_named_only_where_all_of_its_sizes_are_known(absent: str) -> None:
    shapes = {
        "bert.embeddings.word_embeddings.weight": (30, 8),
        "bert.embeddings.position_embeddings.weight": (16, 8),
        "bert.encoder.layer.0.intermediate.dense.weight": (24, 8),
        "bert.encoder.layer.1.output.LayerNorm.weight": (8,),
    }
    found = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    assert likely_architecture(found) == (
        "--architecture bert --architecture-option 'hidden=8' --architecture-option 'layers=2'"
        " --architecture-option 'intermediate=24' --architecture-option 'positions=16' --architecture-option 'heads=H'"
        " (H: not in the weights)"
    )
    assert likely_architecture({name: value for name, value in found.items() if absent not in name}) == ""
