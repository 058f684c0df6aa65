"""Versions without a forget request: pretraining, and registering a checkpoint that was trained elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from grmu_audit.data.catalog import DataSpec
from grmu_audit.records import GroupCount, MetricValue, ModelRef
from grmu_audit.tracking.names import BASELINE
from grmu_audit.utils import canonical_json, sha256_file
from grmu_audit.utils.yaml_files import configured
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.creation import Recipe, checked, make_evaluated, make_version
from grmu_audit.workflows.versions.network import SMALL_RESNET, Network, network_facts, spec_of, started, tell

if TYPE_CHECKING:
    from grmu_audit.data.batches import BatchSource
    from grmu_audit.data.dataset import Dataset
    from grmu_audit.evaluation.predict import Outputs
    from grmu_audit.models.classifier import Classifier
    from grmu_audit.training.runtime import Runtime

METHOD = "registered"
"""Method of a version that was trained elsewhere."""


@dataclass(frozen=True)
class Registered:
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
    *,
    network: Network,
    settings: Mapping[str, object],
    seed: int = 0,
) -> Registered:
    """Read a checkpoint without running code, fit it to the data's network, store it as a version, and evaluate it.

    Args:
        session: store, key, device.
        name: model name to register under.
        weights: the checkpoint; its head must have the data's classes.
        data: what it was trained on; its training split is what can be forgotten later.
        network: architecture and options; its ``weights`` are those that training started from, if they are known.
        settings: the recipe that it was trained with, as far as it is known: exact methods repeat it.
        seed: what exact methods derive their initialisation from.

    Raises:
        InputError: the file is refused or does not fit; nothing is registered.
        DataQualityError: a quality check failed.
    """
    from grmu_audit.models.catalog import build
    from grmu_audit.models.foreign_weights import fit_state, read_state
    from grmu_audit.training.config import TrainConfig
    from grmu_audit.training.runtime import place

    config = configured(TrainConfig, settings)
    dataset = session.dataset(data)
    spec, start = started(session, spec_of(dataset, network), network)
    model = build(spec, seed=0)
    found = fit_state(model, read_state(weights), weights.name, need_head=True)
    tell(session, found)
    model.load_state_dict({**model.state_dict(), **found.tensors})
    quality = checked(dataset, None)
    origin = {"checkpoint": {"file": weights.name, "sha256": sha256_file(weights), "notes": list(found.notes)}}
    used = config.model_dump(mode="json") if settings else {}
    chosen = {**network_facts(spec, start), **origin}
    recipe = Recipe("pretrain", METHOD, seed, data, used, chosen=chosen, start=start, network=spec.to_json())

    def make(source: BatchSource, runtime: Runtime) -> Classifier:
        """Nothing is trained."""
        place(model, runtime.device)
        return model.eval()

    done = make_evaluated(session, name, dataset, recipe, quality, make)
    return _evaluated(session, done.ref, done.outputs, dataset)


def _evaluated(session: Session, ref: ModelRef, outputs: Outputs, dataset: Dataset) -> Registered:
    """Every metric from the stored predictions, logged under a run of its own."""
    from grmu_audit.data.forget import composition, splits
    from grmu_audit.evaluation.predict import with_request
    from grmu_audit.metrics import measure_predictions
    from grmu_audit.records.audit import MeasureOptions
    from grmu_audit.records.metric_value import BASELINE as BASELINE_SUBJECT

    names = dataset.header.class_names, dataset.header.attribute_names
    predictions = with_request(outputs, frozenset(), *names)
    positive = dataset.header.positive_class if len(names[0]) == 2 else 1
    metrics = measure_predictions(predictions, MeasureOptions(positive_class=positive), subject=BASELINE_SUBJECT)
    groups = composition(dataset.frame, splits(dataset.frame, None), *names)
    with session.store.run(ref.name, "evaluate", parent=ref.run_id) as run:
        run.log_metrics({m.name: m.value for m in metrics if m.group is None and m.value is not None})
        run.set_tags({"grmu.subject": ref.label})
        tree = {"subject": ref.label, "metrics": [m.to_json() for m in metrics], "groups": [asdict(g) for g in groups]}
        run.log_bytes(canonical_json(tree), BASELINE)
    return Registered(ref, metrics, groups)


def pretrain(
    session: Session,
    name: str,
    data: DataSpec,
    *,
    network: Network = SMALL_RESNET,
    settings: Mapping[str, object],
    seed: int = 0,
    resume: bool = False,
) -> ModelRef:
    """Train on all training samples and register the version.

    Args:
        session: store, key, device.
        name: model name to register under.
        data: dataset and its options.
        network: architecture, its options, and the weights to start from.
        settings: options of ``TrainConfig`` that differ from the defaults.
        seed: of initialisation, order and augmentation.
        resume: continue an interrupted run of the same options after its last whole epoch.

    Raises:
        InputError: the network does not suit the data, or its start weights do not suit it.
        DataQualityError: a quality check failed; nothing was trained.
        DivergedError: training ran to a number that is not finite; nothing was registered.
    """
    from grmu_audit.models.catalog import build
    from grmu_audit.training.config import TrainConfig
    from grmu_audit.training.fit import fit
    from grmu_audit.training.runtime import derive_seed, place

    config = configured(TrainConfig, settings)
    dataset = session.dataset(data)
    spec, start = started(session, spec_of(dataset, network), network)
    model = build(spec, derive_seed(seed, "init"), start)
    quality = checked(dataset, None)
    used = config.model_dump(mode="json")
    facts = network_facts(spec, start)
    recipe = Recipe("pretrain", "train", seed, data, used, chosen=facts, start=start, network=spec.to_json())

    def make(source: BatchSource, runtime: Runtime) -> Classifier:
        """Fresh weights (or those to start from), full recipe."""
        place(model, runtime.device)
        return fit(model, source, dataset.rows("train"), dataset.rows("val"), config, runtime)

    return make_version(session, name, dataset, recipe, quality, make, resume=resume)
