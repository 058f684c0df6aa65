"""Requests add up: no row that an earlier request of the lineage named is ever trained on again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.deletions import SmallData, small_folder, small_table
from support.judged_audits import version
from support.memory_store import MemoryStore
from support.notes import Notes
from support.sessions import open_session

from grmu_audit.data.batches import BatchSource
from grmu_audit.data.catalog import DataSpec
from grmu_audit.data.dataset import Dataset
from grmu_audit.data.forget import sidecar_path
from grmu_audit.errors import ForgetListError, InputError
from grmu_audit.evidence import key_check, pseudonyms, set_digest
from grmu_audit.policy import load_named
from grmu_audit.records import ModelRef
from grmu_audit.tracking import read_ledger
from grmu_audit.tracking.names import REQUEST
from grmu_audit.tracking.references import lineage_root
from grmu_audit.workflows.audits.comparison import compare
from grmu_audit.workflows.audits.pipeline import audit
from grmu_audit.workflows.audits.shadow import open_pool
from grmu_audit.workflows.audits.target import find_target
from grmu_audit.workflows.forget_requests import ForgetSampling, forgotten_ids, read_request, sample_forget_list, stored_request
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.method_choice import UnlearnOptions
from grmu_audit.workflows.versions.pretraining import TrainingOptions, pretrain
from grmu_audit.workflows.versions.unlearning import unlearn

DATA = DataSpec("photodigits", {"renders": 1})

SHORT = {"epochs": 1, "batch_size": 128}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[MemoryStore, ModelRef]:
    """A pretrained version, and one that was retrained without a request of ten rows."""
    root = tmp_path_factory.mktemp("first")
    session = open_session(MemoryStore(root / "store"), root)
    base = pretrain(session, "m", DATA, options=TrainingOptions(SHORT))
    listed(session, root / "a.csv", slice(0, 10))
    return session.store, unlearn(session, base.label, root / "a.csv", UnlearnOptions("retrain", SHORT))  # type: ignore[return-value]


@pytest.fixture
def session(first: tuple[MemoryStore, ModelRef], tmp_path: Path) -> Session:
    return open_session(first[0], tmp_path)


@pytest.fixture
def one(first: tuple[MemoryStore, ModelRef]) -> ModelRef:
    return first[1]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Rows that were handed out in training batches, counted where batches are made."""
    seen: set[int] = set()
    batches = BatchSource.batches

    def counted(self: BatchSource, rows, size, generator=None, **more):  # type: ignore[no-untyped-def]
        for batch in batches(self, rows, size, generator, **more):
            if generator is not None:  # without one the batches are for evaluation
                seen.update(batch.rows.tolist())
            yield batch

    monkeypatch.setattr(BatchSource, "batches", counted)
    return seen


def listed(session: Session, path: Path, rows: slice) -> list[str]:
    """A forget list of some training rows of the rare group."""
    frame = session.dataset(DATA).frame
    rare = frame[(frame["split"] == "train") & (frame["target"] == 1) & (frame["attribute"] == 0)]
    ids = rare["id"].tolist()[rows]
    path.write_text("id\n" + "\n".join(ids) + "\n")
    return ids


def write_key(path: Path) -> Path:
    path.write_text("00" * 32)
    path.chmod(0o600)
    return path


def rows_of(session: Session, ids: list[str]) -> set[int]:
    return set(np.flatnonzero(session.dataset(DATA).frame["id"].isin(ids)).tolist())


@pytest.mark.parametrize("second", ["retrain", "cf"])
def test_a_second_request_never_trains_on_what_the_first_erased(
    session: Session, one: ModelRef, read: set[int], tmp_path: Path, second: str
) -> None:
    erased = listed(session, tmp_path / "a.csv", slice(0, 10))
    then = listed(session, tmp_path / "b.csv", slice(10, 14))
    two = unlearn(session, one.label, tmp_path / "b.csv", UnlearnOptions(second, SHORT))
    train = set(session.dataset(DATA).rows("train").tolist())
    assert read == train - rows_of(session, [*erased, *then])
    assert two.forget_digest == set_digest(session.key, [*erased, *then])
    assert two.request_digest == set_digest(session.key, then)
    stored = stored_request(session, two)
    assert stored.pseudonyms == frozenset(pseudonyms(session.key, [*erased, *then]))
    assert sum(row.forget for row in stored.groups) == 14
    assert sum(row.retain for row in stored.groups) == len(train) - 14
    done = audit(session, two.label, load_named("default"), tmp_path / "out")
    assert done.audit.data.splits["forget"] == 14
    assert done.audit.forget is not None
    assert done.audit.forget.count == 14


