"""The precision that the outputs of an audit are computed in, and the recipe of fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.memory_store import MemoryStore
from support.sessions import open_session
from support.tiny import dataset

from grmu_audit.records import ModelRef
from grmu_audit.tracking.requests import StoredRequest
from grmu_audit.workflows.audits.white_box import ForwardPassCount, WhiteBoxCollector
from grmu_audit.workflows.session import Session

CPU: dict[str, Any] = {"hardware": {"device": "cpu"}}


@pytest.mark.parametrize(
    ("chosen", "config", "precision"),
    [
        ("auto", {**CPU, "precision": "bf16"}, "bf16"),
        ("auto", {**CPU, "precision": "fp32"}, "fp32"),
        ("auto", {"precision": "bf16"}, "fp32"),
        ("auto", {"hardware": {"device": "cuda"}, "precision": "bf16"}, "fp32"),
        ("fp32", {**CPU, "precision": "bf16"}, "fp32"),
        ("bf16", {**CPU, "precision": "fp32"}, "bf16"),
        ("auto", None, "fp32"),
    ],
)
def test_fine_tuning_has_the_precision_of_the_first_training_on_a_like_device(
    chosen: str, config: dict[str, Any] | None, precision: str
) -> None:
    session, request = Session(device="cpu", precision=chosen), StoredRequest("none", frozenset(), (), (), {})
    session.__dict__["key"] = b"k" * 32
    collector = WhiteBoxCollector(session, dataset(), request, 0, ForwardPassCount())
    collector.__dict__["_root"] = None if config is None else ModelRef("m", "1", config=config)
    assert collector._tuning.precision == precision
    assert ("trained_in" in collector._return_key) == (chosen == "auto" and precision == "bf16")


@pytest.mark.parametrize("purged", [False, True])
def test_fine_tuning_repeats_the_recipe_of_the_lineage_also_after_the_version_before_was_purged(
    tmp_path: Path, purged: bool
) -> None:
    session, request = open_session(MemoryStore(tmp_path / "store"), tmp_path), StoredRequest("none", frozenset(), (), (), {})
    session.__dict__["key"] = b"k" * 32
    before = ModelRef("m", "1", role="pretrain", config={"settings": {"epochs": 7}})
    collector = WhiteBoxCollector(
        session, dataset(), request, 0, ForwardPassCount(), before=None if purged else before, parent=before
    )
    assert collector._tuning.recipe.epochs == 7
