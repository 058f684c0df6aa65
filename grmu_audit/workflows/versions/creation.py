"""How a version comes to be: one run that makes the network, predicts once, stores everything, and registers as its last step."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grmu_audit.data.catalog import DataSpec
from grmu_audit.data.quality import check_quality, require_passed
from grmu_audit.errors import DivergedError
from grmu_audit.evidence import key_check, pseudonyms
from grmu_audit.records import DataCheckReport, ModelRef
from grmu_audit.records.lineage import ErasureRecord
from grmu_audit.tracking.names import ERASURE, PREDICTIONS, QUALITY, START, TRAINING
from grmu_audit.utils import canonical_json, sha256_hex
from grmu_audit.workflows.erasure import erasure_artifact
from grmu_audit.workflows.forget_requests import Request, request_artifact, require_key_of_model
from grmu_audit.workflows.session import Session

if TYPE_CHECKING:
    from grmu_audit.data.batches import BatchSource
    from grmu_audit.data.dataset import Dataset
    from grmu_audit.evaluation.predict import ModelOutputs
    from grmu_audit.models.classifier import Classifier, StartWeights
    from grmu_audit.tracking import Run
    from grmu_audit.training.checkpoint import Checkpoints
    from grmu_audit.training.runtime import Runtime

Make = Callable[["BatchSource", "Runtime"], "Classifier"]
"""Makes the network of a version."""


def checkpoints(session: Session, dataset: Dataset, recipe: Recipe, runtime: Runtime, resume: bool) -> Checkpoints:
    """Where the run's epochs are kept, keyed by everything that its weights depend on.

    Args:
        session: its folder holds the files.
        dataset: what is trained on.
        recipe: parent, method, settings, seed.
        runtime: device and precision, which the weights depend on too.
        resume: continue from existing files; otherwise they are removed.
    """
    from grmu_audit.training.checkpoint import Checkpoints

    parent, request = recipe.parent, recipe.request
    key = sha256_hex(
        canonical_json(
            {
                "network": recipe.network or None,
                "parent": [parent.label, parent.manifest_sha256] if parent else None,
                "data": dataset.digest,
                "request": request.forget.forget_digest if request else None,
                "method": recipe.method,
                "settings": recipe.settings,
                "reweight": recipe.reweight,
                "seed": recipe.seed,
                "device": runtime.device.type,
                "precision": runtime.precision,
            }
        )
    )
    kept = Checkpoints(session.root / "checkpoints" / key[:32], key, resume)
    if not resume:
        kept.clear()
    elif session.progress and not kept.found():
        sys.stderr.write("--resume: no interrupted run with these options; starting from the first epoch\n")
    return kept


def made(make: Make, source: BatchSource, runtime: Runtime) -> Classifier:
    """The network; checkpoints of a run that diverged are of no use and go.

    Raises:
        DivergedError: as the method raised it.
    """
    try:
        return make(source, runtime)
    except DivergedError:
        if runtime.checkpoints is not None:
            runtime.checkpoints.clear()
        raise


ALIASES = {("unlearned", None): "candidate", ("retrain", True): "reference"}
"""Alias that a new version gets, by role and REWEIGHT; ``champion`` is only ever moved by a promotion."""
MINIMUM_GROUP = 1
"""Test samples that every group needs before anything is trained; policies ask for more."""


@dataclass(frozen=True)
class Recipe:
    """What a version is made of, as its run and tags record it."""

    role: str
    """``pretrain``, ``retrain`` or ``unlearned``."""
    method: str
    """Training or unlearning method."""
    seed: int
    """Seed of the run."""
    data: DataSpec
    """How to get the data again."""
    settings: dict[str, Any]
    """Every option that was used."""
    parent: ModelRef | None = None
    """The version it was made from."""
    reweight: bool = False
    """REWEIGHT sampling of the retain set."""
    request: Request | None = None
    """The forget request."""
    chosen: dict[str, Any] = field(default_factory=dict)
    """How method, network and options were chosen: architecture options, start weights, router, preset, tuning."""
    erasure: tuple[ErasureRecord, ...] = ()
    """One record for each erasure request in it."""
    start: StartWeights | None = None
    """The weights that pretraining starts from, to be kept for exact methods."""
    network: dict[str, Any] = field(default_factory=dict)
    """The model spec of a fresh network; empty for one that has a parent."""


def checked(dataset: Dataset, request: Request | None) -> DataCheckReport:
    """Run the quality checks and insist on them.

    Raises:
        DataQualityError: one failed, each named with what was observed.
    """
    report = check_quality(dataset, request.forget if request else None, MINIMUM_GROUP)
    require_passed(report)
    return report


@dataclass(frozen=True)
class Version:
    """A registered version and the forward pass that was made for it."""

    ref: ModelRef
    """Name and number."""
    outputs: ModelOutputs
    """Logits of all samples."""


def make_version(
    session: Session, name: str, dataset: Dataset, recipe: Recipe, quality: DataCheckReport, make: Make, *, resume: bool = False
) -> ModelRef:
    """Open the run, train, predict once, store, and register as the last step.

    Args:
        session: store, key, device.
        name: model name to register under.
        dataset: what is trained on.
        recipe: what the record says.
        quality: what the checks found.
        make: makes the network.
        resume: continue an interrupted run.
    """
    return make_evaluated(session, name, dataset, recipe, quality, make, resume=resume).ref


def make_evaluated(
    session: Session, name: str, dataset: Dataset, recipe: Recipe, quality: DataCheckReport, make: Make, *, resume: bool = False
) -> Version:
    """As ``make_version``, with the predictions that were made."""
    from grmu_audit.data.batches import BatchSource
    from grmu_audit.evaluation.predict import predict_all

    require_key_of_model(session, name)
    kind = "unlearn" if recipe.role == "unlearned" else recipe.role
    with session.store.run(name, kind, parent=recipe.parent.run_id if recipe.parent else None) as run:
        runtime, epochs = _opened(session, name, dataset, recipe, quality, run, resume)
        source = BatchSource(dataset, runtime.device)
        start = time.perf_counter()
        model = made(make, source, runtime)
        seconds = time.perf_counter() - start
        run.log_bytes(canonical_json(epochs), TRAINING)
        outputs = predict_all(model, source, runtime, pseudonyms(session.key, dataset.frame["id"].tolist()))
        _log_end(run, recipe, outputs, runtime, seconds)
        ref = _registered(session, run, name, dataset, recipe, model, _facts(recipe, model, runtime, seconds))
        if runtime.checkpoints is not None:
            runtime.checkpoints.clear()
    alias = ALIASES.get((recipe.role, recipe.reweight)) or ALIASES.get((recipe.role, None))
    if alias is not None:
        session.store.set_alias(name, alias, ref.version)
    return Version(ref, outputs)


def _opened(
    session: Session, name: str, dataset: Dataset, recipe: Recipe, quality: DataCheckReport, run: Run, resume: bool
) -> tuple[Runtime, list[dict[str, float]]]:
    """Where the network is made, and what its epochs will log."""
    epochs: list[dict[str, float]] = []

    def log(epoch: int, metrics: Mapping[str, float]) -> None:
        """To the run now, and as a table at the end."""
        run.log_metrics(metrics, epoch)
        epochs.append({"epoch": epoch + 1, **metrics})

    runtime = session.runtime(recipe.seed, _title(name, recipe), log)
    _log_start(run, dataset, recipe, quality)
    runtime.checkpoints = checkpoints(session, dataset, recipe, runtime, resume)
    return runtime, epochs


def _facts(recipe: Recipe, model: Classifier, runtime: Runtime, seconds: float) -> dict[str, Any]:
    """What the version's tags say of how it was made."""
    from grmu_audit.training.runtime import hardware

    return {
        "data": asdict(recipe.data),
        "settings": recipe.settings,
        "seconds": round(seconds, 3),
        "sample_gradients": runtime.sample_gradients,
        "precision": runtime.precision,
        "hardware": hardware(runtime.device),
        "parameters": sum(p.numel() for p in model.parameters()),
        **recipe.chosen,
        **runtime.notes,
    }


