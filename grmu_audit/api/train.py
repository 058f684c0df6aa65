"""Use cases that make versions: pretrain, retrain and unlearn."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grmu_audit.api.choose import Choice, announce, choose, configured
from grmu_audit.api.erasure import ERASURE, erasure_artifact, erasure_records, read_systems
from grmu_audit.api.request import Request, read_request, request_artifact
from grmu_audit.api.resume import Make, checkpoints, made
from grmu_audit.api.session import Session, data_spec
from grmu_audit.data.catalog import DataSpec
from grmu_audit.data.quality import near_copies, sizes_ok
from grmu_audit.datacheck import check, require
from grmu_audit.evidence import canonical_json, pseudonyms
from grmu_audit.records import DataCheckReport, ModelRef
from grmu_audit.records.erasure import ErasureRecord

if TYPE_CHECKING:
    import torch

    from grmu_audit.data.dataset import Dataset
    from grmu_audit.data.source import BatchSource
    from grmu_audit.models.classifier import Classifier
    from grmu_audit.tracking import Run
    from grmu_audit.training.runtime import Runtime
    from grmu_audit.unlearning.base import Method, UnlearningData

TRAINING = "training.json"
"""Artifact of a run: what each epoch logged, for the training curves of a report."""
PREDICTIONS = "predictions.parquet"
"""Artifact of a version's run: its forward pass over all samples."""
QUALITY = "data_quality.json"
"""Artifact of a run: what the quality checks found."""
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
    """How method and options were chosen: router, preset, tuning."""
    erasure: tuple[ErasureRecord, ...] = ()
    """One record for each erasure request in it."""


def pretrain(
    session: Session,
    name: str,
    data: DataSpec,
    *,
    architecture: str = "small_resnet",
    settings: Mapping[str, object],
    seed: int = 0,
    resume: bool = False,
) -> ModelRef:
    """Train on all training samples and register the version.

    Args:
        session: store, key, device.
        name: model name to register under.
        data: dataset and its options.
        architecture: name in ``models.catalog.architectures``.
        settings: options of ``TrainConfig`` that differ from the defaults.
        seed: of initialisation, order and augmentation.
        resume: continue an interrupted run of the same options after its last whole epoch.

    Raises:
        DataQualityError: a quality check failed; nothing was trained.
        DivergedError: training ran to a number that is not finite; nothing was registered.
    """
    from grmu_audit.models.catalog import build
    from grmu_audit.models.classifier import ModelSpec
    from grmu_audit.training.config import TrainConfig
    from grmu_audit.training.fit import fit
    from grmu_audit.training.runtime import derive_seed, place

    config = configured(TrainConfig, settings)
    dataset = session.dataset(data)
    quality = checked(dataset, None)
    header = dataset.header
    spec = ModelSpec(architecture, len(header.class_names), header.image_size, header.mean, header.std, header.class_names)
    recipe = Recipe("pretrain", "train", seed, data, config.model_dump(mode="json"))

    def make(source: BatchSource, runtime: Runtime) -> Classifier:
        """Fresh weights, full recipe."""
        model = build(spec, derive_seed(seed, "init"))
        place(model, runtime.device)
        return fit(model, source, dataset.rows("train"), dataset.rows("val"), config, runtime)

    return _make_version(session, name, dataset, recipe, quality, make, resume=resume)


