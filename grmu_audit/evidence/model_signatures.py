"""Signatures of the files of a model version in the format of OpenSSF Model Signing, by its own library, with an EC key.

Nothing is asked over the network: the signature is a Sigstore bundle around an in-toto statement that names the SHA-256 of every
file, and ``model_signing verify key`` checks it, too.  The library comes with the extra ``grmu-audit[signing]``.
"""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from grmu_audit.errors import EnvironmentFailure, InputError, IntegrityError
from grmu_audit.evidence.ledger import Entry, Ledger
from grmu_audit.evidence.signing import read_private_key, read_public_key, write_key_pair
from grmu_audit.utils.digests import parse_json, sha256_hex

SIGNATURE = "signature"
"""Kind of the ledger entry that holds a signature."""
LARGEST_SIGNATURE = 1 << 20
"""Bytes of a signature that is read."""
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_CREATE = "create one with 'grmu-audit keys generate --kind model'"


def generate_model_keys(private: Path, public: Path, passphrase: str | None = None) -> str:
    """Make an EC key pair (P-256) that signs model files: private key in PKCS#8 PEM with mode 0600, public key in PEM.

    Returns:
        The key id: SHA-256 of the public key in PEM, as signatures name it.

    Raises:
        InputError: one of the files exists: a key is never overwritten.
        EnvironmentFailure: a file cannot be written.
    """
    from cryptography.hazmat.primitives.asymmetric import ec

    write_key_pair(ec.generate_private_key(ec.SECP256R1()), private, public, passphrase)
    return model_key_id(public)


