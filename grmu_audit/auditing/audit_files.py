"""Audit files: written in canonical form, and read back with every defect named."""

from __future__ import annotations

import json
from pathlib import Path

from grmu_audit.errors import InputError
from grmu_audit.records import Audit
from grmu_audit.utils import canonical_json, parse_json, read_file, sha256_hex, write_atomic
from grmu_audit.utils.digests import LARGEST_JSON


def read_audit(path: Path) -> Audit:
    """Read an audit file.

    Raises:
        InputError: no such file, not JSON, or not an audit that this version reads.
    """
    return read_audit_and_digest(path)[0]


def read_audit_and_digest(path: Path) -> tuple[Audit, str]:
    """``read_audit``, with SHA-256 of the very bytes that were read.

    Raises:
        InputError: no such file, not JSON, or not an audit that this version reads.
    """
    try:
        content = read_file(path, LARGEST_JSON)
        tree = parse_json(content)
    except OSError as error:
        raise InputError(f"{path}: cannot be read as an audit file: {error.strerror or error}") from None
    except ValueError as error:
        raise InputError(f"{path}: cannot be read as an audit file: {str(error)[:300]}") from None
    try:
        return Audit.from_json(tree), sha256_hex(content)
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
    write_atomic(path, document)
    return sha256_hex(document)
