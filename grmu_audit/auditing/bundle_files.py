"""What a bundle holds, file by file, with every defect named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grmu_audit.auditing.disclosure.counts import COUNTS_FILE, Counts, is_left_out, read_counts
from grmu_audit.auditing.evidence_files import LEDGER_FILE, RENUMBERED_FILE, RENUMBERED_SCHEMA
from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.evidence.archive import LARGEST_BUNDLE
from grmu_audit.evidence.attestation import AUDIT_FILE, POLICY_FILE, tables_of
from grmu_audit.evidence.ledger import Ledger, check_ledger
from grmu_audit.records import Audit
from grmu_audit.utils import canonical_json, parse_json, read_file, sha256_hex

if TYPE_CHECKING:
    from grmu_audit.policy import Policy


def read_archive(path: Path) -> bytes:
    """The bytes of an archive.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return read_file(path, LARGEST_BUNDLE)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


def member(files: Mapping[str, bytes], name: str) -> bytes:
    """The content of a file.

    Raises:
        IntegrityError: it is not there.
    """
    if name not in files:
        raise IntegrityError(f"the bundle holds no {name}")
    return files[name]


def json_in(files: Mapping[str, bytes], name: str) -> Any:
    """A JSON document, parsed.

    Raises:
        IntegrityError: it is not there, or not in canonical form.
    """
    content = member(files, name)
    try:
        tree = parse_json(content)
        same = canonical_json(tree) == content
    except (ValueError, InputError) as error:
        raise IntegrityError(f"{name} cannot be read: {str(error)[:300]}") from None
    if not same:
        raise IntegrityError(f"{name} is not in canonical form: this tool did not write it")
    return tree


def audit_in(files: Mapping[str, bytes]) -> Audit:
    """The audit.

    Raises:
        IntegrityError: it is no audit, or holds fields that an audit does not have.
    """
    try:
        audit = Audit.from_json(json_in(files, AUDIT_FILE))
    except InputError as error:
        raise IntegrityError(f"{AUDIT_FILE}: {error}") from None
    if not same_content(parse_json(files[AUDIT_FILE]), audit.to_json()):
        raise IntegrityError(f"{AUDIT_FILE} holds fields that an audit does not have")
    return audit


def same_content(written: object, read: object) -> bool:
    """Whether a file holds what was read from it; a key without a value may be absent, as in files of before it existed."""
    if isinstance(written, dict) and isinstance(read, dict):
        known = written.keys() <= read.keys()
        return known and all(same_content(written[key], one) if key in written else one is None for key, one in read.items())
    if isinstance(written, list) and isinstance(read, list):
        return len(written) == len(read) and all(map(same_content, written, read))
    return written == read


def policy_in(files: Mapping[str, bytes], audit: Audit) -> Policy:
    """The policy that the verdict names.

    Raises:
        IntegrityError: it is another one, or none that this version reads.
    """
    from pydantic import ValidationError

    from grmu_audit.policy import Policy, policy_sha256

    try:
        policy = Policy.stored(json_in(files, POLICY_FILE))
    except ValidationError as error:
        raise IntegrityError(f"{POLICY_FILE} is no policy that this version reads: {error.error_count()} defects") from None
    if audit.verdict is None or policy_sha256(policy) != audit.verdict.policy_sha256 or policy.name != audit.verdict.policy:
        raise IntegrityError(f"{POLICY_FILE} is not the policy that the verdict names")
    return policy


def ledger_in(files: Mapping[str, bytes], audit: Audit) -> Ledger:
    """The ledger of the model.

    Raises:
        IntegrityError: an entry was changed, or cannot be read.
    """
    try:
        stored = [
            (_number(row["number"]), {str(k): str(v) for k, v in row["tags"].items()}) for row in json_in(files, LEDGER_FILE)
        ]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise IntegrityError(f"{LEDGER_FILE} cannot be read: {type(error).__name__}") from None
    entries, defects = check_ledger(audit.subject.name, stored)
    if defects:
        raise IntegrityError(f"{LEDGER_FILE}: {'; '.join(defects)}")
    return Ledger(audit.subject.name, entries)


def _number(value: object) -> int:
    if type(value) is not int:
        raise TypeError
    return value


def counts_in(files: Mapping[str, bytes], audit: Audit) -> Counts | None:
    """The counts, where the bundle holds them in place of its tables.

    Raises:
        IntegrityError: they are not those of the audit's models, or tables are there too.
    """
    if COUNTS_FILE not in files:
        return None
    counts = read_counts(json_in(files, COUNTS_FILE), {name: name in audit.purged for name in _model_names(audit)})
    wrong = sorted({name for name in files if is_left_out(name)} | {name for name in counts.left_out if not is_left_out(name)})
    unnamed = [f"{name} is not in left_out" for name in sorted(tables_of(audit).keys() - counts.left_out.keys())]
    if wrong or unnamed:
        raise IntegrityError(f"{COUNTS_FILE} does not stand in place of the tables of the audit: {', '.join([*wrong, *unnamed])}")
    return counts


def _model_names(audit: Audit) -> list[str]:
    """Every model of the audit, as the subject that it has there."""
    return [Path(name).stem.replace("-", "#") for name in tables_of(audit)]


def renumbered_in(files: Mapping[str, bytes]) -> dict[str, str]:
    """The attested digest of each table that the bundle holds with other numbers of people; their content is compared later.

    Raises:
        IntegrityError: the record of them is about other tables.
    """
    if RENUMBERED_FILE not in files:
        return {}
    tree = json_in(files, RENUMBERED_FILE)
    try:
        tables = {name: (str(row["attested_sha256"]), str(row["sha256"])) for name, row in tree["tables"].items()}
        known = tree["schema"] == RENUMBERED_SCHEMA and tree.keys() == {"schema", "tables"}
    except (KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"{RENUMBERED_FILE} cannot be read: {type(error).__name__}") from None
    wrong = [
        name for name, row in tables.items() if not name.startswith("predictions/") or row[1] != sha256_hex(files.get(name, b""))
    ]
    if wrong or not known:
        raise IntegrityError(f"{RENUMBERED_FILE} is not about the tables of this bundle")
    return {name: row[0] for name, row in tables.items()}
