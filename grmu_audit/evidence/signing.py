"""Signatures: Ed25519 keys on disk, and DSSE envelopes created and checked by securesystemslib; no cryptography of our own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from grmu_audit.errors import EnvironmentFailure, InputError, IntegrityError, NotFoundError
from grmu_audit.evidence.pseudonyms import read_secret
from grmu_audit.utils.digests import canonical_json, parse_json
from grmu_audit.utils.files import listed_in, read_file, write_new

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
    from securesystemslib.signer import CryptoSigner, SSlibKey

SIGNING_KEY_VARIABLE = "GRMU_AUDIT_SIGNING_KEY"
"""Environment variable that names the private key file; without it nothing is signed."""
PASSPHRASE_VARIABLE = "GRMU_AUDIT_SIGNING_PASSPHRASE"  # noqa: S105  (the name of a variable)
"""Environment variable that holds the passphrase of the private key, where it has one."""
PUBLIC_KEYS_VARIABLE = "GRMU_AUDIT_PUBLIC_KEYS"
"""Environment variable that lists trusted public key files, separated like ``PATH``."""
PAYLOAD_TYPE = "application/vnd.in-toto+json"
"""Media type of the payload of every envelope."""
_LARGEST_ENVELOPE, _LARGEST_KEY = 16 << 20, 1 << 16
_CREATE = "create one with 'grmu-audit keys generate'"


@dataclass(frozen=True)
class Envelope:
    """Content of an envelope; its signatures are not checked yet."""

    payload: bytes
    """The statement, canonical JSON."""
    keyids: tuple[str, ...]
    """Ids of the keys that claim to have signed it, unchecked; empty when it is unsigned."""


def generate_keys(private: Path, public: Path, passphrase: str | None = None) -> str:
    """Make an Ed25519 key pair: the private key in PKCS#8 PEM with mode 0600, the public key in PEM.

    Args:
        private: new file for the private key.
        public: new file for the public key.
        passphrase: encrypts the private key where it is not empty.

    Returns:
        The key id.

    Raises:
        InputError: one of the files exists: a key is never overwritten.
        EnvironmentFailure: a file cannot be written.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    write_key_pair(Ed25519PrivateKey.generate(), private, public, passphrase)
    return str(load_public_key(public).keyid)


def write_key_pair(key: PrivateKeyTypes, private: Path, public: Path, passphrase: str | None = None) -> None:
    """Write a new private key in PKCS#8 PEM with mode 0600, and its public key in PEM.

    Raises:
        InputError, EnvironmentFailure: as for ``generate_keys``.
    """
    from cryptography.hazmat.primitives import serialization as form

    for path in (private, public):
        if path.exists() or path.is_symlink():
            raise InputError(f"{path} exists: a key is never overwritten, give another name or move the file away")
    lock = form.BestAvailableEncryption(passphrase.encode()) if passphrase else form.NoEncryption()
    _write_new(private, key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, lock), 0o600)
    shown = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    _write_new(public, shown, 0o644)


def configured_signer() -> CryptoSigner | None:
    """The signer of ``$GRMU_AUDIT_SIGNING_KEY``, or None when it is not set.

    Raises:
        NotFoundError, EnvironmentFailure, InputError: as for ``load_signer``.
    """
    path = os.environ.get(SIGNING_KEY_VARIABLE)
    return load_signer(Path(path)) if path else None


def trusted_keys(paths: Sequence[Path] = ()) -> tuple[SSlibKey, ...]:
    """The public keys in these files; without any, those of ``$GRMU_AUDIT_PUBLIC_KEYS``, which may be empty.

    Raises:
        NotFoundError, InputError: as for ``load_public_key`` and ``listed_in``.
    """
    return tuple(load_public_key(path) for path in paths or map(Path, listed_in(PUBLIC_KEYS_VARIABLE)))


