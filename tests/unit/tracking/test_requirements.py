"""An attestation is about one audit, its policy and the files of one version; a promotion keeps the policy it was begun with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.judged_audits import audit_of, audited, key_pair, policy, predictions, version
from support.memory_store import MemoryStore

from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.evidence.signing import load_public_key
from grmu_audit.policy import policy_sha256
from grmu_audit.records import ModelRef
from grmu_audit.tracking import Actor, Requirements, promote, read_evidence, read_ledger, record_audit
from grmu_audit.tracking.audits import Evidence
from grmu_audit.tracking.requirements import check_attestation, sign_off_asked


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    return MemoryStore(tmp_path / "store")


@pytest.fixture
def ref(store: MemoryStore, tmp_path: Path) -> ModelRef:
    return version(store, "m", tmp_path / "v1")


def unjudged(store: MemoryStore, ref: ModelRef) -> None:
    """A newest audit without a verdict, which nothing attests."""
    with store.run(ref.name, "audit") as run:
        record_audit(store, run, replace(audit_of(ref, [predictions(100)], policy()), verdict=None))


def test_a_signature_is_missing_where_nothing_was_attested(store: MemoryStore, ref: ModelRef, tmp_path: Path) -> None:
    unjudged(store, ref)
    evidence = read_evidence(store, ref)
    check_attestation(store, evidence)
    with pytest.raises(IntegrityError, match="the verdict of m/1 was never attested, but a signature is required"):
        check_attestation(store, evidence, (load_public_key(key_pair(tmp_path)[1]),))


def _other_audit(evidence: Evidence) -> Evidence:
    return replace(evidence, sha256="0" * 64)


def _other_files(evidence: Evidence) -> Evidence:
    return replace(evidence, ref=replace(evidence.ref, manifest_sha256="0" * 64))


def _other_policy(evidence: Evidence) -> Evidence:
    verdict = evidence.audit.verdict
    assert verdict is not None
    return replace(evidence, audit=replace(evidence.audit, verdict=replace(verdict, policy_sha256="0" * 64)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_other_audit, "the attestation of m/1 is about other files or another audit"),
        (_other_files, "the attestation of m/1 is about other files or another audit"),
        (_other_policy, r"policy.json of the audit of m/1 is not the policy that the verdict names"),
    ],
)
def test_an_attestation_about_something_else_is_refused(
    store: MemoryStore, ref: ModelRef, change: Callable[[Evidence], Evidence], said: str
) -> None:
    audited(store, ref, [predictions(100)], policy())
    evidence = read_evidence(store, ref)
    check_attestation(store, evidence)
    with pytest.raises(IntegrityError, match=said):
        check_attestation(store, change(evidence))


def test_a_promotion_that_was_begun_with_a_policy_keeps_it(store: MemoryStore, ref: ModelRef) -> None:
    given, other = policy_sha256(policy()), policy_sha256(policy(0.4))
    begun = read_ledger(store, "m").new_entry("promote", version="1", required=Requirements(policy_sha256=given).recorded())
    assert Requirements().joined(begun).policy_sha256 == given
    assert Requirements(policy_sha256=given).joined(begun).policy_sha256 == given
    with pytest.raises(InputError, match=rf"the promote of m/1 was begun with another --policy \({given[:16]}\.\.\.\) than"):
        Requirements(policy_sha256=other).joined(begun)


def test_an_audit_without_a_verdict_asks_for_nobody(store: MemoryStore, ref: ModelRef) -> None:
    audited(store, ref, [predictions(100)], policy())
    promote(store, ref, Actor("alice", "release"))
    unjudged(store, ref)
    assert sign_off_asked(store, read_ledger(store, "m")) == ""
    audited(store, ref, [predictions(100)], policy(sign_off="two_people"))
    assert "m/1" in sign_off_asked(store, read_ledger(store, "m"))
