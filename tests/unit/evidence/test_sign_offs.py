"""Two people: by account where nothing is signed, by key where trusted keys sign."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.judged_audits import audit_of, key_pair, policy, predictions

from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.evidence.attestation import PURGE_FILE, SIGN_OFF, sign_off_statement, statement
from grmu_audit.evidence.ledger import Entry
from grmu_audit.evidence.sign_offs import check_statement, refuse_conflict, require_two_people
from grmu_audit.evidence.signing import load_public_key, load_signer, sign_envelope
from grmu_audit.records import ModelRef

TIME = "2026-01-31T12:00:00+00:00"
AUDIT = audit_of(ModelRef("faces", "7", manifest_sha256="a" * 64), [predictions(100)], policy())


def entry(role: str, actor: str, account: str | None, key: Path | None = None) -> Entry:
    said = {"role": role, "person": actor, "time": TIME, "note": "", "account": account}
    envelope = sign_envelope(sign_off_statement(AUDIT, "c" * 64, **said), load_signer(key) if key else None)
    return Entry("sign-off", "faces", 0, "", "7", audit_sha256="c" * 64, actor=actor, time=TIME, role=role, account=account,
                 envelope=envelope.decode())  # fmt: skip


def both(accounts: tuple[str | None, str | None], *keys: Path) -> dict[str, Entry]:
    one, other = keys or (None, None)
    return {"preparer": entry("preparer", "ana", accounts[0], one), "reviewer": entry("reviewer", "ben", accounts[1], other)}


ONE_ACCOUNT = [("os:root", "os:root"), ("mlflow:ci", "mlflow:ci"), ("mlflow:ana", "os:ben"), (None, None), ("os:root", None)]
TWO_ACCOUNTS = [("mlflow:ana", "mlflow:ben"), ("os:ana", "os:ben")]


@pytest.mark.parametrize("accounts", ONE_ACCOUNT)
def test_two_names_of_one_account_are_one_person(accounts: tuple[str | None, str | None]) -> None:
    found = both(accounts)
    with pytest.raises(IntegrityError, match="account"):
        require_two_people(found, "faces/7")
    with pytest.raises(InputError, match="account"):
        refuse_conflict({"preparer": found["preparer"]}, found["reviewer"], "faces/7")


@pytest.mark.parametrize("accounts", TWO_ACCOUNTS)
def test_two_accounts_are_two_people(accounts: tuple[str, str]) -> None:
    found = both(accounts)
    require_two_people(found, "faces/7")
    refuse_conflict({"preparer": found["preparer"]}, found["reviewer"], "faces/7")
    with pytest.raises(IntegrityError, match="account"):
        require_two_people(both((accounts[0], accounts[0])), "faces/7")


def test_two_trusted_keys_of_one_account_are_two_people_and_untrusted_ones_are_not(tmp_path: Path) -> None:
    pairs = [key_pair(tmp_path, name) for name in ("ana", "ben", "eve")]
    trusted = [load_public_key(public) for _, public in pairs]
    found = both(("os:root", "os:root"), pairs[0][0], pairs[1][0])
    refuse_conflict({"preparer": found["preparer"]}, found["reviewer"], "faces/7")
    require_two_people(found, "faces/7", trusted)
    with pytest.raises(IntegrityError, match="account"):
        require_two_people(found, "faces/7")
    with pytest.raises(IntegrityError, match="trusted key"):
        require_two_people(found, "faces/7", trusted[:1])


def test_sign_offs_of_before_accounts_were_recorded_hold_for_a_champion_of_before() -> None:
    require_two_people(both((None, None)), "faces/7", champion=True)
    with pytest.raises(IntegrityError, match="account"):
        require_two_people(both(("os:root", "os:root")), "faces/7", champion=True)


def test_the_account_is_part_of_what_is_signed() -> None:
    signed = entry("preparer", "ana", "os:root")
    check_statement(signed, "faces/7")
    with pytest.raises(IntegrityError, match="does not say"):
        check_statement(replace(signed, account="mlflow:ana"), "faces/7")


@pytest.mark.parametrize("name", ["ana", " Ana ", "ANA"])
def test_one_name_on_two_accounts_is_one_person(name: str) -> None:
    found = {"preparer": entry("preparer", "ana", "os:ana"), "reviewer": entry("reviewer", name, "os:ben")}
    with pytest.raises(IntegrityError, match=r"preparer and reviewer of faces/7 are the same person or key \(ana\)"):
        require_two_people(found, "faces/7")


def test_one_key_of_two_accounts_is_one_person(tmp_path: Path) -> None:
    private, public = key_pair(tmp_path, "shared")
    found = both(("os:ana", "os:ben"), private, private)
    with pytest.raises(IntegrityError, match=r"preparer and reviewer of faces/7 are the same person or key \(ana\)"):
        require_two_people(found, "faces/7", [load_public_key(public)])


def test_a_sign_off_of_a_purge_holds_for_the_plan_that_was_signed_alone() -> None:
    said = {"role": "preparer", "person": "ana", "time": TIME, "note": "", "account": None}
    envelope = sign_envelope(statement(SIGN_OFF, {PURGE_FILE: "a" * 64}, said), None).decode()
    signed = Entry("sign-off", "faces", 0, "", actor="ana", time=TIME, role="preparer", record_sha256="a" * 64, envelope=envelope)
    with pytest.raises(IntegrityError, match="does not say what the ledger says of it"):
        check_statement(replace(signed, record_sha256="b" * 64), "the purge of faces")
