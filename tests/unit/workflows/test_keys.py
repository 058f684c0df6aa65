"""Another key: requests of earlier versions are matched under it, whether the old one is at hand or lost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.deletions import SmallData, small_table
from support.judged_audits import audited, predictions
from support.memory_store import MemoryStore
from support.requests import CLAIMING
from support.sessions import open_session

from grmu_audit.auditing.bundle_check import verify_bundle
from grmu_audit.auditing.rows_read import rows_read_defect
from grmu_audit.errors import EnvironmentFailure, InputError, IntegrityError
from grmu_audit.evidence import key_check, key_path, pseudonyms, set_digest
from grmu_audit.evidence.archive import unpack
from grmu_audit.policy import load_named
from grmu_audit.records import ModelRef
from grmu_audit.tracking import Actor, promote, read_ledger, verify
from grmu_audit.tracking.ledger import append_entry
from grmu_audit.tracking.names import REKEYED, REQUEST
from grmu_audit.utils import canonical_json, sha256_hex
from grmu_audit.workflows import keys
from grmu_audit.workflows.audits.pipeline import audit
from grmu_audit.workflows.audits.stored import export_bundle
from grmu_audit.workflows.forget_requests import stored_request
from grmu_audit.workflows.keys import rekey_lost, rotate
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.method_choice import UnlearnOptions
from grmu_audit.workflows.versions.network import NetworkChoice
from grmu_audit.workflows.versions.pretraining import TrainingOptions, pretrain
from grmu_audit.workflows.versions.unlearning import unlearn

SHORT = {"epochs": 1, "batch_size": 32}
RETRAIN = UnlearnOptions("retrain", SHORT)
A, B, C = ["r024", "r025"], ["r048"], ["r049"]


@pytest.fixture(autouse=True)
def _own_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRMU_AUDIT_HMAC_KEY_FILE", str(tmp_path / "keys" / "hmac.key"))


@pytest.fixture
def small(tmp_path: Path) -> SmallData:
    return small_table(tmp_path / "data")


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    return MemoryStore(tmp_path / "store")


@pytest.fixture
def line(store: MemoryStore, small: SmallData, tmp_path: Path) -> tuple[ModelRef, ModelRef]:
    """A champion without A, and a version without A and B."""
    session = open_session(store, tmp_path)
    base = pretrain(session, "m", small.spec, NetworkChoice("mlp"), TrainingOptions(SHORT))
    one = unlearn(session, base.label, listed(tmp_path, A), RETRAIN)
    two = unlearn(session, one.label, listed(tmp_path, B), RETRAIN)
    passed(store, one)
    promote(store, one, Actor("alice"))
    return one, two


def listed(root: Path, ids: list[str]) -> Path:
    path = root / "ids.csv"
    path.write_text("id\n" + "\n".join(ids) + "\n")
    return path


def passed(store: MemoryStore, ref: ModelRef) -> None:
    audited(store, ref, [predictions(100 * int(ref.version))], CLAIMING)


def goes_on(session: Session, two: ModelRef, root: Path) -> ModelRef:
    """A third request trains without the first two, is audited, and only a version without all of them is promoted."""
    three = unlearn(session, two.label, listed(root, C), RETRAIN)
    assert stored_request(session, three).pseudonyms == frozenset(pseudonyms(session.key, [*A, *B, *C]))
    assert audit(session, two.label, load_named("default"), root / "two").audit.metric("UA").n == 3  # type: ignore[union-attr]
    store: MemoryStore = session.store  # type: ignore[assignment]
    passed(store, three)
    promote(store, three, Actor("alice"))
    branch = unlearn(session, "m/1", listed(root, C), RETRAIN)
    with pytest.raises(IntegrityError, match="a champion of m has served"):
        promote(store, branch, Actor("alice"))
    assert verify(store, "m") == []
    return three


def test_after_a_rotation_the_line_goes_on_under_the_new_key(
    store: MemoryStore, line: tuple[ModelRef, ModelRef], tmp_path: Path
) -> None:
    one, two = line
    old = key_path().read_text()
    before = {ref.label: store.run_artifact(str(ref.run_id), REQUEST) for ref in line}
    session = open_session(store, tmp_path)
    check = key_check(session.key)
    done = rotate(session)
    assert done.versions == {"m": 2}
    assert done.kept is not None
    assert done.kept.read_text() == old != key_path().read_text()
    assert key_path().stat().st_mode & 0o077 == 0
    assert key_check(session.key) == read_ledger(store, "m").key_check != check
    assert {ref.label: store.run_artifact(str(ref.run_id), REQUEST) for ref in line} == before
    assert stored_request(session, one).digest == set_digest(session.key, A)
    new = open_session(store, tmp_path)
    three = goes_on(new, two, tmp_path)
    assert three.key_check == key_check(new.key)
    reference = unlearn(new, one.label, listed(tmp_path, B), replace(RETRAIN, seed=1))
    compared = audit(new, reference.label, load_named("default"), tmp_path / "again").audit
    assert [ref.label for ref in compared.references] == [two.label]
    export_bundle(store, reference.label, tmp_path / "again.zip")
    checked = verify_bundle(tmp_path / "again.zip")
    assert checked.findings == ()
    assert any(note.startswith("rows_read-reference-1.json calls rows by names of an earlier key") for note in checked.notes)
    key_path().write_text(old)
    with pytest.raises(InputError, match="another key"):
        unlearn(open_session(store, tmp_path), two.label, listed(tmp_path, C), RETRAIN)


def test_the_bundle_of_a_version_of_an_earlier_key_agrees_and_says_what_was_not_compared(
    store: MemoryStore, line: tuple[ModelRef, ModelRef], tmp_path: Path
) -> None:
    rotate(open_session(store, tmp_path))
    made = audit(open_session(store, tmp_path), line[1].label, load_named("default"), tmp_path / "out").audit
    assert made.exact is not None
    assert made.exact.verified
    export_bundle(store, line[1].label, tmp_path / "b.zip")
    checked = verify_bundle(tmp_path / "b.zip")
    assert checked.findings == ()
    assert any("calls rows by names of an earlier key" in note for note in checked.notes)
    files = unpack((tmp_path / "b.zip").read_bytes())[0]
    record = json.loads(files["rows_read.json"])
    shorter = record["training_rows_not_read"][1:]
    record |= {"training_rows_not_read": shorter, "training_rows_read": record["training_rows_read"] + 1}
    edited = canonical_json(record)
    ref = replace(made.subject, config={**made.subject.config, "rows_read_sha256": sha256_hex(edited)})
    assert made.forget.count == len(shorter) + 1
    defect = rows_read_defect(edited, ref, 0, made.forget.count)
    assert "does not cover them all" in defect


def test_rows_that_were_deleted_before_or_after_a_rotation(
    store: MemoryStore, small: SmallData, line: tuple[ModelRef, ModelRef], tmp_path: Path
) -> None:
    small.delete(A)
    rotate(open_session(store, tmp_path))
    small.delete(B)
    session = open_session(store, tmp_path)
    three = unlearn(session, line[1].label, listed(tmp_path, C), RETRAIN)
    assert len(stored_request(session, three).pseudonyms) == 4
    assert len(session.dataset_of(three).deleted) == 3
    rotate(session)
    small.delete(C)
    again = open_session(store, tmp_path)
    assert len(again.dataset_of(three).deleted) == 4
    with pytest.raises(IntegrityError, match="rows: 4 gone"):
        again.dataset_of(store.resolve("m/1"))


def test_an_interrupted_rotation_goes_on_with_the_same_key(
    store: MemoryStore, line: tuple[ModelRef, ModelRef], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(keys, "replace_key", lambda check: (_ for _ in ()).throw(EnvironmentFailure("disk full")))
        with pytest.raises(EnvironmentFailure):
            rotate(open_session(store, tmp_path))
    with pytest.raises(InputError, match="another key"):
        unlearn(open_session(store, tmp_path), line[1].label, listed(tmp_path, C), RETRAIN)
    entries = len(read_ledger(store, "m").entries)
    rotate(open_session(store, tmp_path))
    assert len(read_ledger(store, "m").entries) == entries
    goes_on(open_session(store, tmp_path), line[1], tmp_path)


def test_a_changed_record_under_the_new_key_is_found(store: MemoryStore, line: tuple[ModelRef, ModelRef], tmp_path: Path) -> None:
    rotate(open_session(store, tmp_path))
    path = next(store.folder.rglob(REKEYED))
    path.write_bytes(path.read_bytes().replace(b'"more":false', b'"more":true '))
    assert {f.error.exit_code for f in verify(store, "m")} == {6}
    with pytest.raises(IntegrityError, match=REKEYED):
        unlearn(open_session(store, tmp_path), line[1].label, listed(tmp_path, C), RETRAIN)


def test_with_a_lost_key_the_list_of_all_earlier_ids_is_accepted_where_it_agrees(
    store: MemoryStore, line: tuple[ModelRef, ModelRef], tmp_path: Path
) -> None:
    one, two = line
    key_path().unlink()
    session = open_session(store, tmp_path)
    for ids, said in (
        ([*A], "2 rows, 2 of them training rows of the data, but 3 were forgotten"),
        ([*A, *C, *B], "4 rows, 4 of them"),
        (["r026", "r027", "r072"], "not as many rows as were forgotten of 'yes / f', 'yes / m'"),
        (["r024", "r025", "nobody"], "3 rows, 2 of them"),
    ):
        with pytest.raises(InputError, match=said):
            rekey_lost(session, two.label, listed(tmp_path, ids))
        assert not key_path().exists()
    assert rekey_lost(session, two.label, listed(tmp_path, [*B, *A])).versions == {"m": 2}
    with pytest.raises(InputError, match="it is not lost"):
        rekey_lost(session, two.label, listed(tmp_path, [*B, *A]))
    with pytest.raises(InputError, match="the key of m/2 was lost"):
        audit(session, one.label, load_named("default"), tmp_path / "no")
    goes_on(open_session(store, tmp_path), two, tmp_path)


EVALUATED = ["r096", "r112"]
"""A validation row and a test row."""


def test_withheld_rows_stay_withheld_under_a_new_key_and_after_they_were_deleted(
    store: MemoryStore, small: SmallData, line: tuple[ModelRef, ModelRef], tmp_path: Path
) -> None:
    session = open_session(store, tmp_path)
    three = unlearn(session, line[1].label, listed(tmp_path, [*C, *EVALUATED]), RETRAIN)
    rotate(session)
    assert stored_request(session, three).withheld == frozenset(pseudonyms(session.key, EVALUATED))
    assert stored_request(session, three).digest == set_digest(session.key, [*A, *B, *C, *EVALUATED])
    small.delete(EVALUATED[1:])
    new = open_session(store, tmp_path)
    assert [row.split for row in new.dataset_of(three).deleted] == ["test"]
    with pytest.raises(IntegrityError, match="rows: 1 gone that no request"):
        new.dataset_of(line[1])
    done = audit(new, three.label, load_named("default"), tmp_path / "out").audit
    assert done.data.splits == {"retain": 92, "forget": 4, "val": 15, "test": 47}
    assert [one.name for one in done.not_measured if "deleted" in one.name] == []
    four = unlearn(new, three.label, listed(tmp_path, ["r072"]), RETRAIN)
    stored = stored_request(new, four)
    assert stored.withheld == frozenset(pseudonyms(new.key, EVALUATED))
    assert len(stored.pseudonyms) == 5
    rotate(new)
    assert stored_request(new, four).withheld >= frozenset(pseudonyms(new.key, EVALUATED[:1]))
    assert len(stored_request(new, four).withheld) == 2


def test_with_a_lost_key_the_list_names_withheld_rows_too(
    store: MemoryStore, line: tuple[ModelRef, ModelRef], tmp_path: Path
) -> None:
    three = unlearn(open_session(store, tmp_path), line[1].label, listed(tmp_path, [*C, *EVALUATED]), RETRAIN)
    key_path().unlink()
    session = open_session(store, tmp_path)
    for ids in ([*A, *B, *C], [*A, *B, *C, *EVALUATED[1:]], [*A, *B, *EVALUATED]):
        with pytest.raises(InputError, match="but 4 and 2 validation and test rows were forgotten"):
            rekey_lost(session, three.label, listed(tmp_path, ids))
    assert rekey_lost(session, three.label, listed(tmp_path, [*EVALUATED, *A, *B, *C])).versions == {"m": 3}
    new = open_session(store, tmp_path)
    assert stored_request(new, three).withheld == frozenset(pseudonyms(new.key, EVALUATED))
    assert stored_request(new, three).pseudonyms == frozenset(pseudonyms(new.key, [*A, *B, *C]))


def test_a_model_of_which_only_the_ledger_is_left_does_not_stop_a_rotation(
    store: MemoryStore, line: tuple[ModelRef, ModelRef], tmp_path: Path
) -> None:
    entry = read_ledger(store, "lost").new_entry("key", version="1", key_check="0" * 32, actor="a", time="t")
    append_entry(store, entry, line[0])
    assert store.models() == ["lost", "m"]
    assert rotate(open_session(store, tmp_path)).versions == {"m": 2}


def test_there_is_nothing_to_rotate_without_a_key(store: MemoryStore, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--earlier-forget"):
        rotate(open_session(store, tmp_path))
