"""Signing a version in a store: entered in the ledger, bound to the registered files, and checked from there or offline."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.judged_audits import version
from support.memory_store import MemoryStore

from grmu_audit.errors import InconclusiveError, InputError, IntegrityError
from grmu_audit.evidence.model_signatures import generate_model_keys
from grmu_audit.records import ModelRef
from grmu_audit.tracking import read_ledger
from grmu_audit.tracking.artifacts import SERVED_MARK, is_served_mark, served_marks
from grmu_audit.workflows.operations import model_signing
from grmu_audit.workflows.operations.model_signing import sign_model, verify_folder, verify_model
from grmu_audit.workflows.session import Session


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """A store with one version, and two key pairs beside it."""
    found = Session(actor="ana")
    found.store = MemoryStore(tmp_path / "store")
    version(found.store, "faces", tmp_path / "v1")
    for name in ("model", "other"):
        generate_model_keys(tmp_path / f"{name}.key", tmp_path / f"{name}.pub")
    return found


def test_a_signature_is_in_the_ledger_and_in_a_file(session: Session, tmp_path: Path) -> None:
    with pytest.raises(
        InconclusiveError, match=r"are not signed: run 'grmu-audit evidence sign-model --model faces/1 --key KEY'"
    ):
        verify_model(session, "faces/1", tmp_path / "model.pub")
    ref, key, number = sign_model(session, "faces/1", tmp_path / "model.key", tmp_path / "out" / "faces.sig")
    entry = read_ledger(session.store, "faces").entries[number - 1].entry
    assert (entry.kind, entry.version, entry.actor, entry.manifest_sha256) == ("signature", "1", "ana", ref.manifest_sha256)
    assert entry.envelope == (tmp_path / "out" / "faces.sig").read_text()
    assert verify_model(session, "faces/1", tmp_path / "model.pub").label == "faces/1"
    with pytest.raises(IntegrityError, match=rf"did not sign the files of faces/1: key {key[:16]}\.\.\. did"):
        verify_model(session, "faces/1", tmp_path / "other.pub")
    sign_model(session, "faces/1", tmp_path / "other.key", tmp_path / "second.sig")
    for name in ("model", "other"):
        verify_model(session, "faces/1", tmp_path / f"{name}.pub")


def test_files_that_are_not_the_registered_ones_are_neither_signed_nor_verified(session: Session, tmp_path: Path) -> None:
    sign_model(session, "faces/1", tmp_path / "model.key", tmp_path / "faces.sig")
    weights = next((tmp_path / "store").rglob("state.safetensors"))
    weights.write_bytes(b"other weights")
    with pytest.raises(IntegrityError, match="are not those that were registered"):
        verify_model(session, "faces/1", tmp_path / "model.pub")
    with pytest.raises(IntegrityError, match="are not those that were registered"):
        sign_model(session, "faces/1", tmp_path / "model.key", tmp_path / "again.sig")
    assert not (tmp_path / "again.sig").exists()
    assert len([n for n in read_ledger(session.store, "faces").entries if n.entry.kind == "signature"]) == 1


def test_a_signature_that_the_ledger_cannot_hold_is_not_written(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_signing, "LARGEST_ENTRY", 100)
    with pytest.raises(InputError, match="more files than the ledger can hold a signature of"):
        sign_model(session, "faces/1", tmp_path / "model.key", tmp_path / "faces.sig")
    assert not (tmp_path / "faces.sig").exists()


def test_a_folder_is_checked_without_a_store_and_mlflows_mark_in_it_does_not_count(session: Session, tmp_path: Path) -> None:
    sign_model(session, "faces/1", tmp_path / "model.key", tmp_path / "faces.sig")
    folder = session.store.fetch(session.store.resolve("faces/1"), tmp_path / "files")
    verify_folder(folder, tmp_path / "faces.sig", tmp_path / "model.pub")
    (folder / SERVED_MARK).write_bytes(served_marks(ModelRef("faces", "1"))[0])
    verify_folder(folder, tmp_path / "faces.sig", tmp_path / "model.pub")
    (folder / SERVED_MARK).write_bytes(b"model_name: faces\nmodel_version: '1'\nrun: rm\n")
    with pytest.raises(IntegrityError, match=r"Extra files .*registered_model_meta"):
        verify_folder(folder, tmp_path / "faces.sig", tmp_path / "model.pub")
    with pytest.raises(InputError, match="is not a folder"):
        verify_folder(tmp_path / "none", tmp_path / "faces.sig", tmp_path / "model.pub")
    with pytest.raises(InputError, match="cannot be read: No such file"):
        verify_folder(folder, tmp_path / "none.sig", tmp_path / "model.pub")


@pytest.mark.parametrize("content", [b"", b"[]", b"model_name: [", b"\xff\xfe", b"model_name: a\n" * 200])
def test_only_mlflows_own_mark_is_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / SERVED_MARK).write_bytes(content)
    assert not is_served_mark(tmp_path / SERVED_MARK)
    assert not is_served_mark(tmp_path / "none")


def test_a_folder_or_signature_that_is_not_there_is_named(session: Session, tmp_path: Path) -> None:
    sign_model(session, "faces/1", tmp_path / "model.key", tmp_path / "faces.sig")
    for folder in (tmp_path / "none", tmp_path / "faces.sig"):
        with pytest.raises(InputError, match=f"{folder} is not a folder: give the folder of the version's files"):
            verify_folder(folder, tmp_path / "faces.sig", tmp_path / "model.pub")
    with pytest.raises(InputError, match=r"none.sig: cannot be read: No such file"):
        verify_folder(tmp_path / "v1", tmp_path / "none.sig", tmp_path / "model.pub")
    verify_folder(tmp_path / "v1", tmp_path / "faces.sig", tmp_path / "model.pub")
