"""Signing the files of a version, and checking the signature: in the store, or offline in a folder."""

from __future__ import annotations

from pathlib import Path

from grmu_audit.errors import InconclusiveError, InputError, IntegrityError
from grmu_audit.evidence.ledger import TAG_ENTRY
from grmu_audit.evidence.model_signatures import (
    LARGEST_SIGNATURE,
    SIGNATURE,
    check_files,
    model_key_id,
    sign_files,
    signatures_of,
    signer_of,
)
from grmu_audit.records import ModelRef
from grmu_audit.tracking import read_ledger
from grmu_audit.tracking.artifacts import SERVED_MARK, is_served_mark, temporary_folder
from grmu_audit.tracking.ledger import append_entry
from grmu_audit.tracking.registration import check_registration
from grmu_audit.utils import read_file, sha256_hex, write_atomic
from grmu_audit.utils.clock import timestamp
from grmu_audit.workflows.session import Session

LARGEST_ENTRY = 90_000
"""Characters of a ledger entry; registries take 100,000."""


def sign_model(session: Session, model: str, private: Path, out: Path) -> tuple[ModelRef, str, int]:
    """Sign the files of a version, enter the signature in its model's ledger, and write it to a file.

    Args:
        session: store and actor.
        model: reference of a version.
        private: EC private key file.
        out: file for the signature.

    Returns:
        The version, the id of the key, and the number of the ledger entry.

    Raises:
        InputError: not such a key, or so many files that the ledger cannot hold their signature.
        IntegrityError: the version is not what was registered.
        NotFoundError, EnvironmentFailure: as for ``evidence.model_signatures.sign_files``.
    """
    ref = session.store.resolve(model)
    check_registration(session.store, read_ledger(session.store, ref.name), ref)
    with temporary_folder() as place:
        signature = sign_files(session.store.fetch(ref, place / f"{ref.name}-{ref.version}"), private)
    entry = read_ledger(session.store, ref.name).new_entry(
        SIGNATURE,
        version=ref.version,
        manifest_sha256=ref.manifest_sha256,
        record_sha256=sha256_hex(signature),
        envelope=signature.decode(),
        actor=session.actor,
        time=timestamp(),
    )
    if len(entry.to_tags()[TAG_ENTRY]) > LARGEST_ENTRY:
        raise InputError(
            f"{ref.label} has more files than the ledger can hold a signature of: sign them with model_signing itself"
        )
    write_atomic(out, signature)
    return ref, signer_of(signature), append_entry(session.store, entry, ref).number


def verify_model(session: Session, model: str, public: Path) -> ModelRef:
    """Check the files of a version in the store against its newest signature by a key.

    Raises:
        InconclusiveError: nobody signed them.
        IntegrityError: the key did not sign them, or they are not those that were signed or registered.
        NotFoundError, InputError, EnvironmentFailure: as for ``evidence.model_signatures.check_files``.
    """
    ref, key = session.store.resolve(model), model_key_id(public)
    ledger = read_ledger(session.store, ref.name)
    found = signatures_of(ledger, ref.version)
    if not found:
        raise InconclusiveError(
            f"the files of {ref.label} are not signed: run 'grmu-audit evidence sign-model --model {ref.label} --key KEY'"
        )
    if key not in found:
        signers = ", ".join(f"{name[:16]}..." for name in found)
        raise IntegrityError(f"{public} did not sign the files of {ref.label}: key {signers} did, this is {key[:16]}...")
    check_registration(session.store, ledger, ref)
    with temporary_folder() as place:
        folder = session.store.fetch(ref, place / f"{ref.name}-{ref.version}")
        check_files(folder, str(found[key].envelope).encode(), public)
    return ref


def verify_folder(folder: Path, signature: Path, public: Path) -> None:
    """Check a folder of files against a signature, without a store; MLflow's mark of having served them is no part of them.

    Raises:
        InputError: the folder or the signature cannot be read.
        IntegrityError: as for ``evidence.model_signatures.check_files``.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: give the folder of the version's files")
    try:
        content = read_file(signature, LARGEST_SIGNATURE)
    except OSError as error:
        raise InputError(f"{signature}: cannot be read: {error.strerror or error}") from None
    check_files(folder, content, public, [SERVED_MARK] if is_served_mark(folder / SERVED_MARK) else [])
