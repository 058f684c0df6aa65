"""Compares what is stored of a version with a new forward pass of its network: before it is bound, and later on a sample."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from grmu_audit.auditing import stored_predictions
from grmu_audit.errors import InconclusiveError, InputError, IntegrityError
from grmu_audit.evidence import key_path, model_row_names, set_digest
from grmu_audit.evidence.attestation import tables_of
from grmu_audit.evidence.ledger import Author
from grmu_audit.evidence.registration import registration_of
from grmu_audit.evidence.signing import configured_signer
from grmu_audit.records import SPLITS, ModelRef
from grmu_audit.tracking import artifacts, read_ledger, require_model
from grmu_audit.tracking.names import PREDICTIONS, RUN_FILES
from grmu_audit.tracking.registration import enter_registration, version_artifact
from grmu_audit.tracking.requests import Lineages, read_request_record
from grmu_audit.utils import sha256_hex
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.network import load_network
from grmu_audit.workflows.versions.precision import inference_runtime, recorded_precision

if TYPE_CHECKING:
    from grmu_audit.data.dataset import Dataset
    from grmu_audit.evaluation.predict import ModelOutputs
    from grmu_audit.tracking.audits import Evidence

TOLERANCE = {"fp32": 1e-3, "bf16": 5e-2}
"""Largest difference of two logits as a share of the largest one, or of 1 where all are smaller: devices round differently."""
SAMPLE = 256
"""Rows of a sample: a tenth of the rows exchanged stays unseen with a probability of 2e-12."""


def bind(session: Session, name: str) -> list[ModelRef]:
    """Measure the versions again that were registered before registration records were kept, and enter a record of each.

    Files, data, the forget set and every stored output are compared with what the tags name and what the network gives.  The tags
    themselves are taken as they are: nothing of that time shows what they were.

    Args:
        session: store, and the key that the pseudonyms were created with.
        name: registered model.

    Returns:
        The versions that are bound now and were not before.

    Raises:
        InputError: the pseudonyms of a version were created with another key.
        IntegrityError: what is stored of a version is not what it gives; it and all later versions stay as they are.
    """
    author, bound = Author(session.actor, configured_signer()), list[ModelRef]()
    for ref in require_model(session.store, name):
        if registration_of(read_ledger(session.store, name), ref) is not None:
            continue
        if ref.run_id is None or ref.manifest_sha256 is None:
            session.observer.note(f"{ref.label} was not registered by this tool: it stays unbound")
            continue
        _compare_with_tags(session, ref)
        check_outputs(session, ref)
        stored = {file: session.store.run_artifact(ref.run_id, file) for file in RUN_FILES}
        digests = {file: sha256_hex(content) for file, content in stored.items() if content is not None}
        enter_registration(session.store, ref, session.store.tags(ref), digests, author)
        bound.append(ref)
    return bound


def check_outputs(session: Session, ref: ModelRef, sample: int | None = None) -> int:
    """Compare the stored outputs of a version with a new forward pass of its network.

    Args:
        session: store, key, device.
        ref: the version.
        sample: how many rows, drawn anew each time so that nobody knows them before; None: all.

    Returns:
        How many rows were compared; 0 where no outputs are stored, or none under the operator's key: audits read no others.

    Raises:
        IntegrityError: an output, a class, a group or a split is another one.
    """
    from grmu_audit.evaluation.predict import from_parquet

    stored = version_artifact(session.store, ref, PREDICTIONS) if session.has_key_of(ref) else None
    if stored is None:
        return 0
    lineages = Lineages(session.store)  # rows may be gone that a later version was created without
    forgotten = frozenset[str]().union(*(lineages.forgotten(one) for one in session.store.versions(ref.name)))
    dataset, outputs = session.dataset_of(ref, forgotten), from_parquet(stored)
    chosen = _drawn(np.arange(len(dataset), dtype=np.int64), sample)
    places = _places(session, dataset, outputs, ref)[chosen]
    what = f"{PREDICTIONS} of {ref.label}"
    for column in ("split", "target", "attribute"):
        _compare_column(what, column, dataset.frame[column].to_numpy()[chosen], getattr(outputs, column)[places])
    _compare_logits(session, ref, what, _logits(session, ref, dataset, chosen), outputs.logits[places])
    return len(chosen)


def check_audited(session: Session, evidence: Evidence, ref: ModelRef, sample: int | None = None) -> int:
    """Compare what an audit rests on with a new forward pass: the stored outputs of a version, else the audit's own table of it.

    Audits compute outputs of their own where none are stored under the operator's key, as after a rotation.

    Args:
        session: store, key, device.
        evidence: the audit.
        ref: one of its versions.
        sample: how many rows, as for ``check_outputs``.

    Returns:
        How many rows were compared, at least one.

    Raises:
        InconclusiveError: there is nothing that can be compared.
        IntegrityError: an output, a class, a group or a split is another one.
    """
    if count := check_outputs(session, ref, sample):
        return count
    names = [name for name, found in tables_of(evidence.audit).items() if found.label == ref.label]
    return min(_check_table(session, evidence, ref, name, sample) for name in names)


def _check_table(session: Session, evidence: Evidence, ref: ModelRef, name: str, sample: int | None) -> int:
    """Compare one table of an audit with the data, the request and a new forward pass; the number of rows."""
    what, dataset = f"the audit's table {name} of {ref.label}", session.dataset_of(evidence.ref)
    content = session.store.run_artifact(evidence.run_id, name)
    table = None if content is None else stored_predictions.from_parquet(content, name, evidence.audit.data)
    where = {} if table is None else {one: place for place, one in enumerate(table.ids.tolist())}
    lineages, names = Lineages(session.store), session.pseudonyms_of(dataset)
    forgotten, withheld = lineages.left_out(evidence.ref), lineages.withheld(evidence.ref)
    if where.keys().isdisjoint(names):  # all audits but those of a retrained version of earlier call rows by names of the model
        forgotten, withheld = (frozenset(model_row_names(evidence.ref.name, sorted(rows))) for rows in (forgotten, withheld))
        names = model_row_names(evidence.ref.name, names)
    shared = np.asarray([row for row, one in enumerate(names) if one in where], dtype=np.int64)
    if table is None or table.logits is None or not len(shared):
        why = "is not stored" if table is None else "names no row by that key" if not len(shared) else "has no logits"
        raise InconclusiveError(
            f"nothing of {ref.label} can be compared with a new forward pass, which the policy of {evidence.ref.label} asks for:"
            f" no outputs of it are stored under the key in {key_path()}, and {what} {why}; audit {evidence.ref.label} again"
            " under that key"
        )
    if odd := (where.keys() ^ set(names)) - forgotten - withheld:  # withheld rows are in no table, deleted ones not in the data
        raise IntegrityError(f"{what} differs from the data in {len(odd)} rows that no request named")
    chosen = _drawn(shared, sample)
    places = np.asarray([where[names[row]] for row in chosen], dtype=np.int64)
    named = np.asarray(["forget" if names[row] in forgotten else "retain" for row in chosen])
    split = dataset.frame["split"].to_numpy()[chosen]
    _compare_column(what, "split", np.where(split == "train", named, split), np.asarray(SPLITS)[table.split[places]])
    for column in ("target", "attribute"):
        _compare_column(what, column, dataset.frame[column].to_numpy()[chosen], getattr(table, column)[places])
    _compare_column(what, "prediction", table.logits.argmax(1), table.prediction, "its logits")
    _compare_logits(session, ref, what, _logits(session, ref, dataset, chosen), table.logits[places])
    return len(chosen)


def _compare_with_tags(session: Session, ref: ModelRef) -> None:
    """Files, lineage and forget set are those that the tags name; the data is compared where outputs are."""
    artifacts.check_digest(ref, session.store.manifest_of(ref))
    Lineages(session.store).line(ref)
    if not session.has_key_of(ref):
        raise InputError(
            f"what is stored of {ref.label} was created with another key than the one in {key_path()}: only with that key can it"
            " be compared"
        )
    if not ref.forget_digest:
        return
    dataset, record = session.dataset_of(ref), read_request_record(session.store, ref)
    ids = dict(zip(session.pseudonyms_of(dataset), dataset.frame["id"].tolist(), strict=True))
    if set_digest(session.key, [ids.get(name, name) for name in record.pseudonyms | record.withheld]) != ref.forget_digest:
        raise IntegrityError(f"the request of {ref.label} was changed: its rows do not have the digest in the version's tags")


def _drawn(rows: npt.NDArray[np.int64], sample: int | None) -> npt.NDArray[np.int64]:
    """A random sample of rows in their order; None: all."""
    count = len(rows) if sample is None else min(sample, len(rows))
    return np.sort(np.random.default_rng(secrets.randbits(128)).choice(rows, count, replace=False))


def _places(session: Session, dataset: Dataset, outputs: ModelOutputs, ref: ModelRef) -> npt.NDArray[np.int64]:
    """[n] where the output of each row of the data is."""
    where = {name: place for place, name in enumerate(outputs.ids.tolist())}
    names = session.pseudonyms_of(dataset)
    missing = sum(name not in where for name in names)
    if missing or len(where) != len(outputs.ids):
        raise IntegrityError(f"{PREDICTIONS} of {ref.label} lacks {missing} of {len(names)} rows of its data, or names one twice")
    return np.asarray([where[name] for name in names], dtype=np.int64)


def _logits(session: Session, ref: ModelRef, dataset: Dataset, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    from grmu_audit.data.batches import BatchSource
    from grmu_audit.training.inference import infer

    runtime = inference_runtime(session, 0, recorded_precision(ref))
    model = load_network(session, ref, runtime.device)
    found: npt.NDArray[np.float64] = infer(model, BatchSource(dataset, runtime.device), rows, runtime).double().cpu().numpy()
    return found


def _compare_column(what: str, column: str, right: npt.NDArray[Any], stored: npt.NDArray[Any], source: str = "the data") -> None:
    wrong = int((right != stored).sum())
    if wrong:
        raise IntegrityError(f"{what} has another {column} than {source} in {wrong} of {len(stored)} rows")


def _compare_logits(
    session: Session, ref: ModelRef, what: str, found: npt.NDArray[np.float64], stored: npt.NDArray[np.float64]
) -> None:
    used = inference_runtime(session, 0, recorded_precision(ref)).without_gradients.precision
    allowed = max(TOLERANCE[name] for name in (used, recorded_precision(ref)))
    if found.shape != stored.shape:
        raise IntegrityError(f"{what} has {stored.shape[1]} logits a row, the network {found.shape[1]}")
    scale = max(1.0, float(np.abs(found).max(initial=0.0)))
    near = np.isfinite(found) & (np.abs(found - stored) <= allowed * scale)  # an infinite logit makes the scale infinite
    wrong = int((~near).any(axis=1).sum())
    if wrong:
        raise IntegrityError(
            f"{what} was not computed from its weights: in {wrong} of {len(found)} rows the network gives"
            f" other logits (by more than {allowed:g} of the largest)"
        )
