"""Keys on disk and envelopes: who may read them, what does not fit, what was changed."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from grmu_audit.errors import EnvironmentFailure, InputError, IntegrityError, NotFoundError
from grmu_audit.evidence.attestation import read_statement, subjects_of
from grmu_audit.evidence.model_signatures import generate_model_keys
from grmu_audit.evidence.signing import (
    PASSPHRASE_VARIABLE,
    PUBLIC_KEYS_VARIABLE,
    SIGNING_KEY_VARIABLE,
    configured_signer,
    generate_keys,
    load_public_key,
    load_signer,
    open_envelope,
    sign_envelope,
    signed_by,
    trusted_keys,
)

PAYLOAD = b'{"a":1}\n'


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    generate_keys(tmp_path / "ci.key", tmp_path / "ci.pub")
    return tmp_path / "ci.key", tmp_path / "ci.pub"


def test_the_private_key_is_its_owners_alone_and_never_overwritten(pair: tuple[Path, Path]) -> None:
    assert stat.S_IMODE(pair[0].stat().st_mode) == 0o600
    before = pair[0].read_bytes()
    with pytest.raises(InputError, match="never overwritten"):
        generate_keys(*pair)
    assert pair[0].read_bytes() == before
    pair[0].chmod(0o640)
    with pytest.raises(EnvironmentFailure, match="chmod 600"):
        load_signer(pair[0])


def test_a_signature_holds_for_its_key_alone(pair: tuple[Path, Path], tmp_path: Path) -> None:
    generate_keys(tmp_path / "o.key", tmp_path / "o.pub")
    mine, other = load_public_key(pair[1]), load_public_key(tmp_path / "o.pub")
    envelope = sign_envelope(PAYLOAD, load_signer(pair[0]))
    assert open_envelope(envelope).payload == PAYLOAD
    assert signed_by(envelope, [other, mine]) == (mine.keyid,)
    assert signed_by(envelope, [other]) == ()
    assert sign_envelope(PAYLOAD, load_signer(pair[0])) == envelope


def test_an_unsigned_envelope_is_signed_by_nobody(pair: tuple[Path, Path]) -> None:
    envelope = sign_envelope(PAYLOAD, None)
    assert open_envelope(envelope).keyids == ()
    assert signed_by(envelope, [load_public_key(pair[1])]) == ()


def test_any_changed_byte_is_found(pair: tuple[Path, Path]) -> None:
    envelope, key = sign_envelope(PAYLOAD, load_signer(pair[0])), load_public_key(pair[1])
    for at in range(len(envelope)):
        hurt = envelope[:at] + bytes([envelope[at] ^ 1]) + envelope[at + 1 :]
        try:
            assert signed_by(hurt, [key]) == (), at
        except IntegrityError:
            continue


def test_a_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate_keys(tmp_path / "k", tmp_path / "k.pub", "open sesame")
    with pytest.raises(InputError, match=PASSPHRASE_VARIABLE):
        load_signer(tmp_path / "k")
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "wrong")
    with pytest.raises(InputError, match="wrong passphrase"):
        load_signer(tmp_path / "k")
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "open sesame")
    assert signed_by(sign_envelope(PAYLOAD, load_signer(tmp_path / "k")), [load_public_key(tmp_path / "k.pub")])


def test_keys_from_the_environment(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    assert configured_signer() is None
    assert trusted_keys() == ()
    monkeypatch.setenv(SIGNING_KEY_VARIABLE, str(pair[0]))
    monkeypatch.setenv(PUBLIC_KEYS_VARIABLE, str(pair[1]))
    signer = configured_signer()
    assert signer is not None
    assert signed_by(sign_envelope(PAYLOAD, signer), trusted_keys())


def test_files_that_are_no_keys(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    for load in (load_signer, load_public_key):
        with pytest.raises(NotFoundError):
            load(tmp_path / "none")
    with pytest.raises(InputError, match="public key"):
        load_public_key(pair[0])
    (tmp_path / "junk").write_bytes(b"junk")
    (tmp_path / "junk").chmod(0o600)
    with pytest.raises(InputError, match="cannot be read"):
        load_signer(tmp_path / "junk")


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"null", b"[" * 100_000, b'{"payload":"!","payloadType":"x","signatures":[]}\n']
)
def test_what_is_no_envelope(content: bytes) -> None:
    with pytest.raises(IntegrityError):
        open_envelope(content)


@pytest.mark.parametrize("payload", [b"", b"{}", PAYLOAD, b'{"_type":"https://in-toto.io/Statement/v1"}'])
def test_what_is_no_statement(payload: bytes) -> None:
    with pytest.raises(IntegrityError):
        read_statement(payload)


def test_a_statement_without_subjects() -> None:
    with pytest.raises(IntegrityError, match="subjects"):
        subjects_of(b'{"_type":"https://in-toto.io/Statement/v1","subject":[{}]}\n')


def test_keys_of_another_kind_are_refused(tmp_path: Path) -> None:
    generate_model_keys(tmp_path / "model.key", tmp_path / "model.pub")
    with pytest.raises(InputError, match=r"model\.key is not an Ed25519 private key: create one with 'grmu-audit keys generate'"):
        load_signer(tmp_path / "model.key")
    with pytest.raises(InputError, match=r"model\.pub is not an Ed25519 public key: give the \.pub file of"):
        load_public_key(tmp_path / "model.pub")


def test_an_envelope_that_is_larger_than_one_can_be_is_not_parsed() -> None:
    largest = 16 << 20
    with pytest.raises(IntegrityError, match="an attestation cannot be read: JSONDecodeError"):
        open_envelope(b"x" * largest)
    with pytest.raises(IntegrityError, match="an attestation of 16777217 bytes is larger than one can be: refused"):
        open_envelope(b"x" * (largest + 1))
