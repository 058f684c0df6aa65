"""Versions without a forget set: retraining and unlearning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grmu_audit.data.quality.checks import require_quality
from grmu_audit.errors import CollapsedError, InputError
from grmu_audit.jobs import Job, JobRunner
from grmu_audit.records import DataCheckReport, ModelRef
from grmu_audit.records.lineage import ErasureRecord, SystemRecord
from grmu_audit.tracking.references import lineage_root
from grmu_audit.utils.yaml_files import typed_config
from grmu_audit.workflows.erasure import erasure_records, read_systems
from grmu_audit.workflows.forget_requests import CheckedRequest, advice_on_request, read_request, require_key_of_model
from grmu_audit.workflows.pending import as_forget_list, chosen_requests
from grmu_audit.workflows.session import Session, dataset_spec_of
from grmu_audit.workflows.versions.creation import GROUP_WISE, VersionPlan, make_version
from grmu_audit.workflows.versions.followers import lead, require_one_process
from grmu_audit.workflows.versions.method_choice import DEFAULT_OPTIONS, MethodChoice, UnlearnOptions, choose_method
from grmu_audit.workflows.versions.network import load_network
from grmu_audit.workflows.versions.rates import (
    effect_on_forget_set,
    follow_model,
    follow_start,
    known_recipe,
    probed,
    require_kept,
    step_back,
)
from grmu_audit.workflows.versions.studies import FORGET, SERVED, WITHHELD, patiently, put_study, remove_study, take_method_result

if TYPE_CHECKING:
    from grmu_audit.data.batches import BatchSource
    from grmu_audit.data.dataset import Dataset
    from grmu_audit.models.classifier import Classifier
    from grmu_audit.training.runtime import Runtime
    from grmu_audit.unlearning.data import UnlearningData


Forget = Path | Sequence[str]
"""A forget list, or the requests to be served."""


def unlearn(
    session: Session, model: str, forget: Forget, options: UnlearnOptions = DEFAULT_OPTIONS, systems: Path | None = None
) -> ModelRef:
    """Create a version without the forget set and register it: ``unlearned``, or ``retrain`` for the exact method.

    Args:
        session: store, key, device.
        model: reference of the version to start from.
        forget: forget list; or ids of recorded requests, ``("pending",)`` for all that wait.
        options: method, its options, seed, search.
        systems: the operator's list of systems that may hold the data, for the erasure records.

    Raises:
        ForgetListError: the list is invalid, with row numbers.
        DataQualityError: a quality check failed; nothing was trained.
        IntegrityError: the stored parent is not what was registered, or the data changed since.
        DivergedError: the method ran to a number that is not finite; nothing was registered.
    """
    return _unlearn(session, model, forget, options, systems, 1)[0]


@dataclass(frozen=True)
class _Prepared:
    """Everything that is known before a network is trained."""

    parent: ModelRef
    dataset: Dataset
    request: CheckedRequest
    quality: DataCheckReport
    choice: MethodChoice
    erasure: tuple[ErasureRecord, ...]
    keep_collapsed: bool

    @property
    def config(self) -> Any:
        """Typed options of the method."""
        return typed_config(self.choice.method.config, self.choice.settings)

    def plan(self, seed: int) -> VersionPlan:
        """What the version of a seed is created from."""
        method, choice = self.choice.method, self.choice
        used = self.config.model_dump(mode="json", exclude=set(method.unused_options))
        role, spec = "retrain" if method.exact else "unlearned", dataset_spec_of(self.parent)
        return VersionPlan(self.parent.name, self.dataset, self.quality, role, method.name, seed, spec, used, self.parent,
                           choice.reweight, self.request, choice.reasons, self.erasure)  # fmt: skip


def _unlearn(
    session: Session, model: str, forget: Forget, options: UnlearnOptions, systems: Path | None, count: int
) -> list[ModelRef]:
    """Versions of ``count`` seeds for one request."""
    prepared = _prepare(session.read_once(), model, forget, options, systems)
    seeds = [prepared.choice.seed + number for number in range(count)]
    if count > 1:
        require_one_process("--seeds")
    runner = session.job_runner() if count > 1 else None
    if runner is None:
        return [_make_here(session, prepared, seed, options.resume) for seed in seeds]
    return _make_elsewhere(session, runner, prepared, seeds)


def _prepare(session: Session, model: str, forget: Forget, options: UnlearnOptions, systems: Path | None) -> _Prepared:
    parent = session.store.resolve(model)
    require_key_of_model(session, parent.name)
    dataset = session.dataset_of(parent)
    request, erasure = _read(session, forget, dataset, parent, options.whole_subjects, read_systems(systems) if systems else ())
    seed = options.seed if options.seed is not None else parent.seed or 0
    choice = choose_method(request, dataset, replace(options, seed=seed), _pretrain_settings(session, parent))
    typed_config(choice.method.config, choice.settings)  # refuses unknown options before the quality checks
    quality = require_quality(dataset, request.forget)
    advice = () if choice.method.exact else advice_on_request(session, request, dataset, parent, request_option(forget))
    for line in (*choice.notes, *(f"forgetting: {sentence}" for sentence in advice)):
        session.observer.note(line)
    recipe = known_recipe(lineage_root(session.store, parent))
    choice = follow_start(session.store, parent, follow_model(choice, recipe, partial(_probed, session, parent, request)))
    for line in choice.rate_notes:
        session.observer.note(line)
    if options.trials:
        require_one_process("--tune")
        choice = _tuned(session, parent, dataset, request, choice, options.trials)
    return _Prepared(parent, dataset, request, quality, choice, erasure, options.keep_collapsed)


def request_option(forget: Forget) -> str:
    """The command line option that names the list or the requests."""
    return f"--forget {forget}" if isinstance(forget, Path) else f"--requests {','.join(forget)}"


def _read(
    session: Session, forget: Forget, dataset: Dataset, parent: ModelRef, whole: bool, systems: Sequence[SystemRecord]
) -> tuple[CheckedRequest, tuple[ErasureRecord, ...]]:
    """The request of one version, and one erasure record for each request in it."""
    if isinstance(forget, Path):
        request = read_request(session, forget, dataset, parent, whole_subjects=whole)
        return request, erasure_records(request.forget, session.key, systems)
    chosen = chosen_requests(session, parent.name, forget)
    request = read_request(session, as_forget_list(session, dataset, chosen), dataset, parent, whole_subjects=whole)
    rows = frozenset(request.pseudonyms)
    parts = {one.record.request_id: tuple(one.pseudonyms & rows) for one in chosen}
    erasure = tuple(replace(one.record, systems=tuple(systems)) for one in chosen)
    return replace(request, parts=parts if len(parts) > 1 else {}), erasure


def _make_here(session: Session, prepared: _Prepared, seed: int, resume: bool) -> ModelRef:
    """Train and register one version, with gentler options where it collapses and nobody set them."""
    from grmu_audit.training.distributed import current_world

    def run(choice: MethodChoice) -> ModelRef:
        return _attempt(session, replace(prepared, choice=choice), seed, resume)

    if prepared.keep_collapsed or current_world().size > 1:
        return run(prepared.choice)
    return step_back(session, prepared.choice, run)


def _attempt(session: Session, prepared: _Prepared, seed: int, resume: bool) -> ModelRef:
    from grmu_audit.training.runtime import choose_device
    from grmu_audit.unlearning.apply import apply_method as apply

    network = load_network(session, prepared.parent, choose_device(session.device))

    def build(source: BatchSource, runtime: Runtime) -> Classifier:
        """The method on the parent's weights."""
        data = _unlearning_data(source, prepared.request, prepared.choice.reweight)
        lead(session, prepared.parent, network, prepared.dataset, _sets(session, prepared), partial(_job, prepared, seed))
        result = apply(prepared.choice.method, network, data, prepared.config, runtime)
        _require_good(session, prepared, network, result, data, runtime)
        return result

    return make_version(session, prepared.plan(seed), build, network, resume).ref


