from __future__ import annotations

import json
import pickle
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from support.tiny import spec
from support.weights import weights_digest
from torch import nn

from grmu_audit.errors import InputError, IntegrityError, NotFoundError
from grmu_audit.models.architecture import VARIABLE
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import Classifier, ModelSpec, StartWeights
from grmu_audit.models.foreign_weights import state_digest
from grmu_audit.models.weights import (
    GRAPH,
    SPEC,
    STATE,
    load_model,
    packed_model,
    packed_tensors,
    read_spec,
    same_weights,
    save_model,
    unpacked_model,
)
from grmu_audit.utils.array_files import pack_arrays


def test_round_trip_gives_the_same_bytes(tmp_path: Path) -> None:
    model = build(spec(), 3).eval()
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    assert weights_digest(again) == weights_digest(model)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([GRAPH, SPEC, STATE])


def test_exported_graph_runs_without_this_package(tmp_path: Path) -> None:
    model = build(spec(), 3).eval()
    save_model(model, tmp_path)
    graph = torch.export.load(tmp_path / GRAPH).module()
    pixels = torch.rand(7, 3, 32, 32)
    assert torch.allclose(graph(pixels), model(pixels), atol=1e-5)


def test_digest_sees_buffers_and_single_weights() -> None:
    model = build(spec(), 3)
    before = weights_digest(model)
    with torch.no_grad():
        model.body[1].running_mean[0] += 1e-6  # type: ignore[index, operator]
    moved = weights_digest(model)
    with torch.no_grad():
        model.head.bias[0] += 1e-6
    assert len({before, moved, weights_digest(model)}) == 3


def test_building_is_seeded_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = build(spec(), 1)
    assert torch.equal(torch.rand(3), expected)
    assert weights_digest(first) == weights_digest(build(spec(), 1)) != weights_digest(build(spec(), 2))


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path("exploded").touch, ())


@pytest.mark.parametrize("damage", ["missing", "truncated", "pickle", "other widths", "no json", "huge", "list"])
def test_damaged_folders_are_refused(tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(build(spec(), 0), tmp_path)
    state, text = tmp_path / STATE, tmp_path / SPEC
    tree = json.loads(text.read_text())
    changes = {
        "missing": state.unlink,
        "truncated": lambda: state.write_bytes(state.read_bytes()[:-9]),
        "pickle": lambda: state.write_bytes(pickle.dumps(Bomb())),
        "other widths": lambda: text.write_text(json.dumps({**tree, "options": {"widths": [5, 7]}})),
        "no json": lambda: text.write_text("{"),
        "huge": lambda: text.write_text(" " * (1 << 20) + json.dumps(tree)),
        "list": lambda: text.write_text("[]"),
    }
    changes[damage]()
    with pytest.raises(IntegrityError):
        load_model(tmp_path)
    assert not Path("exploded").exists()


def test_unknown_architecture_is_named() -> None:
    with pytest.raises(NotFoundError, match="no architecture 'small_resnest' \\(did you mean 'small_resnet'\\?\\)"):
        build(ModelSpec("small_resnest", 2, (3, 8, 8), (0.5,), (0.5,)), 0)


SPEC_TREE = {
    "architecture": "small_resnet", "classes": 2, "class_names": ["a", "b"], "image_size": [3, 8, 8],
    "mean": [0.5] * 3, "std": [0.5] * 3, "options": {"widths": [4, 8]},
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("classes", -2, "classes is -2"),
        ("classes", 10**18, "classes is 1000"),
        ("classes", 10**400, "out of range"),
        ("image_size", [3, 10**9, 8], "image_size is"),
        ("mean", [0.5], "1 means"),
        ("std", [0.5, 0.0, 0.5], "not above 0"),
        ("options", 3, "TypeError"),
        ("class_names", ["a", "b", "c"], "3 class_names for 2 classes"),
    ],
)
def test_a_spec_that_no_network_has_is_an_integrity_error(tmp_path, key, value, message):
    (tmp_path / "model.json").write_text(json.dumps(SPEC_TREE | {key: value}))
    with pytest.raises(IntegrityError, match=message):
        read_spec(tmp_path / "model.json")


