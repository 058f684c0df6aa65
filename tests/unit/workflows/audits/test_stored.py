"""Bundles of stored audits: the same bytes each time, and none of what was not audited or was changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.judged_audits import audit_of, audited, inputs_of, policy, predictions, version
from support.memory_store import MemoryStore

from grmu_audit.auditing.evidence_files import evidence_files
from grmu_audit.errors import InconclusiveError, IntegrityError
from grmu_audit.tracking import record_audit
from grmu_audit.utils import sha256_hex
from grmu_audit.workflows.audits.stored import export_bundle


def test_export_gives_the_same_bytes(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "same-store")
    ref = version(store, "same", tmp_path / "same-v1")
    audited(store, ref, [predictions(300)], policy())
    digests = {export_bundle(store, ref.label, tmp_path / f"same-{i}.zip") for i in range(2)}
    assert digests == {sha256_hex((tmp_path / "same-0.zip").read_bytes())}


def test_nothing_is_exported_of_a_version_that_was_not_audited(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "none-store")
    ref = version(store, "none", tmp_path / "none-v1")
    with pytest.raises(InconclusiveError):
        export_bundle(store, ref.label, tmp_path / "none.zip")
    assert not (tmp_path / "none.zip").exists()


def test_an_audit_that_was_changed_in_the_store_is_not_exported(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "hurt-store")
    ref = version(store, "hurt", tmp_path / "hurt-v1")
    audited(store, ref, [predictions(500)], policy())
    page = next((tmp_path / "hurt-store").rglob("report.html"))
    page.write_bytes(page.read_bytes() + b" ")
    with pytest.raises(IntegrityError, match=r"report.html .* was changed"):
        export_bundle(store, ref.label, tmp_path / "hurt.zip")
    assert not (tmp_path / "hurt.zip").exists()


def test_an_audit_that_was_not_judged_is_not_exported(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "store")
    ref = version(store, "plain", tmp_path / "v1")
    with store.run("plain", "audit") as run:
        record_audit(store, run, replace(audit_of(ref, [predictions(300)], policy()), verdict=None))
    with pytest.raises(InconclusiveError, match="the audit of plain/1 was not attested: audit it again with a policy"):
        export_bundle(store, ref.label, tmp_path / "plain.zip")
    assert not (tmp_path / "plain.zip").exists()


def test_an_audit_that_names_the_seed_of_its_forget_list_is_not_exported(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "store")
    ref, tables = version(store, "old", tmp_path / "v1"), [predictions(300)]
    made = audit_of(ref, tables, policy())
    told = replace(made, forget=replace(made.forget, request={**made.forget.request, "seed": 7}))
    with store.run("old", "audit") as run:
        record_audit(store, run, told, evidence_files(told, policy(), inputs_of(ref, tables)))
    with pytest.raises(InconclusiveError, match=r"the audit of old/1, .* names the seed that the forget list was sampled with"):
        export_bundle(store, ref.label, tmp_path / "old.zip")
    assert not (tmp_path / "old.zip").exists()
