"""Hands that edit: verify names each thing that was changed behind the ledger's back, on every store."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.judged_audits import audited, key_pair, policy, predictions, version

from grmu_audit.errors import GrmuAuditError, InconclusiveError, InputError, IntegrityError
from grmu_audit.evidence.signing import load_public_key, load_signer
from grmu_audit.policy import policy_sha256
from grmu_audit.records import ModelRef
from grmu_audit.tracking import Actor, Author, Requirements, Store, promote, rollback, sign_off, verify

_names = itertools.count(1)
ALICE = Actor("alice")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    plain_client = metafunc.function in (test_a_deleted_version_and_a_deleted_run, test_every_tag_of_every_ledger_entry)
    stores = ["mlflow-sqlite"] if plain_client else ["memory", "mlflow-sqlite"]
    metafunc.parametrize("opened", stores, indirect=True, scope="module")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    private, public = key_pair(tmp_path_factory.mktemp("keys"))
    return private, load_public_key(public)


@pytest.fixture
def ref(store: Store, tmp_path: Path, pair: tuple[Path, Any]) -> ModelRef:
    """A signed champion."""
    made = version(store, f"edited-{next(_names)}", tmp_path / "v")
    audited(store, made, [predictions(100)], policy(), pair[0])
    promote(store, made, ALICE)
    assert verify(store, made.name, requirements=Requirements(keys=(pair[1],))) == []
    return made


def said(store: Store, name: str) -> str:
    return " | ".join(f"{finding.check}: {finding.message}" for finding in verify(store, name))


def hurt(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


AUDIT_FILES = ["audit.json", "report.html", "policy.json", "predictions/candidate.parquet", "data_quality.json",
               "attestation.dsse.json"]  # fmt: skip


@pytest.mark.parametrize("name", AUDIT_FILES)
@pytest.mark.parametrize("gone", [False, True], ids=["edited", "gone"])
def test_every_file_of_an_audit(store: Store, stored: Callable[[str, str], Path], ref: ModelRef, name: str, gone: bool) -> None:
    path = stored(store.tags(ref)["grmu.audit_run"], name)
    if gone:
        path.unlink()
    else:
        hurt(path)
    wanted = "the attestation" if name == "attestation.dsse.json" else name
    assert wanted in said(store, ref.name)
    with pytest.raises(IntegrityError):
        promote(store, ref, ALICE)


@pytest.mark.parametrize("name", ["state.safetensors", "model.json"])
def test_every_file_of_a_version(store: Store, stored: Callable[[str, str], Path], ref: ModelRef, name: str) -> None:
    hurt(stored(str(ref.run_id), f"model/{name}"))
    assert "not those that were registered" in said(store, ref.name)


def test_a_file_added_to_a_version(store: Store, stored: Callable[[str, str], Path], ref: ModelRef) -> None:
    stored(str(ref.run_id), "model/notes.txt").write_bytes(b"one more")
    assert "not those that were registered" in said(store, ref.name)
    stored(str(ref.run_id), "model/evil.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    assert "is a pickle" in said(store, ref.name)


@pytest.mark.parametrize("tag", ["grmu.audit_run", "grmu.audit_sha256", "grmu.verdict", "grmu.policy_sha256"])
def test_the_index_of_the_audit(store: Store, ref: ModelRef, tag: str) -> None:
    store.tag(ref, {tag: store.tags(ref)[tag][:-1] + "x"})
    assert "do not name the audit that the ledger names" in said(store, ref.name)


def test_the_manifest_tag(store: Store, ref: ModelRef) -> None:
    store.tag(ref, {"grmu.manifest_sha256": "0" * 64})
    assert f"tag 'grmu.manifest_sha256' of {ref.label} is not what it was at registration" in said(store, ref.name)


def test_an_alias_moved_by_the_plain_client(store: Store, tmp_path: Path, ref: ModelRef) -> None:
    other = version(store, ref.name, tmp_path / "other")
    store.set_alias(ref.name, "champion", other.version)
    assert "moved by hand" in said(store, ref.name)
    store.delete_alias(ref.name, "champion")
    assert "moved by hand" in said(store, ref.name)


def test_a_newer_audit_replaced_by_an_older(store: Store, ref: ModelRef, pair: tuple[Path, Any]) -> None:
    old = store.tags(ref)
    audited(store, ref, [predictions(100)], policy(0.999), pair[0])
    store.tag(ref, {key: old[key] for key in ("grmu.audit_run", "grmu.audit_sha256", "grmu.verdict")})
    assert "an older audit was put in place of a newer one" in said(store, ref.name)


def test_a_deleted_version_and_a_deleted_run(opened: tuple[Store, Path], tmp_path: Path, ref: ModelRef) -> None:
    store = opened[0]
    client: Any = store._client  # type: ignore[attr-defined]
    client.delete_run(store.tags(ref)["grmu.audit_run"])
    assert "is gone" in said(store, ref.name)
    client.restore_run(store.tags(ref)["grmu.audit_run"])
    assert said(store, ref.name) == ""
    client.delete_run(ref.run_id)
    assert "was deleted" in said(store, ref.name)
    client.restore_run(ref.run_id)
    client.delete_model_version(ref.name, ref.version)
    found = verify(store, ref.name)
    assert {int(finding.error.exit_code) for finding in found} == {6}
    assert "was deleted from the registry" in said(store, ref.name)


def test_every_tag_of_every_ledger_entry(opened: tuple[Store, Path], ref: ModelRef) -> None:
    store = opened[0]
    client: Any = store._client  # type: ignore[attr-defined]
    log = f"{ref.name}--ledger"
    for entry in store.entries(log):
        for tag, value in entry.tags.items():
            for at in sorted({0, len(value) // 3, len(value) // 2, len(value) - 1}):
                edited = value[:at] + chr(ord(value[at]) ^ 1) + value[at + 1 :]
                client.set_model_version_tag(log, str(entry.number), tag, edited)
                assert f"entry {entry.number}" in said(store, ref.name), (entry.number, tag, at)
            client.set_model_version_tag(log, str(entry.number), tag, value)
    assert said(store, ref.name) == ""
    client.delete_model_version(log, "1")
    assert "entry 1 is missing" in said(store, ref.name)


def refusal(action: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(GrmuAuditError) as caught:
        action()
    return int(caught.value.exit_code), str(caught.value)


def test_each_reason_to_refuse_has_its_own_message_and_code(store: Store, tmp_path: Path, pair: tuple[Path, Any]) -> None:
    name = f"refused-{next(_names)}"
    made = version(store, name, tmp_path / "v")
    refusals: list[tuple[int, str]] = []

    def judged(
        bound: float = 0.3, key: Path | None = pair[0], waivers: tuple[dict[str, str], ...] = (), **record: object
    ) -> None:
        audited(store, made, [predictions(100)], policy(bound, waivers=waivers), key, **record)

    judged(created="2026-01-01T00:00:00Z", expires="2026-02-01T00:00:00Z")
    refusals.append(refusal(lambda: promote(store, made, ALICE)))
    judged(created="2999-01-01T00:00:00Z")
    refusals.append(refusal(lambda: promote(store, made, ALICE)))
    judged()
    other_policy = Requirements(policy_sha256=policy_sha256(policy(0.4)))
    refusals.append(refusal(lambda: promote(store, made, ALICE, requirements=other_policy)))
    refusals.append(refusal(lambda: promote(store, made, ALICE, requirements=Requirements(sign_off=True))))
    waiver = {"rule": "accuracy", "reason": "GOV-1", "approved_by": "board", "expires": "2020-01-31"}
    judged(0.9999, waivers=(waiver,))
    refusals.append(refusal(lambda: promote(store, made, ALICE)))
    judged(key=None)
    refusals.append(refusal(lambda: promote(store, made, ALICE, requirements=Requirements(keys=(pair[1],)))))
    sign_off(store, made, "preparer", Author("Ana"))
    refusals.append(refusal(lambda: sign_off(store, made, "reviewer", Author("ana "))))
    refusals.append(refusal(lambda: sign_off(store, made, "preparer", Author("ben"))))
    assert [code for code, _ in refusals] == [6, 6, 6, 3, 1, 6, 2, 2]
    words = ["expired on", "in the future", "another policy", "not signed off by a preparer", "expired on 2020-01-31",
             "not signed by any", "must be two people", "already"]  # fmt: skip
    assert [word for (_, message), word in zip(refusals, words, strict=True) if word not in message] == []
    assert len({message for _, message in refusals}) == len(refusals)
    assert store.aliases(name) == {}


def test_a_waived_breach_is_promoted_and_attested_as_warned(store: Store, tmp_path: Path, pair: tuple[Path, Any]) -> None:
    import json

    from grmu_audit.evidence.signing import open_envelope

    made = version(store, f"waived-{next(_names)}", tmp_path / "v")
    waiver = {"rule": "accuracy", "reason": "GOV-1", "approved_by": "board", "expires": "2999-01-31"}
    audited(store, made, [predictions(100)], policy(0.9999, waivers=(waiver,)), pair[0])
    assert promote(store, made, ALICE).changed
    envelope = store.run_artifact(store.tags(made)["grmu.audit_run"], "attestation.dsse.json")
    assert envelope is not None
    predicate = json.loads(open_envelope(envelope).payload)["predicate"]
    assert (predicate["result"], predicate["failedTests"]) == ("WARNED", [])
    assert "accuracy" in predicate["warnedTests"]


def test_two_people_with_two_keys_sign_off(store: Store, tmp_path: Path, pair: tuple[Path, Any]) -> None:
    made = version(store, f"signed-{next(_names)}", tmp_path / "v")
    audited(store, made, [predictions(100)], policy(), pair[0])
    other, public = key_pair(tmp_path, "ben")
    sign_off(store, made, "preparer", Author("ana", load_signer(pair[0])))
    with pytest.raises(InputError, match="same key"):
        sign_off(store, made, "reviewer", Author("ben", load_signer(pair[0])))
    requirements = Requirements(policy_sha256(policy()), sign_off=True, keys=(pair[1], load_public_key(public)))
    with pytest.raises(InconclusiveError, match="reviewer"):
        promote(store, made, ALICE, requirements=requirements)
    sign_off(store, made, "reviewer", Author("ben", load_signer(other)))
    assert promote(store, made, ALICE, requirements=requirements).changed
    assert verify(store, made.name, requirements=requirements) == []
    audited(store, made, [predictions(100)], policy(), pair[0], run="again")
    assert "not signed off by a preparer" in verify(store, made.name, requirements=requirements)[0].message


def test_a_rollback_asks_for_the_same(store: Store, tmp_path: Path) -> None:
    name = f"back-{next(_names)}"
    for i in range(2):
        made = version(store, name, tmp_path / f"v{i}", str(i).encode())
        audited(store, made, [predictions(100)], policy())
        promote(store, made, ALICE)
    with pytest.raises(IntegrityError, match="another policy"):
        rollback(store, name, Actor("alice", "why"), requirements=Requirements(policy_sha256="0" * 64))
    assert store.aliases(name) == {"champion": "2"}


def test_the_folder_of_a_version_is_gone(store: Store, stored: Callable[[str, str], Path], ref: ModelRef) -> None:
    shutil.rmtree(stored(str(ref.run_id), "model"))
    assert "are gone from the store" in said(store, ref.name)