def model_key_id(public: Path) -> str:
    """SHA-256 of a public key in PEM, as signatures name it.

    Raises:
        NotFoundError: no such file.
        InputError: not a public EC key in PEM.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = read_public_key(public)
    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name not in _CURVES:
        raise InputError(f"{public} is not an EC public key: give the .pub file of 'grmu-audit keys generate --kind model'")
    return sha256_hex(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def sign_files(folder: Path, private: Path) -> bytes:
    """Sign every file of a folder.

    Args:
        folder: the files of a version; its name is the name that the signature gives the model.
        private: EC private key in PEM; its passphrase comes from ``$GRMU_AUDIT_SIGNING_PASSPHRASE``.

    Returns:
        The signature, as the library writes it.

    Raises:
        NotFoundError: no such key file.
        EnvironmentFailure: others than its owner may read the key, or the library is not installed.
        InputError: not an EC private key, or its passphrase is missing or wrong; or the folder holds a link.
    """
    signing = _library("signing")
    if link := next((name for name in _names(folder) if (folder / name).is_symlink()), None):
        raise InputError(f"{folder.name} holds a link, {link}: put the file itself there, then sign")
    with tempfile.TemporaryDirectory(prefix=".grmu-audit-") as place:
        target = Path(place) / "model.sig"
        config = signing.Config().set_hashing_config(_hashing(()))
        config.use_elliptic_key_signer(private_key=private, password=_passphrase(private)).sign(folder, target)
        return target.read_bytes()


def check_files(folder: Path, signature: bytes, public: Path, ignored: Collection[str] = ()) -> None:
    """Return when a folder holds the signed files and no other.

    Args:
        folder: the files.
        signature: the signature.
        public: public key that must have signed.
        ignored: names of files that are no part of the model.

    Raises:
        IntegrityError: another key signed, or a file was changed, added or removed; it is named.
        NotFoundError, InputError: as for ``model_key_id``.
        EnvironmentFailure: the library is not installed.
    """
    verifying, expected = _library("verifying"), model_key_id(public)
    if signer_of(signature) != expected:
        raise IntegrityError(
            f"{public} did not sign these files: key {signer_of(signature)[:16]}... did, this is {expected[:16]}..."
        )
    with tempfile.TemporaryDirectory(prefix=".grmu-audit-") as place:
        stored = Path(place) / "model.sig"
        stored.write_bytes(signature)
        config = verifying.Config().set_hashing_config(_hashing(ignored)).use_elliptic_key_verifier(public_key=public)
        try:
            config.verify(folder, stored)
        except Exception as error:  # noqa: BLE001  (whatever the library raises on hostile bytes)
            why = str(error)[:500] or f"the signature does not fit ({type(error).__name__})"
            raise IntegrityError(f"the files in {folder.name} are not those that were signed: {why}") from None
    signed = {*_signed_names(signature), *ignored}
    if extra := sorted(name for name in _names(folder) if name not in signed):
        raise IntegrityError(
            f"the files in {folder.name} are not those that were signed: {extra[0]} is there, and was not signed"
        )


def _signed_names(signature: bytes) -> list[str]:
    """Names of the files in a signature that was checked: what it says that it leaves out does not count.

    Raises:
        IntegrityError: it does not name whole files.
    """
    try:
        payload = base64.b64decode(parse_json(signature, LARGEST_SIGNATURE)["dsseEnvelope"]["payload"])
        predicate = parse_json(payload, LARGEST_SIGNATURE)["predicate"]
        if predicate["serialization"]["method"] != "files":
            raise IntegrityError("the signature names parts of files: sign the files as a whole")
        return [str(resource["name"]) for resource in predicate["resources"]]
    except (ValueError, InputError, KeyError, TypeError):
        raise IntegrityError("the signature of the model files does not name them") from None


def _names(folder: Path) -> Iterator[str]:
    """Paths of all that is in a folder and is not a folder itself; a link is what it is, not what it leads to."""
    for place, folders, files in os.walk(folder):
        links = [name for name in folders if Path(place, name).is_symlink()]
        yield from (Path(place, name).relative_to(folder).as_posix() for name in (*files, *links))


def signer_of(signature: bytes) -> str:
    """Id of the key that a signature names; unchecked.

    Raises:
        IntegrityError: not a signature by a key.
    """
    try:
        found = parse_json(signature, LARGEST_SIGNATURE)["verificationMaterial"]["publicKey"]["hint"]
    except (ValueError, InputError, KeyError, TypeError):
        found = None
    if not isinstance(found, str) or not found:
        raise IntegrityError("the signature of the model files cannot be read, or names no key")
    return found


def signatures_of(ledger: Ledger, version: str) -> dict[str, Entry]:
    """The newest signature entry of a version by id of the key.

    Raises:
        IntegrityError: an entry holds no signature.
    """
    entries = [n.entry for n in ledger.entries if n.entry.kind == SIGNATURE and n.entry.version == version]
    found = {signer_of(str(entry.envelope).encode()): entry for entry in entries}
    wrong = next((e for e in found.values() if e.record_sha256 != sha256_hex(str(e.envelope).encode())), None)
    if wrong is not None:
        raise IntegrityError(f"the ledger entry on the signature of {wrong.model}/{version} does not fit the signature in it")
    return found


def _library(name: str) -> Any:
    """A module of the library.

    Raises:
        EnvironmentFailure: it is not installed.
    """
    try:
        from model_signing import hashing, signing, verifying
    except ImportError as error:
        raise EnvironmentFailure(
            f"signatures of model files need model-signing: run pip install 'grmu-audit[signing]' ({error})"
        ) from None
    return {"signing": signing, "verifying": verifying, "hashing": hashing}[name]


def _hashing(ignored: Collection[str]) -> Any:
    """Every file counts, also those that the library leaves out by default (``.gitattributes``); no links are followed."""
    return _library("hashing").Config().set_ignored_paths(paths=ignored, ignore_git_paths=False)


def _passphrase(private: Path) -> bytes | None:
    """Passphrase of the key, after the key was found to be one that can sign.

    Raises:
        NotFoundError, EnvironmentFailure, InputError: as for ``sign_files``.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    key, passphrase = read_private_key(private, _CREATE)
    if not isinstance(key, EllipticCurvePrivateKey) or key.curve.name not in _CURVES:
        raise InputError(f"{private} is not an EC private key (P-256, P-384 or P-521), which signs model files: {_CREATE}")
    return passphrase
