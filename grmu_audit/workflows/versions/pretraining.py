"""Versions without a forget request: pretraining, and registering a checkpoint that was trained elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from grmu_audit.data.catalog import PREPROCESS, DataSpec
from grmu_audit.data.preprocess import describe_input, preprocess_of
from grmu_audit.data.quality.checks import require_quality
from grmu_audit.errors import InputError
from grmu_audit.jobs import Job
from grmu_audit.records import GroupCount, MetricValue, ModelRef
from grmu_audit.tracking.names import BASELINE, TAG_SUBJECT
from grmu_audit.utils import canonical_json, sha256_file
from grmu_audit.utils.yaml_files import typed_config
from grmu_audit.workflows.forget_requests import require_key_of_model
from grmu_audit.workflows.pending import note_pending
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.agreement import ExpectedAccuracy, require_agreement
from grmu_audit.workflows.versions.creation import GROUP_WISE, REGISTERED, TRAINED, Version, VersionPlan, make_version
from grmu_audit.workflows.versions.followers import lead, require_one_process
from grmu_audit.workflows.versions.network import (
    SMALL_RESNET,
    NetworkChoice,
    model_spec,
    network_facts,
    note_changes,
    with_start_weights,
)
from grmu_audit.workflows.versions.rates import STATED

if TYPE_CHECKING:
    from grmu_audit.data.batches import BatchSource
    from grmu_audit.data.dataset import Dataset
    from grmu_audit.models.checkpoint_files import Checkpoint
    from grmu_audit.models.classifier import Classifier, StartWeights
    from grmu_audit.training.config import TrainConfig
    from grmu_audit.training.runtime import Runtime


@dataclass(frozen=True)
class TrainingOptions:
    """Training options of a network."""

    settings: Mapping[str, object] = field(default_factory=dict)
    """Options of ``TrainConfig`` that differ from the defaults."""
    seed: int = 0
    """Seed of initialisation, order and augmentation."""
    expected: ExpectedAccuracy | None = None
    """Accuracy that the owner of a checkpoint measured."""
    preset: str | None = None
    """``paper`` or ``paper:DATASET``: the seed paper's recipe, under ``settings``; for ``pretrain``."""
    group_dro: bool = False
    """Minimise the loss of the groups that are served worst (Group-DRO), and keep the epoch that is best for the worst; for
    ``pretrain``."""


@dataclass(frozen=True)
class RegisteredModel:
    """A registered checkpoint and its first evaluation."""

    ref: ModelRef
    """The version."""
    metrics: tuple[MetricValue, ...]
    """Every metric that needs no forget set; the others say why they have no value."""
    groups: tuple[GroupCount, ...]
    """Samples of each group by split."""


def register(
    session: Session,
    name: str,
    weights: Path,
    data: DataSpec,
    network: NetworkChoice = SMALL_RESNET,
    options: TrainingOptions = TrainingOptions(),
) -> RegisteredModel:
    """Read a checkpoint without running code, fit it to the data's network, store it as a version, and evaluate it.

    Args:
        session: store, key, device.
        name: model name to register under.
        weights: the checkpoint; its head must have the data's classes.
        data: what it was trained on; its training split is what can be forgotten later.
        network: architecture and options; its ``weights`` are those that training started from, if they are known.
        options: how it was trained, as far as that is known: exact methods repeat it.

    Raises:
        InputError: the file is refused or does not fit, or its accuracy is not the expected one; nothing is registered.
        DataQualityError: a quality check failed.
    """
    from grmu_audit.models.catalog import build
    from grmu_audit.models.checkpoint_files import read_state
    from grmu_audit.training.config import TrainConfig
    from grmu_audit.training.runtime import move_to

    config = typed_config(TrainConfig, options.settings)
    require_key_of_model(session, name)
    note_pending(session, name)
    state = read_state(weights)
    data, source = _with_preprocess(data, state.preprocess, weights.name)
    dataset = session.dataset(data)
    session.observer.note(describe_input(dataset.header, source))
    spec, start = with_start_weights(session, model_spec(dataset, network), network)
    model = build(spec, seed=0)
    found = _fitted(model, state, weights.name)
    note_changes(session, found)
    model.load_state_dict({**model.state_dict(), **found.tensors})
    quality = require_quality(dataset, None)
    origin = {"checkpoint": {"file": weights.name, "sha256": sha256_file(weights), "notes": list(found.notes)}}
    used = config.model_dump(mode="json") if options.settings else {}
    stated = {STATED: sorted(options.settings)} if options.settings else {}
    choices = {**network_facts(spec, start), **origin, **stated}
    plan = VersionPlan(name, dataset, quality, "pretrain", REGISTERED, options.seed, data, used, choices=choices, start=start,
                       network=spec.to_json())  # fmt: skip

    def ready(source: BatchSource, runtime: Runtime) -> Classifier:
        """Nothing is trained."""
        move_to(model, runtime.device)
        if options.expected is not None:
            require_agreement(model.eval(), dataset, options.expected, runtime)
        return model.eval()

    return _evaluated(session, make_version(session, plan, ready, model), dataset)