def _make_elsewhere(session: Session, runner: JobRunner, prepared: _Prepared, seeds: Sequence[int]) -> list[ModelRef]:
    """Train one version for each seed as jobs; register them here, in order, when all are trained."""
    from grmu_audit.training.runtime import choose_device

    network = load_network(session, prepared.parent, choose_device(session.device))
    study = put_study(session, runner.folder, prepared.parent, network, prepared.dataset, _sets(session, prepared))
    jobs = [_job(prepared, seed, study) for seed in seeds]
    with session.observer.progress(f"{prepared.choice.method.name} {prepared.parent.name}", len(jobs), "seed") as advance:
        for _ in runner.run(jobs):
            advance(1)
    made = []
    for job, seed in zip(jobs, seeds, strict=True):
        build = partial(_trained_elsewhere, session, prepared, network, runner.folder.result(job))
        plan = prepared.plan(seed)
        made.append(patiently(session, lambda: make_version(session, plan, build, network).ref))  # noqa: B023  (called at once)
        runner.folder.forget(job)
    remove_study(runner.folder, study)
    return made


def _sets(session: Session, prepared: _Prepared) -> dict[str, Sequence[str]]:
    """The rows of the request, by pseudonym."""
    names, request = session.pseudonyms_of(prepared.dataset), prepared.request
    forget, served = ([names[row] for row in rows] for rows in (request.splits.forget, request.served))
    return {FORGET: forget, SERVED: served, WITHHELD: request.withheld}


