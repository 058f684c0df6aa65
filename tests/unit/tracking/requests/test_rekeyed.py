"""Records under a new key count only as the ledger names them."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.judged_audits import DATA, version
from support.memory_store import MemoryStore

from grmu_audit.errors import IntegrityError
from grmu_audit.records import ModelRef
from grmu_audit.tracking import read_ledger
from grmu_audit.tracking.ledger import append_entry
from grmu_audit.tracking.names import REKEYED
from grmu_audit.tracking.requests.pending import received_requests
from grmu_audit.tracking.requests.rekeyed import read_rekeyed, rekeyed_artifact, rekeyed_rows, rows_artifact
from grmu_audit.utils import sha256_hex

NEW, OLD = "1" * 32, "2" * 32


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    return MemoryStore(tmp_path / "store")


@pytest.fixture
def ref(store: MemoryStore, tmp_path: Path) -> ModelRef:
    return version(store, "m", tmp_path / "v1", data_digest=DATA)


def entered(store: MemoryStore, ref: ModelRef, check: str, rows: dict[str, bytes], waiting: str = "") -> Path:
    """A record of rows under the key of a check value; returns the folder of its run."""
    with store.run("m", "rekey") as run:
        for digest, content in rows.items():
            run.log_bytes(content, rows_artifact(digest))
        digests = {digest: sha256_hex(content) for digest, content in rows.items()}
        record = rekeyed_artifact({}, digests, {waiting: ("hmac-sha256:00", frozenset("a"))} if waiting else {})
        run.log_bytes(record, REKEYED)
    entry = read_ledger(store, "m").new_entry(
        "key", version=ref.version, key_check=check, rekeyed_run=run.id, rekeyed_sha256=sha256_hex(record)
    )
    append_entry(store, entry, ref)
    return store.folder / run.id


def test_rows_are_found_by_key_and_data(store: MemoryStore, ref: ModelRef) -> None:
    assert rekeyed_rows(store, ref, NEW) is None
    entered(store, ref, OLD, {DATA: b"under the old key"})
    assert rekeyed_rows(store, ref, NEW) is None
    entered(store, ref, NEW, {DATA: b"under the new key"})
    entered(store, ref, NEW, {"e" * 64: b"of other data"})
    assert rekeyed_rows(store, ref, NEW) == b"under the new key"
    assert rekeyed_rows(store, ref, OLD) == b"under the old key"


@pytest.mark.parametrize("deed", ["changed", "gone"])
@pytest.mark.parametrize("name", [REKEYED, rows_artifact(DATA)])
def test_a_record_that_the_ledger_does_not_name_is_refused(store: MemoryStore, ref: ModelRef, name: str, deed: str) -> None:
    path = entered(store, ref, NEW, {DATA: b"rows"}) / name
    if deed == "changed":
        path.write_bytes(path.read_bytes() + b" ")
    else:
        path.unlink()
    of_rows = "the rows of m/1 under the present key are not those that the ledger names"
    with pytest.raises(IntegrityError, match=of_rows if name != REKEYED else f"{REKEYED} of m is gone or is not the record"):
        rekeyed_rows(store, ref, NEW)
    if name == REKEYED:
        with pytest.raises(IntegrityError, match=f"{REKEYED} of m is gone or is not the record that the ledger names"):
            read_rekeyed(store, "m")


def test_a_request_that_does_not_wait_any_more_is_not_brought_back_by_a_new_key(store: MemoryStore, ref: ModelRef) -> None:
    entered(store, ref, NEW, {}, waiting="R-9")
    assert received_requests(store, read_ledger(store, "m")) == []
