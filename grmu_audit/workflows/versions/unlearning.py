"""Versions without a forget set: retraining and unlearning."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grmu_audit.records import ModelRef
from grmu_audit.utils.yaml_files import configured
from grmu_audit.workflows.erasure import erasure_records, read_systems
from grmu_audit.workflows.forget_requests import Request, read_request
from grmu_audit.workflows.session import Session, data_spec
from grmu_audit.workflows.versions.creation import Recipe, checked, make_version
from grmu_audit.workflows.versions.method_choice import Choice, announce, choose
from grmu_audit.workflows.versions.network import lineage_root, stored_network

if TYPE_CHECKING:
    from grmu_audit.data.batches import BatchSource
    from grmu_audit.data.dataset import Dataset
    from grmu_audit.models.classifier import Classifier
    from grmu_audit.training.runtime import Runtime
    from grmu_audit.unlearning.data import UnlearningData
    from grmu_audit.unlearning.method import Method


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
        method: name in ``unlearning.methods``, or ``auto``: by the kind of the request.
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
    used = config.model_dump(mode="json", exclude=set(choice.method.unused_options))
    recipe = Recipe(role, choice.method.name, seed, data_spec(ref), used, ref, choice.reweight, request, choice.facts, erasure)

    def make(source: BatchSource, runtime: Runtime) -> Classifier:
        """The method on the parent's weights."""
        return _run_method(session, choice.method, config, ref, _unlearning_data(source, request, choice.reweight), runtime)

    return make_version(session, ref.name, dataset, recipe, quality, make, resume=resume)


def _tuned(session: Session, choice: Choice, ref: ModelRef, dataset: Dataset, request: Request, seed: int, trials: int) -> Choice:
    """The choice with the options of its best trial."""
    from grmu_audit.data.batches import BatchSource
    from grmu_audit.training.runtime import choose_device
    from grmu_audit.workflows.versions.tuning import tune, tuned_facts

    device = choose_device(session.device)
    data = _unlearning_data(BatchSource(dataset, device), request, choice.reweight)
    found = tune(session, ref, stored_network(session, ref, device), data, choice, seed, trials)
    if session.progress:
        best = found.best
        sys.stderr.write(f"tuned: trial {best.number} of {trials}, accuracy lost {best.lost:.3f}, attack {best.advantage:.3f}\n")
    return replace(choice, settings=found.best.settings, facts={**choice.facts, "tuned": tuned_facts(found)})


def _pretrain_settings(session: Session, ref: ModelRef) -> dict[str, object]:
    """The recipe that the lineage started with: what an exact method repeats."""
    root = lineage_root(session, ref)
    settings = root.config.get("settings")
    return dict(settings) if root.role == "pretrain" and isinstance(settings, dict) else {}


def _run_method(
    session: Session, method: Method, config: Any, parent: ModelRef, data: UnlearningData, runtime: Runtime
) -> Classifier:
    from grmu_audit.unlearning.apply import apply_method as run

    return run(method, stored_network(session, parent, runtime.device), data, config, runtime)


def _unlearning_data(source: BatchSource, request: Request, weighted: bool) -> UnlearningData:
    from grmu_audit.unlearning.data import UnlearningData

    parts = request.splits
    retain, forget, val = (np.asarray(rows, dtype=np.int64) for rows in (parts.retain, parts.forget, parts.val))
    data = UnlearningData(source, retain, forget, val)
    return data.reweighted() if weighted else data
