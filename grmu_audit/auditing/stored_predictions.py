"""The predictions behind an audit, stored with it: what a verdict is computed from again, and the digest that binds them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from grmu_audit.auditing.prediction_files import column_kind, from_frame, used_columns
from grmu_audit.auditing.rows_read import record_file
from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.evidence.attestation import table_name
from grmu_audit.records import (
    BASELINE,
    CANDIDATE,
    ROOT,
    SPLITS,
    Audit,
    AuditedModel,
    AuditInputs,
    DataRecord,
    ModelRef,
    Predictions,
    Subject,
    reference,
)
from grmu_audit.records.predictions import by_appearance
from grmu_audit.utils.parquet import parquet_table

_NAMES = ("id", "subject")
_DOMAIN = b"grmu-audit/predictions/v1"


def predictions_sha256(p: Predictions) -> str:
    """SHA-256 over ids, splits, labels and outputs, row by row as they stand: independent of the file format.

    Of people it covers who has which rows, not how they are numbered.
    """
    digest = hashlib.sha256(_DOMAIN)
    subject = None if p.subject is None else by_appearance(p.subject)
    whole = {"split": p.split, "target": p.target, "attribute": p.attribute, "prediction": p.prediction, "subject": subject}
    columns = {name: None if values is None else values.astype("<i8") for name, values in whole.items()}
    scores = {"logits": p.logits, "loss": p.loss}
    columns |= {name: None if values is None else values.astype("<f8") for name, values in scores.items()}
    names = "\n".join(p.ids.tolist()).encode("utf-8", "surrogatepass")
    digest.update(len(p).to_bytes(8, "big") + len(names).to_bytes(8, "big") + names)
    for name, values in columns.items():
        content = b"" if values is None else np.ascontiguousarray(values).tobytes()
        digest.update(name.encode() + bytes([values is not None]) + len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()


def to_parquet(p: Predictions) -> bytes:
    """One model's predictions as a file that ``score`` reads too, rows in order; ids must be pseudonyms already."""
    import pandas as pd

    columns: dict[str, object] = {
        "id": p.ids.astype(object),
        "split": np.asarray(SPLITS, dtype=object)[p.split],
        "target": p.target,
        "attribute": p.attribute,
        "prediction": p.prediction,
    }
    if p.subject is not None:
        columns["subject"] = by_appearance(p.subject)
    if p.loss is not None:
        columns["loss"] = p.loss
    for index in range(p.logits.shape[1] if p.logits is not None else 0):
        columns[f"logit_{index}"] = p.logits[:, index]  # type: ignore[index]
    buffer = io.BytesIO()
    pd.DataFrame(columns).to_parquet(buffer, index=False)
    return buffer.getvalue()


def from_parquet(content: bytes, name: str, data: DataRecord) -> Predictions:
    """Read what ``to_parquet`` wrote, with the names and the number of attribute values that the audit records.

    Raises:
        IntegrityError: not such a table, or far larger unpacked than packed files of that kind are.
    """
    try:
        read = parquet_table(io.BytesIO(content), Path(name).name, column_kind)
        if not len(read):
            raise IntegrityError(f"{name} has no rows")
        table = from_frame(used_columns(read), Path(name), read.header)
    except InputError as error:
        raise IntegrityError(f"{name} cannot be read as predictions: {str(error)[:300]}") from None
    return replace(
        table,
        attributes=max(table.attributes, len(data.attribute_names)),
        class_names=data.class_names,
        attribute_names=data.attribute_names or table.attribute_names,
    )


def order_of_data(content: bytes, name: str) -> str:
    """What of a stored table is in the order of the data: ``rows``, ``people`` (their numbers) or nothing (empty).

    Tables of earlier versions number people by their first row in the data; anyone who has the data reads the ids from that.

    Raises:
        IntegrityError: it cannot be read.
    """
    try:
        table = parquet_table(io.BytesIO(content), Path(name).name, lambda column: "text" if column in _NAMES else "skip")
        ids = np.array(table.column("id"), dtype=np.str_)
        people = np.array(table.column("subject"), dtype=np.int64) if "subject" in table.header else None
    except (InputError, KeyError, ValueError, OverflowError) as error:
        raise IntegrityError(f"{name} cannot be read as predictions: {str(error)[:300]}") from None
    if not (ids[:-1] <= ids[1:]).all():
        return "rows"
    return "people" if people is not None and not np.array_equal(people, by_appearance(people)) else ""


def renumbered(content: bytes) -> bytes:
    """The same table with people numbered in the order of its rows; ``predictions_sha256`` does not change by that."""
    import pandas as pd

    frame = pd.read_parquet(io.BytesIO(content))
    buffer = io.BytesIO()
    frame.assign(subject=by_appearance(frame["subject"].to_numpy(dtype=np.int64))).to_parquet(buffer, index=False)
    return buffer.getvalue()


def stored_inputs(audit: Audit, files: Mapping[str, bytes]) -> AuditInputs:
    """The models of an audit with their stored predictions and, of retrained ones, the records of the rows that they read.

    Args:
        audit: the recorded facts.
        files: the stored tables and records by name.

    Raises:
        IntegrityError: a table is absent, or cannot be read as predictions.
    """

    def model(subject: Subject, ref: ModelRef) -> AuditedModel:
        """One model with its table."""
        name = table_name(subject)
        if name not in files:
            raise IntegrityError(f"there is no {name}")
        table, purged = from_parquet(files[name], name, audit.data), audit.purged.get(str(subject), "")
        return AuditedModel(ref, table, rows_read=files.get(record_file(subject)), purged=purged)

    return AuditInputs(
        candidate=model(CANDIDATE, audit.subject),
        baseline=model(BASELINE, audit.baseline) if audit.baseline else None,
        references=tuple(model(reference(number), ref) for number, ref in enumerate(audit.references, 1)),
        root=model(ROOT, audit.root) if audit.root else None,
    )
