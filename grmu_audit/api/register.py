"""Use case: an existing checkpoint becomes a pretrain version, evaluated at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from grmu_audit.api.choose import configured
from grmu_audit.api.network import Network, network_facts, spec_of, started, tell
from grmu_audit.api.session import Session
from grmu_audit.api.version import Recipe, checked, make_evaluated
from grmu_audit.data.catalog import DataSpec
from grmu_audit.evidence import canonical_json, sha256_file
from grmu_audit.records import GroupCount, MetricValue, ModelRef

if TYPE_CHECKING:
    from grmu_audit.data.dataset import Dataset
    from grmu_audit.data.source import BatchSource
    from grmu_audit.evaluation.predict import Outputs
    from grmu_audit.models.classifier import Classifier
    from grmu_audit.training.runtime import Runtime

BASELINE = "baseline.json"
"""Artifact of an evaluation run: every metric of the registered network, and its groups."""
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
    from grmu_audit.models.foreign import fit_state, read_state
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
    from grmu_audit.metrics.suite import measure

    names = dataset.header.class_names, dataset.header.attribute_names
    predictions = with_request(outputs, frozenset(), *names)
    positive = dataset.header.positive_class if len(names[0]) == 2 else 1
    metrics = measure(predictions, subject="baseline", positive_class=positive)
    groups = composition(dataset.frame, splits(dataset.frame, None), *names)
    with session.store.run(ref.name, "evaluate", parent=ref.run_id) as run:
        run.log_metrics({m.name: m.value for m in metrics if m.group is None and m.value is not None})
        run.set_tags({"grmu.subject": ref.label})
        tree = {"subject": ref.label, "metrics": [asdict(m) for m in metrics], "groups": [asdict(g) for g in groups]}
        run.log_bytes(canonical_json(tree), BASELINE)
    return Registered(ref, metrics, groups)
