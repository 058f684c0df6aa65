from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from support.tiny import spec

from grmu_audit.errors import IntegrityError, NotFoundError
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import ModelSpec
from grmu_audit.models.weights import GRAPH, SPEC, STATE, load_model, save_model, weights_digest


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
