"""The record of the rows that a retraining run read, compared with a version and the samples that it must not have read."""

from __future__ import annotations

from collections.abc import Collection

from grmu_audit.records import ModelRef
from grmu_audit.utils import parse_json, sha256_hex

SCHEMA = "grmu-audit/rows-read/v2"
"""Schema of a record that calls rows by the names of its model (``evidence.model_row_names``)."""
EARLIER_SCHEMA = "grmu-audit/rows-read/v1"
"""Schema of a record that calls rows by pseudonyms."""


def names_rows_by_pseudonyms(content: bytes | None) -> bool:
    """Whether a record calls rows by pseudonyms, as earlier versions did; a damaged one does not."""
    try:
        return content is not None and bool(parse_json(content)["schema"] == EARLIER_SCHEMA)
    except (ValueError, KeyError, TypeError):
        return False


def rows_read_defect(
    content: bytes | None, ref: ModelRef, data_sha256: str, training_rows: int, forgotten: Collection[str] | int
) -> str:
    """Why a record does not show that no forgotten row was read, as one sentence; empty where it does.

    It does where its digest is the one in the version's configuration, it is of these data, it accounts for every training row,
    and it lists every forgotten row among those that were never read.

    Args:
        content: bytes of the record; None where there is none.
        ref: the retrained version.
        data_sha256: digest of the data.
        training_rows: rows that are known for training, before the request; forgotten ones may have been deleted since.
        forgotten: names of the forget set, the union of all requests, as the record calls them.
    """
    if content is None:
        return f"{ref.label} has no record of the rows that it read: retrain it again."
    try:
        tree = parse_json(content)
        unread, read, rows = set(map(str, tree["training_rows_not_read"])), int(tree["training_rows_read"]), tree["training_rows"]
        known = tree["schema"] in (SCHEMA, EARLIER_SCHEMA) and tree["data_sha256"] == data_sha256
        agrees = known and rows == read + len(unread) >= training_rows
    except (ValueError, KeyError, TypeError):
        return f"the record of the rows that {ref.label} read is damaged."
    if ref.config.get("rows_read_sha256") != sha256_hex(content) or not agrees:
        return f"the record of the rows that {ref.label} read is not the one of its run, or of other data."
    covered = len(unread) >= forgotten if isinstance(forgotten, int) else unread.issuperset(forgotten)
    if not covered:
        return f"{ref.label} read rows of the forget set, or its record does not cover them all."
    return ""
