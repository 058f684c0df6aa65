"""The record of a version's request."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.memory_store import MemoryStore
from support.requests import KEY, version_without

from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.evidence import pseudonyms
from grmu_audit.tracking.requests import Lineages
from grmu_audit.tracking.requests.records import read_request_record


def test_a_record_is_read_for_the_forget_set_of_its_version_alone(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    store = MemoryStore(tmp_path / "store")
    base = version_without(store, "m", [])
    made = version_without(store, "m", ["a", "b"], base, "R-1")
    assert read_request_record(store, made).pseudonyms == frozenset(pseudonyms(KEY, ["a", "b"]))
    for ref in (base, replace(made, run_id=None)):
        with pytest.raises(InputError, match=f"{ref.label} was created without a forget request"):
            read_request_record(store, ref)
    with pytest.raises(IntegrityError, match=r"request.json of m/2 belongs to another forget set than the version's tag says"):
        read_request_record(store, replace(made, forget_digest="hmac-sha256:00"))


def test_a_lineage_that_was_cut_needs_the_request_of_the_oldest_version(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    store = MemoryStore(tmp_path / "store")
    one = version_without(store, "m", ["a"], version_without(store, "m", []), "R-1")
    two = version_without(store, "m", ["b"], one, "R-2", union=["a", "b"])
    store._models["m"].pop("2")
    assert [ref.version for ref in Lineages(store).line(two)] == ["3"]
    with pytest.raises(IntegrityError, match="m/2, the parent of m/3, was deleted: nothing shows which requests it had served"):
        Lineages(store).line(replace(two, request_digest=None))