def unlearn(
    session: Session,
    model: str,
    forget: Path,
    *,
    method: str = "miu",
    settings: Mapping[str, object] | None = None,
    reweight: bool | None = None,
    seed: int | None = None,
    preset: str | None = None,
    trials: int = 0,
    resume: bool = False,
    systems: Path | None = None,
) -> ModelRef:
    """Make a version without the forget set and register it: ``unlearned``, or ``retrain`` for the exact method.

    Args:
        session: store, key, device.
        model: reference of the version to start from.
        forget: forget list.
        method: name in ``unlearning.catalog``, or ``auto``: by the kind of the request.
        settings: options of the method that differ from the defaults (and from the preset).
        reweight: REWEIGHT sampling; None: the method's own default.
        seed: None: the parent's seed.
        preset: ``paper`` or ``paper:DATASET:RATIO:GROUPS``.
        trials: number of configurations to search; 0 searches none.
        resume: continue an interrupted run of the same options after its last whole epoch.
        systems: the operator's list of systems that may hold the data, for the erasure records.

    Raises:
        ForgetListError: the list is invalid, with row numbers.
        DataQualityError: a quality check failed; nothing was trained.
        IntegrityError: the stored parent is not what was registered, or the data changed since.
        DivergedError: the method ran to a number that is not finite; nothing was registered.
    """
    ref = session.store.resolve(model)
    dataset = session.dataset_of(ref)
    request = read_request(session, forget, dataset, ref)
    erasure = erasure_records(request.forget, session.key, read_systems(systems) if systems else ())
    choice = choose(
        request,
        dataset,
        method=method,
        settings=settings or {},
        reweight=reweight,
        preset=preset,
        recipe=_pretrain_settings(session, ref),
    )
    configured(choice.method.config, choice.settings)
    quality = checked(dataset, request)
    seed = seed if seed is not None else ref.seed or 0
    announce(session, choice.facts)
    if trials:
        choice = _tuned(session, choice, ref, dataset, request, seed, trials)
    config = configured(choice.method.config, choice.settings)
    role = "retrain" if choice.method.exact else "unlearned"
    used = config.model_dump(mode="json")
    recipe = Recipe(role, choice.method.name, seed, data_spec(ref), used, ref, choice.reweight, request, choice.facts, erasure)

    def make(source: BatchSource, runtime: Runtime) -> Classifier:
        """The method on the parent's weights."""
        return _run_method(session, choice.method, config, ref, _unlearning_data(source, request, choice.reweight), runtime)

    return _make_version(session, ref.name, dataset, recipe, quality, make, resume=resume)


def _tuned(session: Session, choice: Choice, ref: ModelRef, dataset: Dataset, request: Request, seed: int, trials: int) -> Choice:
    """The choice with the options of its best trial."""
    from grmu_audit.api.tune import tune, tuned_facts
    from grmu_audit.data.source import BatchSource
    from grmu_audit.training.runtime import choose_device

    device = choose_device(session.device)
    data = _unlearning_data(BatchSource(dataset, device), request, choice.reweight)
    found = tune(session, ref, _start(session, ref, device), data, choice, seed, trials)
    if session.progress:
        best = found.best
        sys.stderr.write(f"tuned: trial {best.number} of {trials}, accuracy lost {best.lost:.3f}, attack {best.advantage:.3f}\n")
    return replace(choice, settings=found.best.settings, facts={**choice.facts, "tuned": tuned_facts(found)})


def _pretrain_settings(session: Session, ref: ModelRef) -> dict[str, object]:
    """The recipe that the lineage started with: what an exact method repeats."""
    while ref.role != "pretrain" and ref.parent:
        ref = session.store.resolve(ref.parent)
    settings = ref.config.get("settings")
    return dict(settings) if ref.role == "pretrain" and isinstance(settings, dict) else {}


def _run_method(
    session: Session, method: Method, config: Any, parent: ModelRef, data: UnlearningData, runtime: Runtime
) -> Classifier:
    from grmu_audit.unlearning.base import unlearn as run

    return run(method, _start(session, parent, runtime.device), data, config, runtime)


def _start(session: Session, parent: ModelRef, device: torch.device) -> Classifier:
    """The parent's network on the device."""
    from grmu_audit.models.weights import load_model
    from grmu_audit.training.runtime import place

    with tempfile.TemporaryDirectory(prefix="grmu-audit-") as folder:
        start = load_model(session.store.fetch(parent, Path(folder) / "parent"))
    place(start, device)
    return start


