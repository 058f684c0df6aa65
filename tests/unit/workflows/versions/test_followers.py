"""Trainings that several processes cannot share."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.memory_store import MemoryStore
from support.sessions import open_session

from grmu_audit.data.catalog import DataSpec
from grmu_audit.errors import InputError
from grmu_audit.training import distributed
from grmu_audit.training.distributed import World
from grmu_audit.workflows.versions.followers import followed, require_one_process
from grmu_audit.workflows.versions.network import NetworkChoice
from grmu_audit.workflows.versions.pretraining import TrainingOptions, pretrain


def test_what_needs_one_process_is_refused_in_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_one_process("--seeds")
    monkeypatch.setattr(distributed, "current_world", lambda: World(0, 2))  # as torchrun with two processes
    with pytest.raises(InputError, match="--seeds does not work with torchrun: use one process, with --jobs"):
        require_one_process("--seeds")
    session = open_session(MemoryStore(tmp_path / "store"), tmp_path)
    with pytest.raises(InputError, match="--group-dro does not work with torchrun"):
        pretrain(session, "m", DataSpec("none.yaml"), NetworkChoice("mlp"), TrainingOptions(group_dro=True))
    assert session.store.models() == []


@pytest.mark.parametrize("variables", [{}, {"RANK": "0"}, {"RANK": "0", "WORLD_SIZE": "1"}])
def test_a_process_alone_follows_nobody(variables: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    session = open_session(MemoryStore(tmp_path / "store"), tmp_path)
    assert not followed(session)
    assert session.device == "cpu"
