"""Creates a version: one run that builds the network, predicts once, stores everything, and registers as its last step."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grmu_audit.data.catalog import DataSpec
from grmu_audit.errors import DivergedError
from grmu_audit.evidence import key_check, noise_secret
from grmu_audit.evidence.ledger import Author
from grmu_audit.evidence.signing import configured_signer
from grmu_audit.records import DataCheckReport, ModelRef
from grmu_audit.records.lineage import ErasureRecord
from grmu_audit.tracking.names import (
    CANDIDATE,
    ERASURE,
    PREDICTIONS,
    QUALITY,
    REFERENCE,
    REQUEST,
    ROWS,
    ROWS_READ,
    SHARDS,
    START,
    TRAINING,
)
from grmu_audit.utils import canonical_json, sha256_hex
from grmu_audit.workflows.erasure import erasure_artifact
from grmu_audit.workflows.forget_requests import CheckedRequest, request_artifact
from grmu_audit.workflows.rows_read import marks_of_shards, places_of_rows, rows_read_artifact, shards_artifact
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.costs import Cost, measured_cost
from grmu_audit.workflows.versions.precision import INFERENCE, measured_precision

if TYPE_CHECKING:
    from grmu_audit.data.batches import BatchSource
    from grmu_audit.data.dataset import Dataset
    from grmu_audit.data.rows import RowTable
    from grmu_audit.evaluation.predict import ModelOutputs
    from grmu_audit.models.classifier import Classifier, StartWeights
    from grmu_audit.tracking import Run
    from grmu_audit.training.calibration import Job
    from grmu_audit.training.checkpoint import Checkpoints
    from grmu_audit.training.runtime import Runtime

GROUP_WISE = "group_wise"
"""Part of a version's record: the options of Group-DRO in pretraining."""
TRAINED = "train"
"""Method of a version that was pretrained here."""
REGISTERED = "registered"
"""Method of a version that was trained elsewhere."""
NetworkBuilder = Callable[["BatchSource", "Runtime"], "Classifier"]
"""Builds or trains the network of a version."""


@dataclass(frozen=True)
class VersionPlan:
    """What a version is created from, as its run and tags record it."""

    name: str
    """Model name to register under."""
    dataset: Dataset
    """The dataset that it is trained on."""
    quality: DataCheckReport
    """Results of the quality checks."""
    role: str
    """``pretrain``, ``retrain`` or ``unlearned``."""
    method: str
    """Training or unlearning method."""
    seed: int
    """Seed of the run."""
    data: DataSpec
    """How to get the dataset again."""
    settings: dict[str, Any]
    """Every option that was used."""
    parent: ModelRef | None = None
    """The version that it starts from."""
    reweight: bool = False
    """REWEIGHT sampling of the retain set."""
    request: CheckedRequest | None = None
    """The forget request."""
    choices: dict[str, Any] = field(default_factory=dict)
    """How method, network and options were chosen: architecture options, start weights, router, preset, tuning."""
    erasure: tuple[ErasureRecord, ...] = ()
    """One record for each erasure request in it."""
    start: StartWeights | None = None
    """The weights that pretraining starts from, which are stored for exact methods."""
    network: dict[str, Any] = field(default_factory=dict)
    """The model spec of a fresh network; empty for one that has a parent."""

    @property
    def alias(self) -> str:
        """Alias that the version gets, or empty; ``champion`` is moved by promotions alone."""
        if self.role == "retrain" and self.reweight:
            return REFERENCE
        return CANDIDATE if self.role == "unlearned" else ""

    @property
    def title(self) -> str:
        """Name of the step, for progress."""
        plus = " + REWEIGHT" if self.reweight else ""
        return f"{self.role if self.role == 'pretrain' else self.method}{plus} {self.name}"


@dataclass(frozen=True)
class Version:
    """A registered version and its forward pass."""

    ref: ModelRef
    """Name and number."""
    outputs: ModelOutputs
    """Logits of all samples."""