def _with_preprocess(data: DataSpec, stored: object, source: str) -> tuple[DataSpec, str]:
    """The data prepared as stated, else as the checkpoint's file says; and in words, the source of that."""
    if PREPROCESS in data.options:
        return data, "as stated with --preprocess"
    if stored is None:
        return data, "assumed from the data: if the model was trained otherwise, say so with --preprocess"
    how = preprocess_of(stored, source)
    return replace(data, options={**data.options, PREPROCESS: how.to_json()}), f"as {source} says"


def _fitted(model: Classifier, state: Checkpoint, source: str) -> StartWeights:
    """The checkpoint fitted to the network.

    Raises:
        InputError: it does not fit; where it may be another architecture's, the message names the one that it looks like.
    """
    from grmu_audit.models.foreign_weights import ArchitectureError, MissingHeadError, fit_state
    from grmu_audit.models.recognition import likely_architecture

    try:
        return fit_state(model, state, source, need_head=True)
    except ArchitectureError as error:
        likely = likely_architecture(state)
        given = likely.startswith(f"--architecture {model.spec.architecture} ") and isinstance(error, MissingHeadError)
        hint = f". Their names and shapes are those of: {likely}" if likely and not given else ""
        raise InputError(f"{error}{hint}") from None


def _evaluated(session: Session, version: Version, dataset: Dataset) -> RegisteredModel:
    """Every metric from the stored predictions, logged under a run of its own."""
    from grmu_audit.data.forget import group_table, split_rows
    from grmu_audit.evaluation.predict import apply_request
    from grmu_audit.metrics import measure_predictions
    from grmu_audit.records.audit import MeasureOptions
    from grmu_audit.records.metric_value import BASELINE as BASELINE_SUBJECT

    ref = version.ref
    names = dataset.header.class_names, dataset.header.attribute_names
    predictions = apply_request(version.outputs, frozenset(), *names)
    positive = dataset.header.positive_class if len(names[0]) == 2 else 1
    metrics = measure_predictions(predictions, MeasureOptions(positive_class=positive), subject=BASELINE_SUBJECT)
    groups = group_table(dataset.frame, split_rows(dataset.frame, None), *names)
    with session.store.run(ref.name, "evaluate", parent=ref.run_id) as run:
        run.log_metrics({m.name: m.value for m in metrics if m.group is None and m.value is not None})
        run.set_tags({TAG_SUBJECT: ref.label})
        tree = {"subject": ref.label, "metrics": [m.to_json() for m in metrics], "groups": [asdict(g) for g in groups]}
        run.log_bytes(canonical_json(tree), BASELINE)
    return RegisteredModel(ref, metrics, groups)


