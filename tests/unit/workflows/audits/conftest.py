"""Versions that the audits of this folder are of."""

from __future__ import annotations

from pathlib import Path

import pytest

from grmu_audit.data.catalog import DataSpec
from grmu_audit.records import ModelRef
from grmu_audit.workflows.forget_requests import ForgetSampling, sample_forget_list
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.method_choice import UnlearnOptions
from grmu_audit.workflows.versions.pretraining import TrainingOptions, pretrain
from grmu_audit.workflows.versions.unlearning import unlearn

SHORT = {"epochs": 1, "batch_size": 128}


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, ModelRef, Path]:
    """A pretrained, a retrained and a fine-tuned version of a short training, and a folder."""
    root = tmp_path_factory.mktemp("levels")
    session = Session(root=root, device="cpu")
    base = pretrain(session, "m", DataSpec("photodigits", {"renders": 1}), options=TrainingOptions(SHORT))
    sample_forget_list(session.dataset_of(base), root / "ids.csv", ForgetSampling(("1,0",)))
    unlearn(session, base.label, root / "ids.csv", UnlearnOptions("retrain", SHORT))
    return session, unlearn(session, base.label, root / "ids.csv", UnlearnOptions("cf", SHORT)), root