def _job(prepared: _Prepared, seed: int, study: str) -> Job:
    """The training of one seed."""
    choice, settings = prepared.choice, prepared.config.model_dump(mode="json")
    named = {"study": study, "method": choice.method.name, "reweight": choice.reweight}
    return Job("method", {**named, "settings": settings, "seed": seed})


def _trained_elsewhere(
    session: Session, prepared: _Prepared, network: Classifier, content: bytes | None, source: BatchSource, runtime: Runtime
) -> Classifier:
    """The network of a job, and what its run recorded."""
    result = take_method_result(network, content or b"", runtime)
    data = _unlearning_data(source, prepared.request, prepared.choice.reweight)
    _require_good(session, prepared, network, result, data, runtime)
    return result


def _require_good(
    session: Session, prepared: _Prepared, network: Classifier, result: Classifier, data: UnlearningData, runtime: Runtime
) -> None:
    """Return when a method changed the weights and kept the accuracy; a loss of an exact method is only noted.

    Raises:
        InputError: it returned the weights that it was given.
        CollapsedError: it lost more accuracy than a version may lose.
    """
    from grmu_audit.models.weights import same_weights

    if same_weights(network, result):
        raise InputError(
            f"method {prepared.choice.method.name!r} with these settings returned the weights of {prepared.parent.label}, up to"
            " rounding: nothing was done and nothing was registered; change its settings (grmu-audit methods show), or choose"
            " another method"
        )
    lost = require_kept(prepared.parent, network, result, data, runtime)
    if lost and not (prepared.choice.method.exact or prepared.keep_collapsed):
        raise CollapsedError(lost)
    if lost:
        session.observer.note(f"warning: {lost}")
    if not prepared.choice.method.exact:  # whose record shows that it read no row of the forget set
        session.observer.note(effect_on_forget_set(network, result, data, runtime))


def retrain(
    session: Session, model: str, forget: Forget, options: UnlearnOptions = DEFAULT_OPTIONS, systems: Path | None = None
) -> ModelRef:
    """Train again from fresh weights without the forget set: ``unlearn`` with the exact method; ``options.method`` is ignored."""
    return unlearn(session, model, forget, replace(options, method="retrain"), systems)


def retrain_seeds(
    session: Session,
    model: str,
    forget: Forget,
    count: int,
    options: UnlearnOptions = DEFAULT_OPTIONS,
    systems: Path | None = None,
) -> list[ModelRef]:
    """``retrain`` from ``count`` seeds, the first being that of ``options``; as jobs where the session runs them.

    Raises:
        InputError: ``options`` asks to resume, which jobs do by themselves.
    """
    if options.resume and count > 1:
        raise InputError("--resume goes with one seed: with --seeds, give the command again, and what is trained is not repeated")
    return _unlearn(session, model, forget, replace(options, method="retrain"), systems, count)


def _probed(session: Session, parent: ModelRef, request: CheckedRequest, choice: MethodChoice) -> tuple[float, Any]:
    """See ``rates.probed``."""
    from grmu_audit.data.batches import BatchSource
    from grmu_audit.training.runtime import choose_device

    source = BatchSource(session.dataset_of(parent), choose_device(session.device))
    return probed(session, parent, _unlearning_data(source, request, choice.reweight), choice)


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
    group_wise = root.config.get(GROUP_WISE)
    return {**root.settings, **(group_wise if isinstance(group_wise, dict) else {})} if root.role == "pretrain" else {}


def _unlearning_data(source: BatchSource, request: CheckedRequest, weighted: bool) -> UnlearningData:
    from grmu_audit.unlearning.data import UnlearningData

    parts = request.splits
    retain, forget, val = (np.asarray(rows, dtype=np.int64) for rows in (parts.retain, parts.forget, parts.val))
    data = UnlearningData(source, retain, forget, val, served=np.asarray(request.served, dtype=np.int64))
    return data.reweighted() if weighted else data