def pretrain(
    session: Session,
    name: str,
    data: DataSpec,
    network: NetworkChoice = SMALL_RESNET,
    options: TrainingOptions = TrainingOptions(),
    resume: bool = False,
) -> ModelRef:
    """Train on all training samples and register the version.

    Args:
        session: store, key, device.
        name: model name to register under.
        data: dataset and its options.
        network: architecture, its options, and the weights to start from.
        options: training options and seed.
        resume: continue an interrupted run of the same options after its last whole epoch.

    Raises:
        InputError: the network does not suit the data, or its start weights do not suit it; the preset has no such recipe.
        DataQualityError: a quality check failed; nothing was trained.
        DivergedError: training ran to a number that is not finite; nothing was registered.
    """
    from grmu_audit.models.catalog import build
    from grmu_audit.training.runtime import derive_seed, move_to

    if options.group_dro:
        require_one_process("--group-dro")
    require_key_of_model(session, name)
    note_pending(session, name)
    dataset = session.dataset(data)
    recipe = _recipe(dataset, options)
    spec, start = with_start_weights(session, model_spec(dataset, network), network)
    model = build(spec, derive_seed(options.seed, "init"), start)
    quality, used = require_quality(dataset, None), recipe.config.model_dump(mode="json")
    plan = VersionPlan(name, dataset, quality, "pretrain", TRAINED, options.seed, data, used,
                       choices={**network_facts(spec, start), **recipe.choices}, start=start, network=spec.to_json())  # fmt: skip

    def trained(source: BatchSource, runtime: Runtime) -> Classifier:
        """Fresh weights (or those to start from), trained by the whole configuration."""
        move_to(model, runtime.device)
        job = {"settings": used, "seed": options.seed}
        lead(session, data, model, dataset, {}, lambda study: Job("train", {"study": study, **job}))
        return _trained(model, source, recipe, runtime)

    return make_version(session, plan, trained, model, resume).ref


@dataclass(frozen=True)
class _Recipe:
    """How a network is trained."""

    config: TrainConfig
    """Options of training."""
    group_wise: dict[str, object]
    """Options of Group-DRO; none without it."""
    preset: str
    """Which row of the paper; empty without one."""

    @property
    def choices(self) -> dict[str, object]:
        """For the version's record, where there is something to say."""
        said = {GROUP_WISE: self.group_wise, "preset": self.preset}
        return {name: value for name, value in said.items() if value}


def _recipe(dataset: Dataset, options: TrainingOptions) -> _Recipe:
    """The recipe from preset and options.

    Raises:
        InputError: no such option, or no row of the preset.
    """
    from grmu_audit.training.config import TrainConfig
    from grmu_audit.unlearning.method import MethodConfig
    from grmu_audit.unlearning.methods.retraining import RetrainConfig
    from grmu_audit.unlearning.presets import Query, paper_preset, query

    settings, label = dict(options.settings), ""
    own = set(RetrainConfig.model_fields) - set(MethodConfig.model_fields) if options.group_dro else set[str]()
    if options.preset is not None:
        method = "pretrain+group_dro" if options.group_dro else "pretrain"
        wanted = query(options.preset, Query(dataset.header.name, method, None, 0, False))
        preset = paper_preset(wanted, {*TrainConfig.model_fields, *own})
        settings, label = {**preset.settings, **settings}, preset.label
    plain = {name: value for name, value in settings.items() if name not in own}
    if not options.group_dro:
        return _Recipe(typed_config(TrainConfig, plain), {}, label)
    whole = typed_config(RetrainConfig, {"keep_best_by": "worst_group", **settings, "group_dro": True})
    return _Recipe(typed_config(TrainConfig, plain), {name: getattr(whole, name) for name in sorted(own)}, label)


def _trained(model: Classifier, source: BatchSource, recipe: _Recipe, runtime: Runtime) -> Classifier:
    """Trained on all training samples."""
    from grmu_audit.training.fit import TrainingRows, fit
    from grmu_audit.unlearning.data import UnlearningData
    from grmu_audit.unlearning.methods.retraining import RetrainConfig, fit_group_wise

    train, val = source.dataset.rows("train"), source.dataset.rows("val")
    if not recipe.group_wise:
        return fit(model, source, TrainingRows(train, val), recipe.config, runtime)
    config = typed_config(RetrainConfig, {**recipe.config.model_dump(), **recipe.group_wise})
    return fit_group_wise(model, UnlearningData(source, train, train[:0], val), config, runtime)