def load_signer(path: Path) -> CryptoSigner:
    """A private key, ready to sign; its passphrase comes from ``$GRMU_AUDIT_SIGNING_PASSPHRASE``.

    Raises:
        NotFoundError: no such file.
        EnvironmentFailure: group or others may read it.
        InputError: not an Ed25519 key in PEM, or the passphrase is missing or wrong.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from securesystemslib.signer import CryptoSigner

    key, _ = read_private_key(path, _CREATE)
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"{path} is not an Ed25519 private key: {_CREATE}")
    return CryptoSigner(key)


def read_private_key(path: Path, create: str) -> tuple[PrivateKeyTypes, bytes | None]:
    """A private key of any kind, and its passphrase.

    Args:
        path: the key in PEM; its passphrase comes from ``$GRMU_AUDIT_SIGNING_PASSPHRASE``.
        create: how to get a key, for the message where there is none.

    Raises:
        NotFoundError: no such file.
        EnvironmentFailure: group or others may read it.
        InputError: not a key in PEM, or the passphrase is missing or wrong.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        content = read_secret(path, "private key", "", "create a new key")
    except FileNotFoundError:
        raise NotFoundError(f"no private key file {path}: {create}") from None
    passphrase = os.environ.get(PASSPHRASE_VARIABLE, "").encode() or None
    try:
        return load_pem_private_key(content, passphrase), passphrase
    except TypeError:
        what = f"has no passphrase: unset {PASSPHRASE_VARIABLE}" if passphrase else f"has a passphrase: set {PASSPHRASE_VARIABLE}"
        raise InputError(f"the private key {path} {what}") from None
    except ValueError:
        raise InputError(f"the private key {path} cannot be read: wrong passphrase, or not a PEM file") from None


def load_public_key(path: Path) -> SSlibKey:
    """A public key to check signatures with.

    Raises:
        NotFoundError: no such file.
        InputError: not an Ed25519 public key in PEM.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from securesystemslib.signer import SSlibKey

    key = read_public_key(path)
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(f"{path} is not an Ed25519 public key: give the .pub file of 'grmu-audit keys generate'")
    return SSlibKey.from_crypto(key)


def read_public_key(path: Path) -> PublicKeyTypes:
    """A public key of any kind.

    Raises:
        NotFoundError: no such file.
        InputError: not a public key in PEM.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        return load_pem_public_key(read_file(path, _LARGEST_KEY))
    except FileNotFoundError:
        raise NotFoundError(f"no public key file {path}: check the path") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a public key in PEM: {type(error).__name__}") from None


def sign_envelope(payload: bytes, signer: CryptoSigner | None) -> bytes:
    """A DSSE envelope around a statement, signed when there is a signer, in canonical JSON."""
    from securesystemslib import dsse

    envelope = dsse.Envelope(payload, PAYLOAD_TYPE, {})
    if signer is not None:
        envelope.sign(signer)
    return canonical_json(envelope.to_dict())


def open_envelope(content: bytes) -> Envelope:
    """Read an envelope without checking its signatures.

    Raises:
        IntegrityError: not an envelope, not of the in-toto type, or not in the one byte form that ``sign_envelope`` writes.
    """
    envelope = _envelope(content)
    return Envelope(envelope.payload, tuple(envelope.signatures))


def signed_by(content: bytes, keys: Sequence[SSlibKey]) -> tuple[str, ...]:
    """Ids of those of the keys whose signature on the envelope holds; empty when none does.

    Raises:
        IntegrityError: not an envelope, or a signature in the name of one of the keys that does not hold.
    """
    from securesystemslib.exceptions import VerificationError

    envelope = _envelope(content)
    claimed = [key for key in keys if key.keyid in envelope.signatures]
    for key in claimed:
        try:
            envelope.verify([key], 1)
        except VerificationError:
            raise IntegrityError(f"the signature of key {key.keyid[:16]}... does not fit: the statement was changed") from None
    return tuple(key.keyid for key in claimed)


def _envelope(content: bytes):  # type: ignore[no-untyped-def]
    from securesystemslib import dsse

    if len(content) > _LARGEST_ENVELOPE:
        raise IntegrityError(f"an attestation of {len(content)} bytes is larger than one can be: refused")
    try:
        tree = parse_json(content)
        envelope = dsse.Envelope.from_dict(tree)
        same = canonical_json(envelope.to_dict()) == content
    except Exception as error:  # noqa: BLE001  (whatever a parser of hostile bytes raises)
        raise IntegrityError(f"an attestation cannot be read: {type(error).__name__}") from None
    if not same or envelope.payload_type != PAYLOAD_TYPE:
        raise IntegrityError("an attestation is not in the form in which this tool writes it: it was edited")
    return envelope


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_new(path, content, mode)
    except OSError as error:
        raise EnvironmentFailure(f"cannot write {path}: {error.strerror or error}; give another place") from error
