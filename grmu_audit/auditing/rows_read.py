"""The record of the rows that a retraining run read, compared with a version and the samples that it must not have read."""

from __future__ import annotations

from collections.abc import Collection

from grmu_audit.evidence.attestation import ROWS_READ_FILE
from grmu_audit.records import CANDIDATE, ModelRef, NotMeasured, Subject
from grmu_audit.utils import parse_json, sha256_hex

SCHEMA = "grmu-audit/rows-read/v2"
"""Schema of a record that calls rows by the names of its model (``evidence.model_row_names``)."""
EARLIER_SCHEMA = "grmu-audit/rows-read/v1"
"""Schema of a record that calls rows by pseudonyms."""


def record_file(subject: Subject) -> str:
    """File of the record of one model of an audit.

    >>> from grmu_audit.records import reference
    >>> record_file(CANDIDATE), record_file(reference(1))
    ('rows_read.json', 'rows_read-reference-1.json')
    """
    return ROWS_READ_FILE if subject == CANDIDATE else f"rows_read-{str(subject).replace('#', '-')}.json"


def without_record(ref: ModelRef) -> NotMeasured:
    """What an audit says of a reference whose record is not given away with it."""
    return NotMeasured(
        f"record of the rows that {ref.label} read",
        "it was compared when the audit was made and is not stored with it: it calls rows by other names than the tables do, as"
        " records of another version of this tool; retrain the reference to have it there",
    )


def names_rows_by_pseudonyms(content: bytes | None) -> bool:
    """Whether a record calls rows by pseudonyms, as earlier versions did; a damaged one does not."""
    try:
        return content is not None and bool(parse_json(content)["schema"] == EARLIER_SCHEMA)
    except (ValueError, KeyError, TypeError):
        return False


def rows_read_defect(content: bytes | None, ref: ModelRef, training_rows: int, forgotten: Collection[str] | int) -> str:
    """Why a record does not show that no forgotten row was read, as one sentence; empty where it does.

    It does where its digest is the one in the version's configuration, it is of the version's data, it accounts for every
    training row, and it lists every forgotten row among those that were never read.

    Args:
        content: bytes of the record; None where there is none.
        ref: the retrained version.
        training_rows: rows that are known for training, before the request; forgotten ones may have been deleted since.
        forgotten: names of the forget set, the union of all requests, as the record calls them; or how many they are.
    """
    if content is None:
        return f"{ref.label} has no record of the rows that it read: retrain it again."
    try:
        tree = parse_json(content)
        unread, read, rows = set(map(str, tree["training_rows_not_read"])), int(tree["training_rows_read"]), tree["training_rows"]
        known = tree["schema"] in (SCHEMA, EARLIER_SCHEMA) and tree["data_sha256"] == str(ref.data_digest)
        agrees = known and rows == read + len(unread) >= training_rows
    except (ValueError, KeyError, TypeError):
        return f"the record of the rows that {ref.label} read is damaged."
    if ref.config.get("rows_read_sha256") != sha256_hex(content) or not agrees:
        return f"the record of the rows that {ref.label} read is not the one of its run, or of other data."
    covered = len(unread) >= forgotten if isinstance(forgotten, int) else unread.issuperset(forgotten)
    if not covered:
        return f"{ref.label} read rows of the forget set, or its record does not cover them all."
    return ""