def _unlearning_data(source: BatchSource, request: Request, weighted: bool) -> UnlearningData:
    from grmu_audit.unlearning.base import UnlearningData

    parts = request.splits
    retain, forget, val = (np.asarray(rows, dtype=np.int64) for rows in (parts.retain, parts.forget, parts.val))
    data = UnlearningData(source, retain, forget, val)
    return data.reweighted() if weighted else data


def checked(dataset: Dataset, request: Request | None) -> DataCheckReport:
    """Run the quality checks and insist on them.

    Raises:
        DataQualityError: one failed, each named with what was observed.
    """
    report = check(
        dataset.frame,
        request.forget if request else None,
        class_names=dataset.header.class_names,
        attribute_names=dataset.header.attribute_names,
        content_hashes=dataset.content,
        image_shape_ok=sizes_ok(dataset),
        near_copies=near_copies(dataset),
        excluded=dataset.excluded,
        minimum_group_size=MINIMUM_GROUP,
    )
    require(report)
    return report


def _make_version(
    session: Session, name: str, dataset: Dataset, recipe: Recipe, quality: DataCheckReport, make: Make, *, resume: bool = False
) -> ModelRef:
    """Open the run, train, predict once, store, and register as the last step."""
    from grmu_audit.data.source import BatchSource
    from grmu_audit.evaluation.predict import forward, to_parquet
    from grmu_audit.models.weights import save_model
    from grmu_audit.training.runtime import hardware

    kind = "unlearn" if recipe.role == "unlearned" else recipe.role
    epochs: list[dict[str, float]] = []

    with session.store.run(name, kind, parent=recipe.parent.run_id if recipe.parent else None) as run:

        def log(epoch: int, metrics: Mapping[str, float]) -> None:
            run.log_metrics(metrics, epoch)
            epochs.append({"epoch": epoch + 1, **metrics})

        runtime = session.runtime(recipe.seed, _title(name, recipe), log)
        _log_start(run, dataset, recipe, quality)
        runtime.checkpoints = checkpoints(session, dataset, recipe, runtime, resume)
        source = BatchSource(dataset, runtime.device)
        start = time.perf_counter()
        model = made(make, source, runtime)
        seconds = time.perf_counter() - start
        outputs = forward(model, source, runtime, pseudonyms(session.key, dataset.frame["id"].tolist()))
        run.log_bytes(to_parquet(outputs), PREDICTIONS)
        run.log_bytes(canonical_json(epochs), TRAINING)
        facts = {
            "data": asdict(recipe.data),
            "settings": recipe.settings,
            "seconds": round(seconds, 3),
            "sample_gradients": runtime.sample_gradients,
            "precision": runtime.precision,
            "hardware": hardware(runtime.device),
            "parameters": sum(p.numel() for p in model.parameters()),
            **recipe.chosen,
            **runtime.facts,
        }
        run.log_metrics({"seconds": seconds, "sample_gradients": float(runtime.sample_gradients)})
        with tempfile.TemporaryDirectory(prefix="grmu-audit-") as folder:
            save_model(model, Path(folder) / "model")
            tags = _tags(dataset, recipe, model.spec.architecture, facts)
            ref = session.store.register(run, name, Path(folder) / "model", role=recipe.role, tags=tags)
        runtime.checkpoints.clear()
    alias = ALIASES.get((recipe.role, recipe.reweight)) or ALIASES.get((recipe.role, None))
    if alias is not None:
        session.store.set_alias(name, alias, ref.version)
    return ref


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


def _tags(dataset: Dataset, recipe: Recipe, architecture: str, facts: dict[str, Any]) -> dict[str, str]:
    from grmu_audit.tracking import lineage_tags

    return lineage_tags(
        method=recipe.method,
        reweight=recipe.reweight,
        parent=recipe.parent.label if recipe.parent else None,
        seed=recipe.seed,
        data_digest=dataset.digest,
        forget_digest=recipe.request.forget.digest if recipe.request else None,
        architecture=architecture,
        config=facts,
    )
