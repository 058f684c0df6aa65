"""Versions without a forget set: retraining and unlearning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grmu_audit.data.quality.checks import require_quality
from grmu_audit.errors import InputError
from grmu_audit.records import ModelRef
from grmu_audit.tracking.references import lineage_root
from grmu_audit.utils.yaml_files import typed_config
from grmu_audit.workflows.erasure import erasure_records, read_systems
from grmu_audit.workflows.forget_requests import CheckedRequest, advice_on_request, read_request, require_key_of_model
from grmu_audit.workflows.session import Session, dataset_spec_of
from grmu_audit.workflows.versions.creation import VersionPlan, make_version
from grmu_audit.workflows.versions.method_choice import DEFAULT_OPTIONS, MethodChoice, UnlearnOptions, choose_method
from grmu_audit.workflows.versions.network import load_network

if TYPE_CHECKING:
    from grmu_audit.data.batches import BatchSource
    from grmu_audit.data.dataset import Dataset
    from grmu_audit.models.classifier import Classifier
    from grmu_audit.training.runtime import Runtime
    from grmu_audit.unlearning.data import UnlearningData


def unlearn(
    session: Session, model: str, forget: Path, options: UnlearnOptions = DEFAULT_OPTIONS, systems: Path | None = None
) -> ModelRef:
    """Create a version without the forget set and register it: ``unlearned``, or ``retrain`` for the exact method.

    Args:
        session: store, key, device.
        model: reference of the version to start from.
        forget: forget list.
        options: method, its options, seed, search.
        systems: the operator's list of systems that may hold the data, for the erasure records.

    Raises:
        ForgetListError: the list is invalid, with row numbers.
        DataQualityError: a quality check failed; nothing was trained.
        IntegrityError: the stored parent is not what was registered, or the data changed since.
        DivergedError: the method ran to a number that is not finite; nothing was registered.
    """
    parent = session.store.resolve(model)
    require_key_of_model(session, parent.name)
    dataset = session.dataset_of(parent)
    request = read_request(session, forget, dataset, parent, whole_subjects=options.whole_subjects)
    erasure = erasure_records(request.forget, session.key, read_systems(systems) if systems else ())
    seed = options.seed if options.seed is not None else parent.seed or 0
    choice = choose_method(request, dataset, replace(options, seed=seed), _pretrain_settings(session, parent))
    typed_config(choice.method.config, choice.settings)
    quality = require_quality(dataset, request.forget)
    advice = () if choice.method.exact else advice_on_request(session, request, dataset, parent, forget)
    for line in (*choice.notes, *(f"forgetting: {sentence}" for sentence in advice)):
        session.observer.note(line)
    if options.trials:
        choice = _tuned(session, parent, dataset, request, choice, options.trials)
    method, config = choice.method, typed_config(choice.method.config, choice.settings)
    role = "retrain" if method.exact else "unlearned"
    used = config.model_dump(mode="json", exclude=set(method.unused_options))
    plan = VersionPlan(parent.name, dataset, quality, role, method.name, seed, dataset_spec_of(parent), used, parent,
                       choice.reweight, request, choice.reasons, erasure)  # fmt: skip

    def build(source: BatchSource, runtime: Runtime) -> Classifier:
        """The method on the parent's weights."""
        from grmu_audit.models.weights import same_weights
        from grmu_audit.unlearning.apply import apply_method as apply

        network = load_network(session, parent, runtime.device)
        result = apply(method, network, _unlearning_data(source, request, choice.reweight), config, runtime)
        if same_weights(network, result):
            raise InputError(
                f"method {method.name!r} with these settings returned the weights of {parent.label}, up to rounding: nothing was "
                "done and nothing was registered; change its settings (grmu-audit methods show), or choose another method"
            )
        return result

    return make_version(session, plan, build, options.resume).ref


def retrain(
    session: Session, model: str, forget: Path, options: UnlearnOptions = DEFAULT_OPTIONS, systems: Path | None = None
) -> ModelRef:
    """Train again from fresh weights without the forget set: ``unlearn`` with the exact method; ``options.method`` is ignored."""
    return unlearn(session, model, forget, replace(options, method="retrain"), systems)


def _tuned(
    session: Session, parent: ModelRef, dataset: Dataset, request: CheckedRequest, choice: MethodChoice, trials: int
) -> MethodChoice:
    """The choice with the options of its best trial."""
    from grmu_audit.data.batches import BatchSource
    from grmu_audit.training.runtime import choose_device
    from grmu_audit.workflows.versions.tuning import tune, tuned_facts

    source = BatchSource(dataset, choose_device(session.device))
    data = _unlearning_data(source, request, choice.reweight)
    found = tune(session, parent, data, choice, trials)
    best = found.best
    session.observer.note(
        f"tuned: trial {best.number} of {trials}, accuracy lost {best.accuracy_loss:.3f}, attack {best.advantage:.3f}"
    )
    return replace(choice, settings=best.settings, reasons={**choice.reasons, "tuned": tuned_facts(found)})


def _pretrain_settings(session: Session, ref: ModelRef) -> dict[str, object]:
    """Training options of the lineage's first version: an exact method repeats them."""
    root = lineage_root(session.store, ref)
    return root.settings if root.role == "pretrain" else {}


def _unlearning_data(source: BatchSource, request: CheckedRequest, weighted: bool) -> UnlearningData:
    from grmu_audit.unlearning.data import UnlearningData

    parts = request.splits
    retain, forget, val = (np.asarray(rows, dtype=np.int64) for rows in (parts.retain, parts.forget, parts.val))
    data = UnlearningData(source, retain, forget, val)
    return data.reweighted() if weighted else data
