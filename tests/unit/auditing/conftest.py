"""Bundles and a scored audit that the tests of this folder share."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from support.bundles import made
from support.judged_audits import key_pair
from support.prediction_tables import table, written

from grmu_audit.auditing.scoring import PredictionFiles, score
from grmu_audit.evidence.signing import load_public_key
from grmu_audit.policy import load_named


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundle")


@pytest.fixture(scope="module")
def pair(folder: Path) -> tuple[Path, Any]:
    private, public = key_pair(folder)
    return private, load_public_key(public)


@pytest.fixture(scope="module")
def signed(folder: Path, pair: tuple[Path, Any]) -> bytes:
    return made(folder, "signed", [100, 101, 102], pair[0])


@pytest.fixture(scope="module")
def unsigned(folder: Path) -> bytes:
    return made(folder, "unsigned", [200, 201], None)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full")
    paths = [written(folder, table(400, seed=1, logit_1=table(400, seed=s)["logit_1"]), f"m{s}.csv") for s in range(4)]
    files = PredictionFiles(paths[0], paths[1], tuple(paths[2:]), name="mine")
    return score(files, load_named("default"), today=date(2026, 6, 1)), paths
