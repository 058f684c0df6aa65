"""External bundles: no predictions, still checked as far as they say, and compared with the internal bundle."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.judged_audits import audited, key_pair, policy, predictions, version
from support.memory_store import MemoryStore

from grmu_audit.auditing.bundle_check import compare_forms, verify_bundle, verify_bundle_bytes
from grmu_audit.auditing.disclosure.external_form import external_form
from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.evidence.archive import pack, unpack
from grmu_audit.evidence.attestation import verdict_statement
from grmu_audit.evidence.signing import load_public_key, sign_envelope
from grmu_audit.records import Audit
from grmu_audit.report import render
from grmu_audit.tracking import Author, promote, sign_off
from grmu_audit.utils import canonical_json, sha256_hex
from grmu_audit.workflows.audits.stored import export_bundle


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path, Path]:
    """An external and an internal bundle of one signed audit, and the public key."""
    store, (private, public) = MemoryStore(tmp_path / "store"), key_pair(tmp_path)
    ref = version(store, "m", tmp_path / "v1")
    audited(store, ref, [predictions(seed, 600) for seed in (700, 701, 702)], policy(), private)
    promote(store, ref.label)
    sign_off(store, ref, "preparer", Author("ana"), "read it")
    monkeypatch.setenv("GRMU_AUDIT_SIGNING_KEY", str(private))
    export_bundle(store, ref.label, tmp_path / "external.zip", "external")
    export_bundle(store, ref.label, tmp_path / "internal.zip")
    return tmp_path / "external.zip", tmp_path / "internal.zip", public


def test_an_external_bundle_agrees_says_what_was_not_checked_and_fits_the_internal_one(
    exported: tuple[Path, Path, Path],
) -> None:
    external, internal, public = exported
    checked = verify_bundle(external, [load_public_key(public)])
    assert (checked.findings, checked.subject, checked.compared) == ((), "m/1", 0)
    assert checked.signed
    assert any(note.startswith("external form: no number was computed again") for note in checked.notes)
    assert any(note.startswith("signed off as preparer by ana") for note in checked.notes)
    assert compare_forms(external, internal) == ()
    files = unpack(external.read_bytes())[0]
    ledger = ["ledger.dsse.json", "ledger.json"]
    assert sorted(files) == ["README.md", "attestation.dsse.json", "audit.json", *ledger, "policy.json", "report.html"]
    with pytest.raises(InputError, match="is an external bundle"):
        compare_forms(external, external)


def test_an_internal_archive_that_was_edited_is_not_compared_with(exported: tuple[Path, Path, Path], tmp_path: Path) -> None:
    external, internal, _ = exported
    edited = tmp_path / "edited.zip"
    edited.write_bytes(internal.read_bytes() + b"x")
    with pytest.raises(IntegrityError, match=r"edited\.zip: the archive itself was edited"):
        compare_forms(external, edited)


def edited(files: dict[str, bytes], edit: Callable[[dict[str, Any]], None]) -> bytes:
    """A consistent, unsigned bundle around an edited form: what a forger can make."""
    tree = json.loads(files["audit.json"])
    edit(tree)
    form = Audit.from_json(tree)
    made = {**files, "audit.json": canonical_json(form.to_json()), "report.html": render(form, "html").encode()}
    named = {name: sha256_hex(made[name]) for name in ("audit.json", "report.html", "policy.json")}
    return pack({**made, "attestation.dsse.json": sign_envelope(verdict_statement(form, named), None)})


def raise_accuracy(tree: dict[str, Any]) -> None:
    next(value for value in tree["metrics"] if value["name"] == "TA")["value"] = 0.999


def drop_a_rule(tree: dict[str, Any]) -> None:
    tree["verdict"]["rules"] = tree["verdict"]["rules"][1:]


def break_a_rule(tree: dict[str, Any]) -> None:
    tree["verdict"]["rules"][0]["decision"] = "BREACH"


def name_another_audit(tree: dict[str, Any]) -> None:
    tree["record"]["internal_audit_sha256"] = "0" * 64


def call_it_another_decision(tree: dict[str, Any]) -> None:
    tree["verdict"]["decision"] = "INCONCLUSIVE"


@pytest.mark.parametrize(
    ("edit", "found"),
    [
        (drop_a_rule, "holds no rule 'accuracy' of the policy"),
        (break_a_rule, "the verdict is PASS, but its rules do not say so: accuracy"),
        (name_another_audit, "is another one than audit.json"),
        (call_it_another_decision, "is another one than audit.json"),
    ],
)
def test_a_forged_form_is_named(exported: tuple[Path, Path, Path], edit: Callable[[dict[str, Any]], None], found: str) -> None:
    external, _, public = exported
    content = edited(unpack(external.read_bytes())[0], edit)
    assert any(found in finding for finding in verify_bundle_bytes(content).findings)
    assert "not signed by any" in verify_bundle_bytes(content, [load_public_key(public)]).findings[0]


def test_a_forged_number_needs_the_key_or_the_internal_bundle_to_be_found(
    exported: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    external, internal, public = exported
    content = edited(unpack(external.read_bytes())[0], raise_accuracy)
    (tmp_path / "forged.zip").write_bytes(content)
    assert verify_bundle_bytes(content).findings == (), "as its note says"
    assert verify_bundle_bytes(content, [load_public_key(public)]).findings
    assert "is not the external form" in compare_forms(tmp_path / "forged.zip", internal)[0]


def test_the_form_in_the_bundle_is_that_of_the_stored_audit(exported: tuple[Path, Path, Path]) -> None:
    external, internal, _ = exported
    whole = unpack(internal.read_bytes())[0]["audit.json"]
    form = external_form(Audit.from_json(json.loads(whole)), sha256_hex(whole))
    assert canonical_json(form.to_json()) == unpack(external.read_bytes())[0]["audit.json"]