def test_a_network_far_larger_than_its_weights_is_never_allocated(tmp_path):
    (tmp_path / "model.json").write_text(json.dumps(SPEC_TREE | {"options": {"widths": [65_536, 65_536]}}))
    (tmp_path / "state.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(IntegrityError, match=r"describes a network of [\d,]{15,} bytes, and state.safetensors has 100"):
        load_model(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps(SPEC_TREE | {"options": {"widths": [10**9]}}))
    with pytest.raises(InputError, match="less than or equal to 65536"):
        load_model(tmp_path)


def test_weights_are_the_same_up_to_rounding_and_only_of_the_same_tensors() -> None:
    one, other = build(spec(), 3), build(spec(), 3)
    assert same_weights(one, other)
    with torch.no_grad():
        other.head.bias[0] += 1e-9
    assert same_weights(one, other)
    with torch.no_grad():
        other.head.bias[0] += 1e-3
    assert not same_weights(one, other)
    wider = build(replace(spec(), options={"widths": [6, 14]}), 3)
    deeper = build(replace(spec(), options={"widths": [6, 12, 14]}), 3)
    assert not same_weights(one, wider)
    assert not same_weights(one, deeper)


@pytest.mark.parametrize("started", [False, True])
def test_a_packed_network_comes_back_with_what_it_started_from(started: bool) -> None:
    tensors = {"head.weight": torch.full((2, 12), 0.5)}
    start = StartWeights(tensors, state_digest(tensors), "a hub", ("head kept",)) if started else None
    model = build(spec(), 3, start)
    packed = packed_model(model)
    again = unpacked_model(packed)
    assert weights_digest(again) == weights_digest(model)
    assert packed_model(again) == packed
    assert not again.training
    if start is None:
        assert again.start is None
    else:
        assert again.start is not None
        assert (again.start.digest, again.start.source, again.start.notes) == (start.digest, "a hub", ("head kept",))
        assert torch.equal(again.start.tensors["head.weight"], tensors["head.weight"])


@pytest.mark.parametrize(
    ("facts", "arrays", "says"),
    [
        ({}, {}, "KeyError: 'spec'"),
        ({"spec": SPEC_TREE}, {}, "KeyError: 'state'"),
        ({"spec": SPEC_TREE}, {"state": np.zeros(9, dtype=np.uint8)}, "ValueError"),
        ({"spec": SPEC_TREE}, {"state": packed_tensors({"head.bias": torch.zeros(2)})}, "RuntimeError"),
    ],
)
def test_what_is_no_packed_network_is_refused(facts: dict[str, object], arrays: dict[str, np.ndarray], says: str) -> None:
    with pytest.raises(IntegrityError, match=f"this is not a packed network: {says}"):
        unpacked_model(pack_arrays(facts, arrays))


class Branching(nn.Module):
    """A body whose path depends on the values of its inputs, which no graph can hold."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.flatten(1)
        return flat if bool(flat.sum() > 0) else -flat


def test_an_operators_network_that_cannot_be_traced_is_stored_without_a_graph(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = Classifier(Branching(), nn.Linear(12, 2), replace(spec(), architecture="own:branching", image_size=(3, 2, 2)))
    save_model(model, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([SPEC, STATE])
    said = [record.getMessage() for record in caplog.records if record.name == "grmu_audit.models.weights"]
    assert len(said) == 1
    assert said[0].startswith("own:branching cannot be served from a graph: Could not guard on data-dependent expression")
    with pytest.raises(RuntimeError, match="Could not guard on data-dependent expression"):
        save_model(Classifier(model.body, model.head, replace(model.spec, architecture="small_resnet")), tmp_path)
    assert not (tmp_path / GRAPH).exists()


def test_an_ensemble_of_members_that_cannot_be_built_without_memory_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Many networks read the rates of their layers off a tensor while they are built."""
    own = ModuleType("own_members")
    own.network = lambda one: nn.Sequential(nn.Flatten(), nn.Linear(12, int(torch.linspace(4, 5, 2)[0].item())), nn.Linear(4, 2))
    monkeypatch.setitem(sys.modules, "own_members", own)
    monkeypatch.setenv(VARIABLE, "own_members:network")
    options = {"member": "own_members:network", "shards": 2}
    model = build(ModelSpec("sisa", 2, (3, 2, 2), (0.5,) * 3, (0.5,) * 3, (), options), 0)
    save_model(model, tmp_path)
    assert weights_digest(load_model(tmp_path)) == weights_digest(model)
