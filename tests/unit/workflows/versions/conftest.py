"""A pretrained version and a forget list."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.memory_store import MemoryStore
from support.sessions import open_session

from grmu_audit.data.catalog import DataSpec
from grmu_audit.records import ModelRef
from grmu_audit.workflows.forget_requests import ForgetSampling, sample_forget_list
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.pretraining import TrainingOptions, pretrain


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[MemoryStore, ModelRef, Path]:
    """A store with a pretrained version, and a forget list."""
    root = tmp_path_factory.mktemp("base")
    store = MemoryStore(root / "store")
    session = open_session(store, root)
    ref = pretrain(session, "m", DataSpec("photodigits", {"renders": 1}), options=TrainingOptions({"epochs": 2}))
    sample_forget_list(session.dataset_of(ref), root / "ids.csv", ForgetSampling(("1,0",)))
    return store, ref, root / "ids.csv"


@pytest.fixture
def session(base: tuple[MemoryStore, ModelRef, Path], tmp_path: Path) -> Session:
    return open_session(base[0], tmp_path)
