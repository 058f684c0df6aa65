"""The network of a version: its spec from the data, the weights that it starts from, and the network of a stored version."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.evidence.purges import require_not_purged
from grmu_audit.records import ModelRef
from grmu_audit.tracking import read_ledger
from grmu_audit.tracking.names import START
from grmu_audit.tracking.references import lineage_root
from grmu_audit.tracking.registration import version_artifact
from grmu_audit.workflows.session import Session

if TYPE_CHECKING:
    import torch

    from grmu_audit.data.dataset import Dataset
    from grmu_audit.models.classifier import Classifier, ModelSpec, StartWeights


@dataclass(frozen=True)
class NetworkChoice:
    """Architecture and start weights; input shape, classes and normalisation come from the data."""

    architecture: str = "small_resnet"
    """Name in ``models.catalog``, of torchvision, or ``package.module:function``."""
    options: Mapping[str, object] = field(default_factory=dict)
    """Options of the architecture."""
    weights: Path | None = None
    """File of weights to start from."""
    pretrained: str | None = None
    """torchvision's weights to start from: ``imagenet``, or a name such as ``IMAGENET1K_V2``."""


SMALL_RESNET = NetworkChoice()
"""The network of the demo."""


def model_spec(dataset: Dataset, network: NetworkChoice) -> ModelSpec:
    """The spec of a fresh network for a dataset."""
    from grmu_audit.models.classifier import ModelSpec

    header = dataset.header
    return ModelSpec(
        network.architecture,
        len(header.class_names),
        header.input_shape,
        header.mean,
        header.std,
        header.class_names,
        {**_options_from_data(dataset, network), **network.options},
    )


def _options_from_data(dataset: Dataset, network: NetworkChoice) -> dict[str, object]:
    """Options that follow from the data: a text model's vocabulary, the shards of each group where groups are concentrated."""
    vocabulary = dataset.header.vocabulary
    if network.architecture == "sisa" and network.options.get("rule") == "concentrated":
        return {"places": _places(dataset, network.options)}
    if vocabulary is None or network.architecture != "bert":
        return {}
    return {"vocabulary": vocabulary.size, "pad": vocabulary.pad, "sep": vocabulary.sep}


def _places(dataset: Dataset, options: Mapping[str, object]) -> list[list[int]]:
    """The shards of each group, from the sizes that it has in the training data."""
    import numpy as np

    from grmu_audit.models.guaranteed import ShardOptions, concentrated_places
    from grmu_audit.utils.yaml_files import typed_config

    train, attributes = dataset.frame.iloc[dataset.rows("train")], len(dataset.header.attribute_names)
    codes = (train["target"] * attributes + train["attribute"]).to_numpy(dtype=np.int64)
    counts = np.bincount(codes, minlength=len(dataset.header.class_names) * attributes)
    return [list(places) for places in concentrated_places(counts, typed_config(ShardOptions, options).shards)]


def with_start_weights(session: Session, spec: ModelSpec, network: NetworkChoice) -> tuple[ModelSpec, StartWeights | None]:
    """The spec with the digest of its start weights, and these; the observer is notified of what was left out.

    Raises:
        InputError: the weights cannot be read safely or do not fit, or two sources are named.
        EnvironmentFailure: published weights are neither here nor can they be downloaded; the message names the file.
    """
    path = start_file(network)
    if path is None:
        return spec, None
    from grmu_audit.models.catalog import build
    from grmu_audit.models.checkpoint_files import read_state
    from grmu_audit.models.foreign_weights import fit_state

    start = fit_state(build(spec, seed=0), read_state(path), path.name)
    note_changes(session, start)
    return replace(spec, start=start.digest), start


def start_file(network: NetworkChoice) -> Path | None:
    """The file that the network starts from, if any.

    Raises:
        InputError: two are named.
    """
    if network.weights is not None and network.pretrained is not None:
        raise InputError("--weights and --pretrained exclude each other: a network starts from one set of weights")
    if network.pretrained is not None:
        from grmu_audit.models.torchvision_models import pretrained_file

        return pretrained_file(network.architecture, network.pretrained)
    return network.weights


def note_changes(session: Session, start: StartWeights) -> None:
    """Note what was left out of the weights or changed in them."""
    for note in start.notes:
        session.observer.note(f"{start.source}: {note}")


def network_facts(spec: ModelSpec, start: StartWeights | None) -> dict[str, Any]:
    """The record of a network."""
    facts: dict[str, Any] = {"architecture_options": dict(spec.options)} if spec.options else {}
    if start is not None:
        facts["start"] = {"source": start.source, "sha256": start.digest, "notes": list(start.notes)}
    return facts


def load_network(session: Session, ref: ModelRef, device: torch.device) -> Classifier:
    """A version's network on the device, with the weights that its lineage started from where it has any.

    Raises:
        IntegrityError: a stored file is not what was registered.
        InconclusiveError: the version was purged.
        InputError: the architecture is not allowed here.
    """
    from grmu_audit.models.weights import load_model
    from grmu_audit.training.runtime import move_to

    require_not_purged(read_ledger(session.store, ref.name), [ref.version])
    with tempfile.TemporaryDirectory(prefix="grmu-audit-") as folder:
        model = load_model(session.store.fetch(ref, Path(folder) / "model"))
    if model.spec.start:
        model.start = _stored_start(session, ref, model.spec.start)
    move_to(model, device)
    return model


def _stored_start(session: Session, ref: ModelRef, digest: str) -> StartWeights | None:
    """The weights that a lineage started from; None where its run did not store them."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    from grmu_audit.models.classifier import StartWeights
    from grmu_audit.models.foreign_weights import state_digest

    root = lineage_root(session.store, ref)
    data = version_artifact(session.store, root, START)
    if data is None:
        return None
    try:
        tensors = load(data)
    except SafetensorError as error:
        raise IntegrityError(f"{START} of {root.label} is damaged: {error}") from None
    if state_digest(tensors) != digest:
        raise IntegrityError(f"{START} of {root.label} is not what training started from: do not train on it")
    return StartWeights(tensors, digest, f"{START} of {root.label}")
