"""Somebody who can write to the registry and knows the form of the ledger: every hash is made to fit again."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.judged_audits import audit_of, inputs_of, key_pair, policy, predictions, version
from support.memory_store import MemoryStore

from grmu_audit.auditing.evidence_files import evidence_files
from grmu_audit.errors import ExitCode, GrmuAuditError, IntegrityError
from grmu_audit.evidence.attestation import ledger_head_of, statement
from grmu_audit.evidence.ledger import TAG_ENTRY, TAG_ENTRY_SHA256, LedgerHead
from grmu_audit.evidence.signing import load_public_key, load_signer
from grmu_audit.tracking import Actor, Author, Requirements, promote, read_ledger, record_audit, verify
from grmu_audit.tracking.names import TAG_REGISTRATION
from grmu_audit.utils import canonical_json, sha256_hex

ALICE = Actor("alice", "release")
Edit = Callable[[int, dict[str, Any]], None]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return key_pair(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def required(keys: tuple[Path, Path]) -> Requirements:
    return Requirements(keys=(load_public_key(keys[1]),))


@pytest.fixture
def store(tmp_path: Path, keys: tuple[Path, Path]) -> MemoryStore:
    """Two references, a champion that was compared with them, and a candidate that was, too; every audit is signed."""
    made = MemoryStore(tmp_path / "store")
    refs = [version(made, "m", tmp_path / f"v{number}", f"weights {number}".encode()) for number in range(4)]
    for ref in refs[2:]:
        judged = replace(audit_of(ref, [predictions(100)], policy()), references=tuple(refs[:2]))
        files = evidence_files(judged, policy(), inputs_of(ref, [predictions(100)]))
        with made.run("m", "audit") as run:
            record_audit(made, run, judged, files, Author("auditor", load_signer(keys[0])))
    promote(made, refs[2], ALICE)
    with made.run("m", "audit") as run:
        record_audit(made, run, judged, files, Author("auditor", load_signer(keys[0])))
    return made


def rewrite(store: MemoryStore, edit: Edit) -> None:
    """Edit entries of the ledger, and make digests and chain fit."""
    hashes = [sha256_hex(b"m")]
    for number, entry in enumerate(store.entries("m--ledger"), 1):
        tree = json.loads(entry.tags[TAG_ENTRY])
        edit(number, tree)
        tree["chain_sha256"] = hashes[tree["previous"]]
        text = canonical_json(tree)
        tags = {**entry.tags, TAG_ENTRY: text.decode(), TAG_ENTRY_SHA256: sha256_hex(text)}
        store._logs["m--ledger"][number - 1] = replace(entry, tags=tags)
        hashes.append(sha256_hex((hashes[-1] + sha256_hex(text)).encode()))
    read_ledger(store, "m")


def refused(store: MemoryStore, required: Requirements) -> str:
    """What ``verify`` finds, after ``promote`` has refused the candidate."""
    findings = verify(store, "m", requirements=required)
    assert {finding.error.exit_code for finding in findings} == {ExitCode.INTEGRITY}
    with pytest.raises(IntegrityError):
        promote(store, "m/4", ALICE, requirements=required)
    return " | ".join(finding.message for finding in findings)


def test_an_honest_ledger(store: MemoryStore, required: Requirements) -> None:
    rewrite(store, lambda number, entry: None)
    assert verify(store, "m", requirements=required) == []
    assert promote(store, "m/4", ALICE, requirements=required).changed


def test_who_promoted_before_a_signed_audit(store: MemoryStore, required: Requirements) -> None:
    def edit(number: int, entry: dict[str, Any]) -> None:
        if entry["kind"] == "promote":
            entry["actor"] = "bob"

    rewrite(store, edit)
    assert "the ledger of m does not begin with the 8 entries that m/4 was audited after" in refused(store, required)


def test_a_record_of_a_reference(store: MemoryStore, required: Requirements) -> None:
    """The predictions of a reference are swapped, its record, tag and the whole ledger are made to fit."""
    ref = store.resolve("m/1")
    (store.folder / str(ref.run_id) / "predictions.parquet").write_bytes(b"better ones")
    digests = list[str]()

    def edit(number: int, entry: dict[str, Any]) -> None:
        if entry["kind"] == "registration" and entry["run"] == ref.run_id:
            envelope = json.loads(entry["envelope"])
            told = json.loads(base64.b64decode(envelope["payload"]))
            named = {"name": "predictions.parquet", "digest": {"sha256": sha256_hex(b"better ones")}}
            told["subject"] = sorted([*told["subject"], named], key=lambda one: str(one["name"]))
            envelope["payload"] = base64.b64encode(canonical_json(told)).decode()
            entry["envelope"] = canonical_json(envelope).decode()
            digests.append(sha256_hex(entry["envelope"].encode()))

    rewrite(store, edit)
    store.tag(ref, {TAG_REGISTRATION: digests[0]})
    assert "does not begin with the 4 entries that m/3 was audited after" in refused(store, required)


def test_a_ledger_that_was_cut_before_a_signed_audit(store: MemoryStore, required: Requirements) -> None:
    """The audits of the candidate name a longer ledger than there is."""
    head = read_ledger(store, "m").head
    assert head.entries == 9
    short = replace(read_ledger(store, "m"), entries=read_ledger(store, "m").entries[:8])
    assert short.begins_with(short.head)
    assert not short.begins_with(head)
    assert not short.begins_with(replace(short.head, entries=7))


def test_references_that_change_their_numbers(store: MemoryStore, required: Requirements) -> None:
    versions = store._models["m"]
    versions["1"], versions["2"] = versions["2"], versions["1"]
    assert "m/1 has other files than it had in the audit of m/4: versions were exchanged" in refused(store, required)


def test_a_ledger_that_is_gone_with_its_alias(store: MemoryStore, required: Requirements) -> None:
    """No version is of before records if its tags name an audit."""
    store.delete_alias("m", "champion")
    del store._logs["m--ledger"]
    assert "the tags of m/3 do not name the audit that the ledger names as its newest" in refused(store, required)


@pytest.mark.parametrize("told", [{"entries": "2", "sha256": "0"}, {"entries": 2}, {"entries": -1, "sha256": "0"}, [1, "0"], 3])
def test_a_head_of_no_known_form_is_damage(told: object) -> None:
    with pytest.raises(GrmuAuditError) as caught:
        ledger_head_of(statement("x", {}, {"urn:grmu-audit:ledger:v1": told}))
    assert caught.value.exit_code is ExitCode.INTEGRITY


def test_a_statement_of_before_names_no_ledger() -> None:
    assert ledger_head_of(statement("x", {}, {"result": "PASSED"})) is None
    assert ledger_head_of(statement("x", {}, {"urn:grmu-audit:ledger:v1": {"entries": 0, "sha256": "a"}})) == LedgerHead(0, "a")
