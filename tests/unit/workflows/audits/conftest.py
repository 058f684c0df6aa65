"""Versions that the audits of this folder are of."""

from __future__ import annotations

from pathlib import Path

import pytest

from grmu_audit.data.catalog import DataSpec
from grmu_audit.records import Group, ModelRef
from grmu_audit.workflows.forget_requests import sample
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.pretraining import pretrain
from grmu_audit.workflows.versions.unlearning import unlearn

SHORT = {"epochs": 1, "batch_size": 128}


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, ModelRef, Path]:
    """A pretrained, a retrained and a fine-tuned version of a short training, and a folder."""
    root = tmp_path_factory.mktemp("levels")
    session = Session(root=root, device="cpu", progress=False)
    base = pretrain(session, "m", DataSpec("photodigits", {"renders": 1}), settings=SHORT)
    sample(session, session.dataset_of(base), root / "ids.csv", groups=[Group(1, 0)], ratio=0.5, seed=0)
    unlearn(session, base.label, root / "ids.csv", method="retrain", settings=SHORT)
    return session, unlearn(session, base.label, root / "ids.csv", method="cf", settings=SHORT), root
