"""Use cases that make versions: pretrain, retrain and unlearn."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grmu_audit.api.erasure import ERASURE, erasure_artifact, erasure_records, read_systems
from grmu_audit.api.request import Request, read_request, request_artifact
from grmu_audit.api.session import Session, data_spec
from grmu_audit.data.catalog import DataSpec
from grmu_audit.datacheck import check, require
from grmu_audit.errors import InputError
from grmu_audit.evidence import canonical_json, pseudonyms
from grmu_audit.records import DataCheckReport, ModelRef
from grmu_audit.records.erasure import ErasureRecord

if TYPE_CHECKING:
    from pydantic import BaseModel

    from grmu_audit.data.dataset import Dataset
    from grmu_audit.data.source import BatchSource
    from grmu_audit.models.classifier import Classifier
    from grmu_audit.tracking import Run
    from grmu_audit.training.runtime import Runtime
    from grmu_audit.unlearning.base import Method, UnlearningData

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
) -> ModelRef:
    """Train on all training samples and register the version.

    Args:
        session: store, key, device.
        name: model name to register under.
        data: dataset and its options.
        architecture: name in ``models.catalog.architectures``.
        settings: options of ``TrainConfig`` that differ from the defaults.
        seed: of initialisation, order and augmentation.

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

    return _make_version(session, name, dataset, recipe, quality, make)


def unlearn(
    session: Session,
    model: str,
    forget: Path,
    *,
    method: str = "miu",
    settings: Mapping[str, object] | None = None,
    reweight: bool | None = None,
    seed: int | None = None,
    systems: Path | None = None,
) -> ModelRef:
    """Make a version without the forget set and register it: ``unlearned``, or ``retrain`` for the exact method.

    Args:
        session: store, key, device.
        model: reference of the version to start from.
        forget: forget list.
        method: name in ``unlearning.catalog``.
        settings: options of the method that differ from the defaults.
        reweight: REWEIGHT sampling; None: the method's own default.
        seed: None: the parent's seed.
        systems: the operator's list of systems that may hold the data, for the erasure records.

    Raises:
        ForgetListError: the list is invalid, with row numbers.
        DataQualityError: a quality check failed; nothing was trained.
        IntegrityError: the stored parent is not what was registered, or the data changed since.
        DivergedError: the method ran to a number that is not finite; nothing was registered.
    """
    from grmu_audit.unlearning.catalog import methods

    chosen = methods.get(method)
    ref = session.store.resolve(model)
    recipe_of_old = _pretrain_settings(session, ref) if chosen.exact else {}
    config = configured(chosen.config, {**recipe_of_old, **(settings or {})})
    dataset = session.dataset_of(ref)
    request = read_request(session, forget, dataset, ref)
    erasure = erasure_records(request.forget, session.key, read_systems(systems) if systems else ())
    quality = checked(dataset, request)
    seed = seed if seed is not None else ref.seed or 0
    weighted = chosen.reweight_default if reweight is None else reweight
    role = "retrain" if chosen.exact else "unlearned"
    recipe = Recipe(role, method, seed, data_spec(ref), config.model_dump(mode="json"), ref, weighted, request, erasure)

    def make(source: BatchSource, runtime: Runtime) -> Classifier:
        """The method on the parent's weights."""
        return _run_method(session, chosen, config, ref, _unlearning_data(source, request, weighted), runtime)

    return _make_version(session, ref.name, dataset, recipe, quality, make)


def _pretrain_settings(session: Session, ref: ModelRef) -> dict[str, object]:
    """The recipe that the lineage started with: what an exact method repeats."""
    while ref.role != "pretrain" and ref.parent:
        ref = session.store.resolve(ref.parent)
    settings = ref.config.get("settings")
    return dict(settings) if ref.role == "pretrain" and isinstance(settings, dict) else {}


def _run_method(
    session: Session, method: Method, config: Any, parent: ModelRef, data: UnlearningData, runtime: Runtime
) -> Classifier:
    from grmu_audit.models.weights import load_model
    from grmu_audit.training.runtime import place
    from grmu_audit.unlearning.base import unlearn as run

    with tempfile.TemporaryDirectory(prefix="grmu-audit-") as folder:
        start = load_model(session.store.fetch(parent, Path(folder) / "parent"))
    place(start, runtime.device)
    return run(method, start, data, config, runtime)


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
        minimum_group_size=MINIMUM_GROUP,
    )
    require(report)
    return report


def configured(config: type[BaseModel], settings: Mapping[str, object]) -> Any:
    """A typed config from settings.

    Raises:
        InputError: unknown or invalid settings, all at once, with the known names.
    """
    from pydantic import ValidationError

    try:
        return config.model_validate(dict(settings))
    except ValidationError as error:
        defects = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InputError(f"settings: {defects}; known: {', '.join(config.model_fields)}") from None


def _make_version(session: Session, name: str, dataset: Dataset, recipe: Recipe, quality: DataCheckReport, make: Any) -> ModelRef:
    """Open the run, train, predict once, store, and register as the last step."""
    from grmu_audit.data.source import BatchSource
    from grmu_audit.evaluation.predict import forward, to_parquet
    from grmu_audit.models.weights import save_model
    from grmu_audit.training.runtime import hardware

    kind = "unlearn" if recipe.role == "unlearned" else recipe.role
    with session.store.run(name, kind, parent=recipe.parent.run_id if recipe.parent else None) as run:
        runtime = session.runtime(recipe.seed, _title(name, recipe), lambda epoch, metrics: run.log_metrics(metrics, epoch))
        _log_start(run, dataset, recipe, quality)
        source = BatchSource(dataset, runtime.device)
        start = time.perf_counter()
        model = make(source, runtime)
        seconds = time.perf_counter() - start
        outputs = forward(model, source, runtime, pseudonyms(session.key, dataset.frame["id"].tolist()))
        run.log_bytes(to_parquet(outputs), PREDICTIONS)
        facts = {
            "data": asdict(recipe.data),
            "settings": recipe.settings,
            "seconds": round(seconds, 3),
            "sample_gradients": runtime.sample_gradients,
            "precision": runtime.precision,
            "hardware": hardware(runtime.device),
            "parameters": sum(p.numel() for p in model.parameters()),
            **runtime.facts,
        }
        run.log_metrics({"seconds": seconds, "sample_gradients": float(runtime.sample_gradients)})
        with tempfile.TemporaryDirectory(prefix="grmu-audit-") as folder:
            save_model(model, Path(folder) / "model")
            tags = _tags(dataset, recipe, model.spec.architecture, facts)
            ref = session.store.register(run, name, Path(folder) / "model", role=recipe.role, tags=tags)
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