def _registered(
    session: Session, run: Run, name: str, dataset: Dataset, recipe: Recipe, model: Classifier, facts: dict[str, Any]
) -> ModelRef:
    from grmu_audit.models.weights import save_model

    with tempfile.TemporaryDirectory(prefix="grmu-audit-") as folder:
        save_model(model, Path(folder) / "model")
        tags = _tags(dataset, recipe, session.key, model.spec.architecture, facts)
        return session.store.register(run, name, Path(folder) / "model", role=recipe.role, tags=tags)


def _title(name: str, recipe: Recipe) -> str:
    plus = " + REWEIGHT" if recipe.reweight else ""
    return f"{recipe.role if recipe.role == 'pretrain' else recipe.method}{plus} {name}"


def _log_start(run: Run, dataset: Dataset, recipe: Recipe, quality: DataCheckReport) -> None:
    run.log_params({"method": recipe.method, "seed": recipe.seed, "reweight": recipe.reweight, **recipe.settings})
    run.log_dataset(dataset.header.name, dataset.digest, facts={s: len(dataset.rows(s)) for s in ("train", "val", "test")})
    run.log_bytes(canonical_json(asdict(quality)), QUALITY)
    if recipe.request is not None:
        run.log_bytes(canonical_json(request_artifact(recipe.request)), "request.json")
    if recipe.erasure:
        run.log_bytes(erasure_artifact(recipe.erasure), ERASURE)


def _log_end(run: Run, recipe: Recipe, outputs: ModelOutputs, runtime: Runtime, seconds: float) -> None:
    from grmu_audit.evaluation.predict import to_parquet

    run.log_bytes(to_parquet(outputs), PREDICTIONS)
    run.log_metrics({"seconds": seconds, "sample_gradients": float(runtime.sample_gradients)})
    if recipe.start is not None:
        from safetensors.torch import save

        run.log_bytes(save(dict(recipe.start.tensors)), START)


def _tags(dataset: Dataset, recipe: Recipe, key: bytes, architecture: str, facts: dict[str, Any]) -> dict[str, str]:
    from grmu_audit.tracking import lineage_tags

    return lineage_tags(
        method=recipe.method,
        reweight=recipe.reweight,
        parent=recipe.parent.label if recipe.parent else None,
        seed=recipe.seed,
        data_digest=dataset.digest,
        forget_digest=recipe.request.forget.forget_digest if recipe.request else None,
        request_digest=recipe.request.forget.digest if recipe.request else None,
        key_check=key_check(key),
        architecture=architecture,
        config=facts,
    )