def make_version(
    session: Session, plan: VersionPlan, build: NetworkBuilder, network: Classifier, resume: bool = False
) -> Version:
    """Open the run, build the network, predict once, store, and register as the last step.

    Args:
        session: store, key, device.
        plan: what the record says.
        build: builds the network.
        network: one of the same kind, on which precision is measured; not changed.
        resume: continue an interrupted run.
    """
    from grmu_audit.data.batches import BatchSource
    from grmu_audit.evaluation.precision_guard import settle_inference
    from grmu_audit.evaluation.predict import predict_all

    session.create_store()
    author = Author(session.actor, configured_signer())
    kind = "unlearn" if plan.role == "unlearned" else plan.role
    with session.store.run(plan.name, kind, parent=plan.parent.run_id if plan.parent else None) as run:
        epochs: list[dict[str, float]] = []
        runtime = session.runtime(plan.seed, plan.title)
        measured_precision(session, runtime, network, _job(plan), plan.parent)
        _start(session, plan, run, runtime, epochs)
        runtime.checkpoints = checkpoints(session, plan, runtime, resume)
        source = BatchSource(plan.dataset, runtime.device)
        runtime.secret = noise_secret(session.key, plan.name, plan.dataset.identity)
        if plan.role == "retrain" or (network.spec.architecture == "sisa" and plan.method == TRAINED):
            runtime.rows_read = source.record_rows(places_of_rows(session, plan.dataset))
        with measured_cost(runtime.device) as cost:
            model = build_network(build, source, runtime)
        cost.seconds += runtime.seconds_elsewhere
        run.log_bytes(canonical_json(epochs), TRAINING)
        _log_rows_read(session, run, plan, runtime)
        settle_inference(model, source, runtime)
        outputs = predict_all(model, source, runtime, session.pseudonyms_of(plan.dataset))
        _log_end(run, plan, outputs, runtime, cost)
        described = _described(plan, key_check(session.key), model.spec.architecture, _config(plan, model, runtime, cost))
        ref = _register(session, run, model, described, author)
        _enter_key(session, ref)
        if runtime.checkpoints is not None:
            runtime.checkpoints.clear()
    if plan.alias:
        session.store.set_alias(plan.name, plan.alias, ref.version)
    return Version(ref, outputs)


def build_network(build: NetworkBuilder, source: BatchSource, runtime: Runtime) -> Classifier:
    """The network; checkpoints of a run that diverged are removed.

    Raises:
        DivergedError: as the method raised it.
    """
    try:
        return build(source, runtime)
    except DivergedError:
        if runtime.checkpoints is not None:
            runtime.checkpoints.clear()
        raise


def checkpoints(session: Session, plan: VersionPlan, runtime: Runtime, resume: bool) -> Checkpoints:
    """Where the run's epochs are stored, keyed by everything that its weights depend on.

    Args:
        session: its folder holds the files.
        plan: dataset, parent, method, settings, seed.
        runtime: device and precision, which the weights depend on too.
        resume: continue from existing files; otherwise they are removed.
    """
    from grmu_audit.training.checkpoint import Checkpoints

    parent, request = plan.parent, plan.request
    key = sha256_hex(
        canonical_json(
            {
                "network": plan.network or None,
                "parent": [parent.label, parent.manifest_sha256] if parent else None,
                "data": plan.dataset.digest,
                "request": request.forget.forget_digest if request else None,
                "method": plan.method,
                "settings": {**plan.settings, **plan.choices.get(GROUP_WISE, {})},
                "reweight": plan.reweight,
                "seed": plan.seed,
                "device": runtime.device.type,
                "precision": runtime.precision,
            }
        )
    )
    stored = Checkpoints(session.root / "checkpoints" / key[:32], key, resume)
    if not resume:
        stored.clear()
    elif not stored.found():
        session.observer.note("--resume: no interrupted run with these options; starting from the first epoch")
    return stored


def _job(plan: VersionPlan) -> Job:
    """The work of building the network and predicting with it, by the epochs of its settings."""
    from grmu_audit.training.calibration import Job

    epochs = 0 if plan.method == REGISTERED else int(plan.settings.get("epochs", 0))
    rows = len(plan.dataset.rows("train"))
    return Job(len(plan.dataset) + epochs * len(plan.dataset.rows("val")), epochs * rows)


def _start(session: Session, plan: VersionPlan, run: Run, runtime: Runtime, epochs: list[dict[str, float]]) -> None:
    """Log what is known before the network is built; what its epochs log goes to the run then, and into ``epochs``."""

    def log(epoch: int, metrics: Mapping[str, float]) -> None:
        run.log_metrics(metrics, epoch)
        epochs.append({"epoch": epoch + 1, **metrics})

    runtime.log = log
    _log_start(run, plan)
    run.log_bytes(_rows(session, plan).to_bytes(), ROWS)


