"""Many classes x attribute values: gaps are computed, and documents stay short."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grmu_audit.cli.app import execute

CASE = Path(__file__).parents[2] / "cases" / "many-groups-overflow" / "predictions.csv"


def write(path: Path, classes: int, attributes: int, per_group: int = 2) -> None:
    rng = np.random.default_rng(classes)
    n = classes * attributes * per_group
    target = np.repeat(np.arange(classes), attributes * per_group)
    attribute = np.tile(np.repeat(np.arange(attributes), per_group), classes)
    split = np.where(rng.random(n) < 0.2, "retain", np.where(rng.random(n) < 0.1, "forget", "test"))
    prediction = np.where(rng.random(n) < 0.8, target, rng.integers(0, classes, n))
    ids = [f"s{i}" for i in range(n)]
    columns = {"id": ids, "split": split, "target": target, "attribute": attribute, "prediction": prediction}
    pd.DataFrame(columns).to_parquet(path)


def test_the_case(tmp_path: Path) -> None:
    assert execute(["score", "--predictions", str(CASE), "--out", str(tmp_path / "audit.json")]) in (0, 1, 3)
    values = {m["name"]: m for m in json.loads((tmp_path / "audit.json").read_text())["metrics"] if m["group"] is None}
    assert all(0 <= values[name]["value"] <= 1 for name in ("TA", "EO", "DP", "EP"))


@pytest.mark.parametrize(
    ("classes", "attributes"), [(1025, 2), (396, 3), (190, 7), (91, 50), (1000, 3), (2, 500), (1250, 4)], ids=lambda n: str(n)
)
def test_gaps_are_computed_and_documents_stay_short(classes: int, attributes: int, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("p.parquet"), classes, attributes)
    code = execute(["score", "--predictions", "p.parquet", "--out", "audit.json", "--report", "report.html"])
    assert code in (0, 1, 3)
    values = {m["name"]: m for m in json.loads(Path("audit.json").read_text())["metrics"] if m["group"] is None}
    for name in ("EO", "DP", "EP"):
        low, high = values[name]["interval"]
        assert 0 <= low <= values[name]["value"] <= high <= 1
    assert Path("report.html").stat().st_size < 500_000
    page = Path("report.html").read_text()
    assert f"Listed are the 100 of {classes * attributes:,} groups" in page
    assert execute(["report", "--audit", "audit.json", "--format", "groups", "--out", "groups.csv"]) == 0
    rows = list(csv.reader(Path("groups.csv").read_text().splitlines()))
    assert len(rows) == classes * attributes + 1
    assert {len(row) for row in rows} == {len(rows[0])}


def test_few_groups_are_listed_whole(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("p.parquet"), 10, 10)
    assert execute(["score", "--predictions", "p.parquet", "--report", "report.html"]) in (0, 1, 3)
    assert "Listed are" not in Path("report.html").read_text()
