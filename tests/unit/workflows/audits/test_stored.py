"""Bundles of stored audits: the same bytes each time, and none of what was not audited or was changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.judged_audits import audited, policy, predictions, version
from support.memory_store import MemoryStore

from grmu_audit.errors import InconclusiveError, IntegrityError
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
