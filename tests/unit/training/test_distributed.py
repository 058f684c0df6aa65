"""Two processes train the network that one trains, and evaluate every sample once."""

from __future__ import annotations

import socket

import pytest
import torch
from safetensors.torch import load_file
from support.tiny import spec
from support.two_processes import SAMPLES, problem, process, runtime, work

from grmu_audit.errors import EnvironmentFailure, InputError
from grmu_audit.models.catalog import build
from grmu_audit.training.distributed import World, _patient_group, _together, current_world, join
from grmu_audit.unlearning.apply import apply_method
from grmu_audit.unlearning.methods import methods


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, torch.Tensor]]:
    """What one process found, and each of two."""
    root = tmp_path_factory.mktemp("processes")
    alone, together = root / "alone", root / "together"
    for folder in (alone, together):
        folder.mkdir()
    work(alone)
    torch.multiprocessing.start_processes(process, (together,), nprocs=2, start_method="spawn")
    return [load_file(path) for path in (alone / "rank0.safetensors", *sorted(together.glob("*.safetensors")))]


def test_one_and_two_processes_give_equal_weights(found: list[dict[str, torch.Tensor]]) -> None:
    alone, first, second = found
    assert alone.keys() == first.keys() == second.keys()
    for name in ("vit", "frozen", "resumed"):
        keys = [key for key in alone if key.startswith(f"{name}/")]
        assert len(keys) > 10
        for key in keys:
            assert torch.equal(first[key], second[key]), key
            torch.testing.assert_close(first[key].double(), alone[key].double(), rtol=0, atol=1e-6)
    assert all(torch.equal(first[key], first[key.replace("frozen", "resumed")]) for key in first if key.startswith("frozen/"))


def test_processes_stay_equal_where_normalisation_is_over_their_parts(found: list[dict[str, torch.Tensor]]) -> None:
    alone, first, second = found
    keys = [key for key in alone if key.startswith("miu/")]
    assert all(torch.equal(first[key], second[key]) for key in keys)
    assert any(not torch.equal(first[key], alone[key]) for key in keys)


def test_every_sample_is_evaluated_once(found: list[dict[str, torch.Tensor]]) -> None:
    alone, first, second = found
    assert sorted([*first["taken"].tolist(), *second["taken"].tolist()]) == list(range(SAMPLES)) == alone["taken"].tolist()
    for one in (first, second):
        torch.testing.assert_close(one["logits"], alone["logits"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_shares_are_disjoint_and_complete(size: int) -> None:
    for count in (0, 1, 5, 101):
        rows = [row for rank in range(size) for row in range(count)[World(rank, size).part(count)]]
        assert rows == list(range(count))


def test_without_torchrun_there_is_one_process_and_a_lost_one_is_named() -> None:
    assert current_world() == World(0, 1)
    with pytest.raises(EnvironmentFailure, match=r"lost each other \(connection reset\); nothing was registered"), _together():
        raise RuntimeError("connection reset\nby peer")


def test_what_needs_whole_batches_is_refused() -> None:
    retrain, two = methods.get("retrain"), runtime()
    two.world = World(0, 2)
    with pytest.raises(InputError, match=r"group_dro: .* one process only"):
        apply_method(retrain, build(spec(), 0), problem(), retrain.config(group_dro=True, epochs=1), two)


def test_processes_join_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": "0", "WORLD_SIZE": "1"}.items():
        monkeypatch.setenv(name, value)
    cpu = torch.device("cpu")
    try:
        assert join(cpu) == cpu
        assert torch.distributed.get_backend() == "gloo"
        monkeypatch.setenv("MASTER_PORT", "1")  # who joins again, asks nobody
        assert join(cpu) == cpu
        assert current_world() == World(0, 1)
    finally:
        torch.distributed.destroy_process_group()
        _patient_group.cache_clear()


def test_processes_that_cannot_be_reached_are_an_environment_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(EnvironmentFailure, match=r"the processes of this training lost each other \(.*RANK expected"):
        join(torch.device("cpu"))
    assert not torch.distributed.is_initialized()
