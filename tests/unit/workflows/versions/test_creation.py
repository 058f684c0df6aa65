"""Certified removal over the versions of a lineage: all use one random term, and no other lineage does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.memory_store import MemoryStore
from support.sessions import open_session

from grmu_audit.cli.app import execute
from grmu_audit.data.catalog import DataSpec
from grmu_audit.records import ModelRef
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.method_choice import UnlearnOptions
from grmu_audit.workflows.versions.network import load_network
from grmu_audit.workflows.versions.pretraining import NetworkChoice, pretrain
from grmu_audit.workflows.versions.unlearning import unlearn

CERTIFIED = UnlearnOptions("certified", {"epsilon": 1e6}, reweight=False)


def write_table(folder: Path) -> DataSpec:
    rng = np.random.default_rng(3)
    lines = [f"p{i:03},{rng.normal():.4f},{rng.normal():.4f},{'ab'[i % 2]},{i // 2 % 2}" for i in range(400)]
    table = folder / "t.csv"
    table.write_text("\n".join(["id,x,z,sex,won", *lines]) + "\n")
    line = ["data", "import", "--table", str(table), "--target", "won", "--positive", "1", "--attribute", "sex"]
    assert execute(["--quiet", *line, "--out", str(table.with_suffix(".yaml"))]) == 0
    return DataSpec(str(table.with_suffix(".yaml")), {})


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return open_session(MemoryStore(tmp_path / "store"), tmp_path)


def linear(session: Session, name: str, data: DataSpec) -> ModelRef:
    return pretrain(session, name, data, NetworkChoice("linear", {}))


def forget(session: Session, ref: ModelRef, path: Path, start: int) -> Path:
    frame = session.dataset_of(ref).frame
    ids = frame["id"].to_numpy()[session.dataset_of(ref).rows("train")][start : start + 3]
    path.write_text("\n".join(["id", *ids]) + "\n")
    return path


def test_every_version_of_a_lineage_uses_the_random_term_of_its_training(session: Session, tmp_path: Path) -> None:
    """Also after retraining, and after the forgotten rows were deleted from the data: else ``certified`` would refuse."""
    first = linear(session, "one", write_table(tmp_path))
    second = unlearn(session, first.label, forget(session, first, tmp_path / "a.csv", 0), CERTIFIED)
    anew = UnlearnOptions("retrain", seed=1, reweight=False)
    retrained = unlearn(session, second.label, forget(session, first, tmp_path / "b.csv", 3), anew)
    last_list, gone = forget(session, first, tmp_path / "c.csv", 6), (tmp_path / "a.csv").read_text().split()[1:]
    kept = [line for line in (tmp_path / "t.csv").read_text().splitlines() if line.split(",")[0] not in gone]
    (tmp_path / "t.csv").write_text("\n".join(kept) + "\n")
    later = open_session(session.store, tmp_path)  # type: ignore[arg-type]
    third = unlearn(later, second.label, last_list, CERTIFIED)
    last = unlearn(later, retrained.label, last_list, CERTIFIED)
    assert later.dataset_of(third).digest != third.data_digest == first.data_digest
    for ref in (second, third, last):
        assert ref.config["certified"]["gradient_norm"] <= ref.config["certified"]["gradient_norm_bound"]  # type: ignore[index]


def test_a_model_of_another_name_has_another(session: Session, tmp_path: Path) -> None:
    data = write_table(tmp_path)
    refs = [linear(session, "one", data), linear(session, "one", data), linear(session, "two", data)]
    one, same, two = (load_network(session, ref, torch.device("cpu")).head.weight.detach() for ref in refs)
    assert torch.equal(one, same)
    assert float((one - two).norm()) > 0.01
