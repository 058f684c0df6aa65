"""Audit files: written in canonical form, read back with every defect named, and refused once their verdict is stale."""

from __future__ import annotations

import json
from pathlib import Path

from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.records import Audit
from grmu_audit.utils import canonical_json, parse_json, read_file, sha256_hex, write_atomic
from grmu_audit.utils.clock import utc_now
from grmu_audit.utils.digests import LARGEST_JSON


def require_not_expired(audit: Audit) -> None:
    """Refuse an audit whose verdict has expired: what was measured then may no longer hold.

    Raises:
        IntegrityError: it has.
    """
    from datetime import datetime

    expires = audit.record.get("expires")
    try:
        stale = expires is not None and not datetime.fromisoformat(utc_now()) < datetime.fromisoformat(str(expires))
    except (ValueError, TypeError):
        raise IntegrityError(f"the audit of {audit.subject.label} expires on {str(expires)[:40]!r}, which is no date") from None
    if stale:
        raise IntegrityError(f"the audit of {audit.subject.label} expired on {expires}: audit it again")


def read_audit(path: Path) -> Audit:
    """Read an audit file.

    Raises:
        InputError: no such file, not JSON, or not an audit that this version reads.
    """
    try:
        tree = parse_json(read_file(path, LARGEST_JSON))
    except OSError as error:
        raise InputError(f"{path}: cannot be read as an audit file: {error.strerror or error}") from None
    except ValueError as error:
        raise InputError(f"{path}: cannot be read as an audit file: {str(error)[:300]}") from None
    try:
        return Audit.from_json(tree)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def as_read_back(audit: Audit) -> Audit:
    """The audit as it comes back from its file: what is rendered from either is then the same, byte for byte."""
    return Audit.from_json(json.loads(canonical_json(audit.to_json())))


def write_audit(audit: Audit, path: Path) -> str:
    """Write an audit in canonical JSON, to a temporary name first.

    Returns:
        SHA-256 of the file's bytes.
    """
    document = canonical_json(audit.to_json())
    write_atomic(Path(path), document)
    return sha256_hex(document)