def test_a_cumulative_list_is_accepted_and_its_repeated_rows_are_counted(session: Session, one: ModelRef, tmp_path: Path) -> None:
    listed(session, tmp_path / "a.csv", slice(0, 10))
    both = listed(session, tmp_path / "ab.csv", slice(0, 14))
    two = unlearn(session, one.label, tmp_path / "ab.csv", UnlearnOptions("retrain", SHORT))
    assert two.forget_digest == two.request_digest == set_digest(session.key, both)
    assert two.run_id is not None
    tree = json.loads(session.store.run_artifact(two.run_id, REQUEST) or b"")
    assert tree["request"]["repeated"] == 10
    with pytest.raises(ForgetListError, match="already named all 10 ids"):
        unlearn(session, two.label, tmp_path / "a.csv", UnlearnOptions("retrain", SHORT))


def test_another_key_ends_before_anything_is_trained(
    session: Session, one: ModelRef, read: set[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert one.key_check == key_check(session.key) == read_ledger(session.store, "m").key_check
    count = len(session.store.versions("m"))
    path = tmp_path / "other.key"
    monkeypatch.setenv("GRMU_AUDIT_HMAC_KEY_FILE", str(path))
    other = open_session(session.store, tmp_path)  # type: ignore[arg-type]
    listed(other, tmp_path / "b.csv", slice(10, 14))
    for said in (r"there is no key in .*other\.key, but m/1 has pseudonyms", r"another key than the one in .*other\.key"):
        for call in (
            lambda: unlearn(other, one.label, tmp_path / "b.csv", UnlearnOptions("retrain", SHORT)),
            lambda: audit(other, one.label, load_named("default"), tmp_path / "out"),
            lambda: compare(other, ["m/1", one.label]),
            lambda: pretrain(other, "m", DATA, options=TrainingOptions(SHORT)),
        ):
            with pytest.raises(InputError, match=said):
                call()
        write_key(path)
    assert not read
    assert len(session.store.versions("m")) == count


def test_a_lineage_without_a_key_check_is_matched_by_its_pseudonyms(
    session: Session, one: ModelRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions of before the check value was recorded: a key that matches no earlier id is found all the same."""
    monkeypatch.setattr("grmu_audit.workflows.session.key_check", lambda key: one.key_check)
    monkeypatch.setenv("GRMU_AUDIT_HMAC_KEY_FILE", str(write_key(tmp_path / "other.key")))
    other = open_session(session.store, tmp_path)  # type: ignore[arg-type]
    listed(other, tmp_path / "b.csv", slice(10, 14))
    with pytest.raises(InputError, match=r"10 of 10 ids of earlier requests match no row .*other\.key"):
        unlearn(other, one.label, tmp_path / "b.csv", UnlearnOptions("retrain", SHORT))


def test_shadow_models_are_not_trained_on_rows_of_earlier_requests(
    session: Session, one: ModelRef, read: set[int], tmp_path: Path
) -> None:
    erased = listed(session, tmp_path / "a.csv", slice(0, 10))
    then = listed(session, tmp_path / "b.csv", slice(10, 14))
    two = unlearn(session, one.label, tmp_path / "b.csv", UnlearnOptions("cf", SHORT))
    read.clear()
    target = find_target(session, two.label, ())
    open_pool(session, target, lineage_root(session.store, two)).train_missing(2)
    assert not read & rows_of(session, erased)
    assert read >= rows_of(session, then)


def test_what_was_forgotten_is_not_sampled_again(session: Session, one: ModelRef, tmp_path: Path) -> None:
    erased = listed(session, tmp_path / "a.csv", slice(0, 10))
    dataset = session.dataset(DATA)
    everything = ForgetSampling(("1,0",), ratio=0.8)
    sample_forget_list(dataset, tmp_path / "b.csv", everything, forgotten_ids(session, one, dataset))
    assert not set(erased) & set((tmp_path / "b.csv").read_text().split())
    sample_forget_list(dataset, tmp_path / "c.csv", everything)
    assert set(erased) & set((tmp_path / "c.csv").read_text().split())


def written(path: Path, *rows: str, header: str = "id") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def data_of(small: SmallData, root: Path, notes: Notes) -> tuple[Session, Dataset, ModelRef]:
    """A session, the data, and a version of it that nothing was trained for."""
    session = open_session(MemoryStore(root / "store"), root)
    session.observer = notes
    dataset = session.dataset(small.spec)
    return session, dataset, version(session.store, "m", root / "v1", role="pretrain", data_digest=dataset.digest)


def of_split(dataset: Dataset, split: str) -> list[str]:
    return dataset.frame["id"][dataset.frame["split"] == split].tolist()


def test_rows_outside_training_are_withheld_and_belong_to_no_request_s_training_rows(tmp_path: Path) -> None:
    notes = Notes()
    session, dataset, base = data_of(small_table(tmp_path / "data"), tmp_path, notes)
    train, val, test = (of_split(dataset, split) for split in ("train", "val", "test"))
    rows = [f"{train[0]},R-1", f"{train[1]},R-1", f"{train[2]},R-2", f"{val[0]},R-2", f"{test[0]},R-3"]
    found = read_request(session, written(tmp_path / "ids.csv", *rows, header="id,request_id"), dataset, base)
    named = {text: tuple(pseudonyms(session.key, ids)) for text, ids in (("R-1", train[:2]), ("R-2", train[2:3]))}
    assert found.parts == named
    assert set(found.withheld) == set(pseudonyms(session.key, [val[0], test[0]]))
    assert "2 ids are validation or test rows: no evaluation uses them from now on" in notes.lines


@pytest.mark.parametrize("groups", ["5", "[[a, b]]", "[[1]]", "null", "[[.inf, 0]]"])
def test_a_sidecar_whose_groups_are_no_pairs_of_numbers_is_refused(tmp_path: Path, groups: str) -> None:
    session, dataset, base = data_of(small_table(tmp_path / "data"), tmp_path, Notes())
    ids = written(tmp_path / "ids.csv", of_split(dataset, "train")[0])
    sidecar_path(ids).write_text(f"schema: grmu-audit/forget-sample/v1\ngroups: {groups}\n")
    with pytest.raises(InputError, match=r"groups in the sidecar of .*ids\.csv are not pairs of numbers"):
        read_request(session, ids, dataset, base)


def test_whole_subjects_are_asked_for_where_there_are_subjects(tmp_path: Path) -> None:
    notes = Notes()
    session, table, base = data_of(small_table(tmp_path / "table"), tmp_path / "1", notes)
    ids = written(tmp_path / "ids.csv", of_split(table, "train")[0])
    with pytest.raises(InputError, match="small has no subjects: --whole-subjects does not apply"):
        read_request(session, ids, table, base, whole_subjects=True)
    session, people, base = data_of(small_folder(tmp_path / "folder"), tmp_path / "2", notes)
    frame = people.frame[people.frame["split"] == "train"]
    subject = frame["subject"].value_counts().index[0]
    own = frame["id"][frame["subject"] == subject].tolist()
    assert len(own) > 1
    ids = written(tmp_path / "ids.csv", own[0])
    alone = read_request(session, ids, people, base)
    assert alone.forget.ids == (own[0],)
    assert any(f"the list leaves out {len(own) - 1} other rows of the same subjects" in line for line in notes.lines)
    assert set(read_request(session, ids, people, base, whole_subjects=True).forget.ids) == set(own)