def _log_start(run: Run, plan: VersionPlan) -> None:
    dataset = plan.dataset
    run.log_params({"method": plan.method, "seed": plan.seed, "reweight": plan.reweight, **plan.settings})
    run.log_dataset(dataset.header.name, dataset.digest, facts={s: len(dataset.rows(s)) for s in ("train", "val", "test")})
    run.log_bytes(canonical_json(asdict(plan.quality)), QUALITY)
    if plan.request is not None:
        run.log_bytes(canonical_json(request_artifact(plan.request)), REQUEST)
    if plan.erasure:
        run.log_bytes(erasure_artifact(plan.erasure), ERASURE)


def _log_rows_read(session: Session, run: Run, plan: VersionPlan, runtime: Runtime) -> None:
    """Store which rows were read while the network was built, and note the digest for the version's tags."""
    if runtime.rows_read is None:
        return
    if runtime.shard_rows:
        record = shards_artifact(session, plan.dataset, runtime.shard_rows, plan.name, plan.parent)
        written = canonical_json(record)
        run.log_bytes(written, SHARDS)
        runtime.notes["shard_rows_sha256"] = sha256_hex(written)
        runtime.rows_read |= marks_of_shards(session, plan.dataset, record, plan.name)
    if plan.role != "retrain":
        return
    content = canonical_json(rows_read_artifact(session, plan.dataset, runtime.rows_read, plan.name))
    run.log_bytes(content, ROWS_READ)
    runtime.notes["rows_read_sha256"] = sha256_hex(content)


def _rows(session: Session, plan: VersionPlan) -> RowTable:
    """The rows of the data, with those that were forgotten and deleted since."""
    from grmu_audit.data.rows import row_table

    recorded = session.recorded_rows(plan.parent) if plan.parent and plan.dataset.deleted else None
    return row_table(plan.dataset, session.key, recorded)


def _log_end(run: Run, plan: VersionPlan, outputs: ModelOutputs, runtime: Runtime, cost: Cost) -> None:
    from grmu_audit.evaluation.predict import to_parquet

    run.log_bytes(to_parquet(outputs), PREDICTIONS)
    run.log_metrics({"seconds": cost.seconds, "sample_gradients": float(runtime.sample_gradients), **cost.resources})
    if plan.start is not None:
        from safetensors.torch import save

        run.log_bytes(save(dict(plan.start.tensors)), START)


def _config(plan: VersionPlan, model: Classifier, runtime: Runtime, cost: Cost) -> dict[str, Any]:
    """What the version's tags say of how it was created."""
    from grmu_audit.training.runtime import hardware

    return {
        "data": asdict(plan.data),
        "settings": plan.settings,
        "seconds": round(cost.seconds, 3),
        "sample_gradients": runtime.sample_gradients,
        "resources": cost.resources,
        "precision": runtime.precision,
        **({INFERENCE: asdict(runtime.inference)} if runtime.inference is not None else {}),
        "hardware": hardware(runtime.device),
        "parameters": sum(p.numel() for p in model.parameters()),
        **plan.choices,
        **runtime.notes,
    }


def _register(session: Session, run: Run, model: Classifier, described: ModelRef, author: Author) -> ModelRef:
    from grmu_audit.models.weights import save_model
    from grmu_audit.tracking import lineage_tags

    tags, role = lineage_tags(described), described.role
    with tempfile.TemporaryDirectory(prefix="grmu-audit-") as folder:
        save_model(model, Path(folder) / "model")
        return session.store.register(run, described.name, Path(folder) / "model", role=role, tags=tags, author=author)


def _enter_key(session: Session, ref: ModelRef) -> None:
    """Enter the check value of the key in the model's ledger, where no entry names one yet."""
    from grmu_audit.tracking import read_ledger
    from grmu_audit.tracking.ledger import append_entry
    from grmu_audit.utils.clock import timestamp

    ledger = read_ledger(session.store, ref.name)
    if ledger.key_check is None:
        check = key_check(session.key)
        entry = ledger.new_entry("key", version=ref.version, key_check=check, actor=session.actor, time=timestamp())
        append_entry(session.store, entry, ref)


def _described(plan: VersionPlan, check: str, architecture: str, config: dict[str, Any]) -> ModelRef:
    """The version before it has a number."""
    forget = plan.request.forget if plan.request else None
    return ModelRef(
        plan.name,
        "",
        role=plan.role,
        method=plan.method,
        reweight=plan.reweight,
        parent=plan.parent.label if plan.parent else None,
        seed=plan.seed,
        data_digest=plan.dataset.identity,
        forget_digest=forget.forget_digest if forget else None,
        request_digest=forget.digest if forget else None,
        key_check=check,
        architecture=architecture,
        config=config,
    )
