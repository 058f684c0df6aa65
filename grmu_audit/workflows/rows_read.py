"""The record of the rows that a retraining run read: written while it runs, compared with the request when it is audited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from grmu_audit.auditing.rows_read import SCHEMA, names_rows_by_pseudonyms, rows_read_defect
from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.evidence import model_row_names
from grmu_audit.records import ExactEvidence, ModelRef
from grmu_audit.tracking.names import ROWS_READ, SHARDS
from grmu_audit.tracking.references import lineage_root
from grmu_audit.tracking.registration import version_artifact
from grmu_audit.tracking.requests import read_request_record
from grmu_audit.utils import parse_json, sha256_hex

if TYPE_CHECKING:
    import torch

    from grmu_audit.data.dataset import Dataset
    from grmu_audit.workflows.session import Session


SHARDS_SCHEMA = "grmu-audit/shard-rows/v1"
"""Schema of the record of what each member of an ensemble read."""


def places_of_rows(session: Session, dataset: Dataset) -> npt.NDArray[np.int64]:
    """[n] the rank of each row's pseudonym: an order that only the holder of the key can map to rows."""
    names = np.array(session.pseudonyms_of(dataset))
    places = np.empty(len(names), dtype=np.int64)
    places[np.argsort(names)] = np.arange(len(names))
    return places


def rows_read_artifact(session: Session, dataset: Dataset, marks: torch.Tensor, model: str) -> dict[str, Any]:
    """What a run stores: how many rows were read, and the model's names of the training rows that were not.

    Args:
        session: the key.
        dataset: the data.
        marks: [n] whether the row at each place was read (``places_of_rows``).
        model: name of the model that is trained.
    """
    read = marks.numpy()[places_of_rows(session, dataset)]
    names, train = session.pseudonyms_of(dataset), dataset.rows("train")
    unread = [names[row] for row in train.tolist() if not read[row]] + [row.name for row in dataset.deleted_training]
    return {
        "schema": SCHEMA,
        "data_sha256": dataset.identity,
        "training_rows": len(train) + len(dataset.deleted_training),
        "training_rows_read": int(read[train].sum()),
        "other_rows_read": int(read.sum() - read[train].sum()),
        "training_rows_not_read": sorted(model_row_names(model, unread)),
    }


def shards_artifact(
    session: Session, dataset: Dataset, marks: Mapping[int, torch.Tensor], model: str, parent: ModelRef | None
) -> dict[str, Any]:
    """What the training of an ensemble of shards stores: the model's names of the training rows that each member read.

    Members that were not trained in this run are those of the parent, and so is what they read.

    Args:
        session: the key, the store.
        dataset: the data.
        marks: [n] marks of each member that was trained (``places_of_rows``), by its number.
        model: name of the model.
        parent: the version that the other members come from.

    Raises:
        InputError: the parent has no such record, or a member that was not trained has read a row that is gone.
    """
    places, train = places_of_rows(session, dataset), dataset.rows("train")
    names = dict(zip(train.tolist(), model_row_names(model, [session.pseudonyms_of(dataset)[row] for row in train]), strict=True))
    own = {shard: [name for row, name in names.items() if read[places[row]]] for shard, read in marks.items()}
    earlier = _shards_of_parent(session, parent) if parent is not None else {}
    if missing := {name for shard, rows in earlier.items() if shard not in own for name in rows} - set(names.values()):
        raise InputError(
            f"{len(missing)} rows that unchanged members of {parent.label if parent else ''} read are no longer in the data:"
            " use retrain, which trains every member again"
        )
    return {"schema": SHARDS_SCHEMA, "shards": [sorted(rows) for _, rows in sorted((earlier | own).items())]}


def _shards_of_parent(session: Session, parent: ModelRef) -> dict[int, list[str]]:
    """The rows that each member of a version read, by the member's number.

    Raises:
        InputError: it has no record of them.
        IntegrityError: the record is not the one of its run.
    """
    content = version_artifact(session.store, parent, SHARDS)
    if content is None:
        raise InputError(
            f"{parent.label} has no record of which rows each member read, so that nothing shows what its unchanged members hold:"
            " use retrain, or start from a version that was pretrained or retrained here"
        )
    if sha256_hex(content) != parent.config.get("shard_rows_sha256"):
        raise IntegrityError(f"{SHARDS} of {parent.label} is not the record of its run")
    return dict(enumerate(parse_json(content)["shards"]))


def marks_of_shards(session: Session, dataset: Dataset, record: Mapping[str, Any], model: str) -> torch.Tensor:
    """[n] marks of the rows that any member read (``places_of_rows``)."""
    import torch

    read = {name for rows in record["shards"] for name in rows}
    named = [name in read for name in model_row_names(model, session.pseudonyms_of(dataset))]
    marks = torch.zeros(len(named), dtype=torch.bool)
    marks[torch.from_numpy(places_of_rows(session, dataset))] = torch.tensor(named)
    return marks


def exact_evidence(session: Session, ref: ModelRef, dataset: Dataset) -> ExactEvidence | None:
    """What the record of a retrained version shows; None for any other version.

    Verified where the record has the digest in the version's tags, covers every training row of the data, and lists every row of
    the forget set (the union of all requests) among those that were never read.
    """
    if ref.role != "retrain":
        return None
    content = session.store.run_artifact(ref.run_id, ROWS_READ) if ref.run_id else None
    rows = len(dataset.rows("train")) + len(dataset.deleted_training)
    forgotten = read_request_record(session.store, ref).pseudonyms  # its own record of that time: both are under the same key
    named = forgotten if names_rows_by_pseudonyms(content) else model_row_names(ref.name, forgotten)
    defect = rows_read_defect(content, ref, rows, named)
    if defect:
        return ExactEvidence(False, defect)
    return ExactEvidence(
        True,
        f"{ref.label} was trained from {_start(session, ref)}, and its record shows that no row of the forget set was read"
        f"{_by_shards(ref)}.",
    )


def _by_shards(ref: ModelRef) -> str:
    """Which members of an ensemble were trained again; empty for any other network."""
    shards = ref.config.get("shards")
    if not isinstance(shards, dict):
        return ""
    again, kept = (len(list(shards.get(part, ()))) for part in ("retrained", "unchanged"))
    return (
        f" by any of its {again + kept} members: {again} were trained again, {kept} are unchanged and had read none of these rows"
    )


def records_for_bundle(session: Session, version: ModelRef, references: Sequence[ModelRef]) -> dict[str, bytes]:
    """The records of the retrained versions among an audited version and its references, by label.

    The tables of the audit name rows as the record of the audited version does: by names of the model, or by pseudonyms where
    that record is of an earlier form.  The record of a reference that names them in the other way is left out.
    """
    retrained = [ref for ref in (version, *references) if ref.role == "retrain"]
    found = {ref.label: version_artifact(session.store, ref, ROWS_READ) for ref in retrained}
    by_pseudonyms = names_rows_by_pseudonyms(found.get(version.label))
    return {label: record for label, record in found.items() if record and names_rows_by_pseudonyms(record) == by_pseudonyms}


def _start(session: Session, ref: ModelRef) -> str:
    """The weights that its training started from, in words."""
    start = lineage_root(session.store, ref).config.get("start")
    if not isinstance(start, dict):
        return "fresh weights"
    source, digest = str(start.get("source"))[:80], str(start.get("sha256"))[:12]
    return f"the start weights {source} (SHA-256 {digest}...), whatever these were trained on"
