"""Outputs that stay of purged versions: what becomes of them when the key of their pseudonyms is changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.deletions import small_table
from support.judged_audits import audited, predictions
from support.memory_store import MemoryStore
from support.requests import CLAIMING
from support.sessions import open_session

from grmu_audit.errors import InputError
from grmu_audit.evaluation.predict import ModelOutputs, from_parquet
from grmu_audit.evidence import KEY_FILE_VARIABLE
from grmu_audit.records import ModelRef
from grmu_audit.tracking import Actor, promote, read_ledger
from grmu_audit.tracking.requests import kept_outputs
from grmu_audit.utils.files import CACHE_VARIABLE
from grmu_audit.workflows.keys import rotate
from grmu_audit.workflows.purges.execution import purge
from grmu_audit.workflows.purges.plan import PurgePlan, plan_purge
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.method_choice import UnlearnOptions
from grmu_audit.workflows.versions.network import NetworkChoice
from grmu_audit.workflows.versions.pretraining import TrainingOptions, pretrain
from grmu_audit.workflows.versions.unlearning import unlearn

SHORT = {"epochs": 1, "batch_size": 32}
TEST_ROW = "r120"
"""A row of the test split that the second request names."""


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """``m/1`` was purged for request R-1, which the champion ``m/2`` was created without."""
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(tmp_path / "keys" / "hmac.key"))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    made = open_session(MemoryStore(tmp_path / "store"), tmp_path / "root")
    pretrain(made, "m", small_table(tmp_path / "data").spec, NetworkChoice("mlp"), TrainingOptions(SHORT))
    served(made, tmp_path, "R-1", ["r024", "r025"])
    purge(made, plan(made, "R-1"), "they asked")
    assert kept(made, "1") is not None
    return made


def served(session: Session, root: Path, request: str, ids: list[str]) -> ModelRef:
    """The champion without these rows too."""
    path = root / "ids.csv"
    path.write_text("id,request_id\n" + "".join(f"{one},{request}\n" for one in ids))
    ref = unlearn(session, "m", path, UnlearnOptions("retrain", SHORT))
    audited(session.store, ref, [predictions(100 * int(ref.version))], CLAIMING)
    promote(session.store, ref, Actor("anna"))
    return ref


def plan(session: Session, request: str) -> PurgePlan:
    return plan_purge(session, "m", request, None)


def kept(session: Session, version: str) -> ModelOutputs | None:
    content = kept_outputs(session.store, read_ledger(session.store, "m"), version)
    return from_parquet(content) if content is not None else None


def rows_of(session: Session, version: str) -> set[str]:
    found = kept(session, version)
    assert found is not None
    return set(found.ids.tolist())


def test_a_purge_leaves_no_cache_of_the_outputs_that_it_computes(session: Session, tmp_path: Path) -> None:
    """After a rotation, what stays of ``m/2`` is computed by the purge, whose plan lists no cache because there is none yet."""
    rotate(session)
    served(session, tmp_path, "R-2", ["r048", TEST_ROW])
    planned = plan(session, "R-2")
    assert not planned.record.folders
    purge(session, planned, "they asked")
    assert not list(session.root.rglob("*.parquet"))
    assert rows_of(session, "2")
    with pytest.raises(InputError, match="nothing of request R-2 is left to purge"):
        purge(session, plan(session, "R-2"))
