"""Outputs that stay of purged versions: what becomes of them when the key of their pseudonyms is changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.deletions import small_table
from support.judged_audits import audited, predictions
from support.memory_store import MemoryStore
from support.requests import CLAIMING
from support.sessions import open_session

from grmu_audit.errors import InconclusiveError, InputError
from grmu_audit.evaluation.predict import ModelOutputs, from_parquet
from grmu_audit.evidence import KEY_FILE_VARIABLE, pseudonyms
from grmu_audit.policy import load_named
from grmu_audit.records import ModelRef
from grmu_audit.tracking import Actor, promote, read_ledger, verify
from grmu_audit.tracking.requests import kept_outputs, kept_under_earlier_key
from grmu_audit.utils.files import CACHE_VARIABLE
from grmu_audit.workflows.audits.pipeline import audit
from grmu_audit.workflows.keys import rotate
from grmu_audit.workflows.purges.execution import purge, resume_purge
from grmu_audit.workflows.purges.kept import earlier_with
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


def tables_with(session: Session, outputs: ModelOutputs) -> list[Path]:
    """Tables of the store with an output of these, whatever the pseudonyms."""
    found = []
    for path in Path(session.store.folder).rglob("*.parquet"):  # type: ignore[attr-defined]
        logits = from_parquet(path.read_bytes()).logits
        found += [path] if any(np.isclose(logits, row, atol=1e-6).all(axis=1).any() for row in outputs.logits) else []
    return found


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


def test_a_purge_after_a_rotation_leaves_no_table_that_may_hold_the_rows(session: Session, tmp_path: Path) -> None:
    old = kept(session, "1")
    assert old is not None
    gone = pseudonyms(session.key, [TEST_ROW])
    assert set(gone) <= rows_of(session, "1")
    row = old.only(old.ids == gone[0])
    rotate(session)
    served(session, tmp_path, "R-2", ["r048", TEST_ROW])
    planned = plan(session, "R-2")
    assert planned.holders.rewritten == {"1": True}
    assert set(planned.record.versions) == {"1", "2"}
    reasons = [one.why for one in planned.listed if one.name.startswith("purge ")]
    assert reasons == ["what was kept of m/1 has pseudonyms of an earlier key: no row of it stays"]
    purge(session, planned, "they asked")
    assert rows_of(session, "1") == set()
    assert tables_with(session, row) == []
    left = rows_of(session, "2")
    assert left
    assert left.isdisjoint(pseudonyms(session.key, [TEST_ROW]))
    assert verify(session.store, "m") == []
    assert resume_purge(session, "m") is None
    for request in ("R-1", "R-2"):
        with pytest.raises(InputError, match=f"nothing of request {request} is left to purge"):
            purge(session, plan(session, request))
    with pytest.raises(InconclusiveError, match="nothing that can be compared is left of m/1"):
        audit(session, "m/3", load_named("default"), tmp_path / "audit")


def test_a_table_under_an_earlier_key_goes_once(session: Session, tmp_path: Path) -> None:
    """What a purge writes is under the present key; an empty table is never written again."""
    ledger = read_ledger(session.store, "m")
    assert not kept_under_earlier_key(session.store, ledger, "1")
    assert earlier_with(session, ledger, pseudonyms(session.key, [TEST_ROW])) == {"1": False}
    assert earlier_with(session, ledger, pseudonyms(session.key, ["r024"])) == {}
    rotate(session)
    assert earlier_with(session, read_ledger(session.store, "m"), []) == {"1": True}
    purge(session, plan(session, "R-1"), "the key was changed")
    assert earlier_with(session, read_ledger(session.store, "m"), []) == {}
    rotate(session)
    assert kept_under_earlier_key(session.store, read_ledger(session.store, "m"), "1")
    assert earlier_with(session, read_ledger(session.store, "m"), []) == {}
    served(session, tmp_path, "R-2", ["r048", TEST_ROW])
    purge(session, plan(session, "R-2"), "they asked")
    assert rows_of(session, "1") == set()
    assert rows_of(session, "2")
    assert verify(session.store, "m") == []
