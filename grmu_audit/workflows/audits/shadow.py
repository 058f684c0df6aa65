"""The shadow models of an audit: their cost is noted first; trained within the budget, stored, and used by every later audit."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grmu_audit.errors import DivergedError, IntegrityError
from grmu_audit.evidence import set_digest
from grmu_audit.jobs import Job, JobFolder
from grmu_audit.records import ModelRef
from grmu_audit.records.white_box import MIN_SHADOW_MODELS, ShadowTable
from grmu_audit.tracking.references import lineage_root
from grmu_audit.tracking.requests import Lineages
from grmu_audit.utils.yaml_files import typed_config
from grmu_audit.workflows.versions.costs import recorded_seconds
from grmu_audit.workflows.versions.creation import GROUP_WISE
from grmu_audit.workflows.versions.network import load_network
from grmu_audit.workflows.versions.precision import measured_precision
from grmu_audit.workflows.versions.studies import FORGET, open_study, put_study, remove_study

if TYPE_CHECKING:
    from grmu_audit.evaluation.shadow_models import LeftOut, Rows, ShadowPool, TrainElsewhere, TrainingCost, UnlearnedPool
    from grmu_audit.models.classifier import Classifier
    from grmu_audit.training.runtime import Runtime
    from grmu_audit.workflows.audits.target import AuditTarget
    from grmu_audit.workflows.session import Session


LEFT_OUT = "left out"
"""Set of a study: rows that no model of the pool is trained on."""


@dataclass(frozen=True)
class ShadowOptions:
    """Options for shadow models."""

    models: int = 16
    """Number of shadow models; more of them strengthen the attacks."""
    budget: float | None = None
    """Most seconds for training them and running the method on them in this audit; None: no limit."""


@dataclass(frozen=True)
class ShadowResult:
    """The collected shadow-model outputs."""

    table: ShadowTable | None
    """Margins of all samples; None where there are too few models.  Without ``unlearned`` the method was not run on them."""
    why: str
    """What is missing and why; empty if complete."""
    samples: int = 0
    """Samples that went through newly trained models."""
    facts: dict[str, Any] = field(default_factory=dict)
    """For the record."""


def collect_shadows(session: Session, target: AuditTarget, options: ShadowOptions) -> ShadowResult:
    """The outputs of the lineage's shadow models, and of the audited method on each of them.

    The method has the time that the models leave of the budget.  What does not fit is left for a later audit.

    Args:
        session: store, key, device.
        target: what is audited; its architecture, training settings, method and options are repeated.
        options: how many, and the budget.
    """
    if options.models < MIN_SHADOW_MODELS:
        return ShadowResult(None, f"{options.models} shadow models were requested; {MIN_SHADOW_MODELS} are needed")
    root = lineage_root(session.store, target.version)
    pool = open_pool(session, target, root)
    before, start = pool.count_stored(options.models), time.perf_counter()
    guess = _guess(root, len(pool.population) / 2, len(target.dataset.rows("train")))
    _note_cost(session, pool.cost(options.models, guess), "shadow models", options.budget)
    ready = pool.train_missing(options.models, options.budget, guess, train_elsewhere(session, target, pool))
    left = None if options.budget is None else max(options.budget - (time.perf_counter() - start), 0.0)
    trained = pool.count_stored(options.models) - before
    facts: dict[str, Any] = {"pool": pool.key, "models": ready, "trained_now": trained}
    samples = trained * len(target.dataset)
    if ready < MIN_SHADOW_MODELS:
        needed = f"{MIN_SHADOW_MODELS} are needed: audit again to go on"
        why = f"{ready} of {options.models} shadow models fitted into the budget; {needed}"
        return ShadowResult(None, why, samples, facts)
    names = np.asarray(session.pseudonyms_of(target.dataset), dtype=np.str_)
    found = ShadowResult(pool.table(ready, names), "", samples, facts)
    return _with_method(session, target, pool, found, left)


def open_pool(session: Session, target: AuditTarget, root: ModelRef) -> ShadowPool:
    """The pool of the lineage's architecture and recipe, without the rows of requests before the audited one."""
    from grmu_audit.data.batches import BatchSource
    from grmu_audit.evaluation.shadow_models import ShadowPool
    from grmu_audit.training.calibration import Job
    from grmu_audit.training.config import TrainConfig

    runtime = session.runtime(0)
    if root.config.get(GROUP_WISE):
        session.observer.note(f"{root.label} was trained with Group-DRO; its shadow models minimise the mean loss instead")
    model, config = load_network(session, target.version, runtime.device), typed_config(TrainConfig, root.settings)
    source = BatchSource(target.dataset, runtime.device)
    measured_precision(
        session, runtime, model, Job(len(target.dataset), config.epochs * len(target.dataset) // 2), target.version
    )
    return ShadowPool(session.root / "shadow", source, model, config, runtime, _earlier_rows(session, target))


def _earlier_rows(session: Session, target: AuditTarget) -> LeftOut:
    """Rows that requests before the audited one named, and those that no evaluation may use.

    The training rows of the audited request stay in the pool, since the attacks need models with them.
    """
    from grmu_audit.evaluation.shadow_models import LeftOut

    earlier = Lineages(session.store).forgotten(target.baseline) if target.baseline else frozenset[str]()
    named = sorted(earlier | target.request.withheld)
    names = np.asarray(session.pseudonyms_of(target.dataset), dtype=np.str_)
    rows = np.flatnonzero(np.isin(names, named)).astype(np.int64)
    return LeftOut(rows, set_digest(session.key, named), names, tuple(named))


def _with_method(
    session: Session, target: AuditTarget, pool: ShadowPool, found: ShadowResult, budget: float | None
) -> ShadowResult:
    """The table after the audited method, where that can be repeated."""
    from grmu_audit.unlearning.methods import methods

    ref, table = target.version, found.table
    if table is None or ref.role != "unlearned":
        return replace(found, why="the version was retrained, so that there is no method to attack")
    if ref.method not in methods.names():
        return replace(found, why=f"method {ref.method!r} is not installed here")
    bank, count = method_bank(target, pool), len(table.margin)
    before = bank.count_stored(count)
    try:
        ready = _run_on_pool(session, target, bank, count, budget)
    except DivergedError as error:
        return replace(found, why=f"the method diverged on a shadow model: {error}")
    samples = found.samples + (bank.count_stored(count) - before) * len(target.dataset)
    found = replace(found, samples=samples, facts={**found.facts, "unlearned_models": ready, "method": ref.method})
    if ready < MIN_SHADOW_MODELS:
        why = f"the method was run on {ready} shadow models within the budget; {MIN_SHADOW_MODELS} are needed"
        return replace(found, why=why)
    return replace(found, table=bank.add_to(table, ready))


def _bank(pool: ShadowPool, forget: Rows, made_from: Mapping[str, Any]) -> UnlearnedPool:
    """The pool's models after a method.

    Args:
        pool: the shadow models.
        forget: rows of the forget set.
        made_from: see ``_method_facts``.
    """
    from grmu_audit.evaluation.shadow_models import UnlearnedPool
    from grmu_audit.unlearning.apply import apply_method
    from grmu_audit.unlearning.data import UnlearningData
    from grmu_audit.unlearning.methods import methods

    def run(model: Classifier, retain: Rows, forget: Rows, runtime: Runtime) -> Classifier:
        """The method on one model."""
        method = methods.get(str(made_from["method"]))
        data = UnlearningData(pool.source, retain, forget, pool.source.dataset.rows("val"))
        config = typed_config(method.config, made_from["settings"])
        return apply_method(method, model, data.reweighted() if made_from["reweight"] else data, config, runtime)

    return UnlearnedPool(pool, dict(made_from), forget, run)


def method_bank(target: AuditTarget, pool: ShadowPool) -> UnlearnedPool:
    """The pool's models after the audited method with the audited options."""
    names = pool.without.names
    assert names is not None, "an audit's pool has pseudonyms of its rows"
    return _bank(pool, np.flatnonzero(np.isin(names, list(target.request.pseudonyms))), method_facts(target))


def method_facts(target: AuditTarget) -> dict[str, Any]:
    """What the outputs of the method on shadow models depend on, beside the pool."""
    ref = target.version
    return {"method": ref.method, "settings": ref.settings, "reweight": ref.reweight, "forget": target.request.digest}


def train_elsewhere(
    session: Session, target: AuditTarget, pool: ShadowPool, made_from: Mapping[str, Any] | None = None
) -> TrainElsewhere | None:
    """Trains models of a pool, or runs the method on them, as jobs; None where the session runs none.

    Args:
        session: where jobs run.
        target: what is audited.
        pool: the shadow models.
        made_from: what the method's outputs depend on; None: the models themselves are trained.
    """
    runner = session.job_runner()
    if runner is None:
        return None

    def train(numbers: Iterable[int]) -> Iterator[tuple[int, bytes]]:
        """Numbers become jobs when a worker is free."""
        sets = {LEFT_OUT: pool.without.members, FORGET: target.request.pseudonyms}
        study = put_study(session, runner.folder, target.version, pool.like, target.dataset, sets)
        fixed = {"study": study, "pool": pool.key, "recipe": pool.recipe.model_dump(mode="json"), "left_out": pool.without.digest}
        fixed |= {"precision": pool.runtime.precision, "inference": asdict(pool.runtime.without_gradients)}  # measured here, once

        def jobs() -> Iterator[Job]:
            for number in numbers:
                if made_from is None:
                    yield Job("shadow-model", {**fixed, "number": number})
                else:
                    model = runner.folder.put(pool.content(number))
                    yield Job("unlearned-shadow", {**fixed, "number": number, "model": model, "made_from": dict(made_from)})

        for job, content in runner.run(jobs()):
            yield job.arguments["number"], content
            runner.folder.forget(job)
            runner.folder.remove_inputs(*([job.arguments["model"]] if made_from else []))
        remove_study(runner.folder, study)

    return train


def run_shadow_job(job: Job, folder: JobFolder) -> bytes:
    """One shadow model on a worker: its file."""
    return _pool_of(job, folder, Path("never-written")).train(job.arguments["number"])


def run_unlearned_job(job: Job, folder: JobFolder) -> bytes:
    """The audited method on one shadow model, on a worker: its file."""
    number = job.arguments["number"]
    with tempfile.TemporaryDirectory(prefix="grmu-audit-") as place:
        pool = _pool_of(job, folder, Path(place))
        pool.store(number, folder.input(job.arguments["model"]))
        forget = open_study(folder, job.arguments["study"]).rows(FORGET)
        return _bank(pool, forget, job.arguments["made_from"]).train(number)


def _pool_of(job: Job, folder: JobFolder, place: Path) -> ShadowPool:
    """The pool of a job.

    Raises:
        IntegrityError: it is another one here.
    """
    from grmu_audit.evaluation.shadow_models import LeftOut, ShadowPool
    from grmu_audit.training.config import TrainConfig
    from grmu_audit.training.runtime import Inference

    given, study = job.arguments, open_study(folder, job.arguments["study"])
    without = LeftOut(study.rows(LEFT_OUT), given["left_out"], study.names, tuple(sorted(study.sets[LEFT_OUT])))
    recipe, runtime = TrainConfig(**given["recipe"]), study.session.runtime(0)
    runtime.precision, runtime.inference = given["precision"], Inference(**given["inference"])
    pool = ShadowPool(place, study.source, study.network, recipe, runtime, without)
    if pool.key != given["pool"]:
        raise IntegrityError("this worker would train models of another pool: give every worker the same version of grmu-audit")
    return pool


def _run_on_pool(session: Session, target: AuditTarget, bank: UnlearnedPool, count: int, budget: float | None) -> int:
    """Run the method on shadow models within the budget; returns how many are done."""
    guess = recorded_seconds(target.version)
    _note_cost(session, bank.cost(count, guess), f"{target.version.method} on shadow models", budget)
    return bank.train_missing(count, budget, guess, train_elsewhere(session, target, bank.pool, method_facts(target)))


def _note_cost(session: Session, cost: TrainingCost, what: str, budget: float | None) -> None:
    """Note the cost before it starts."""
    if cost.stored < cost.wanted:
        session.observer.note(cost.words(what, budget))


def _guess(root: ModelRef, half: float, whole: int) -> float | None:
    """Seconds per shadow model, from the lineage's first training."""
    seconds = recorded_seconds(root)
    return None if seconds is None else seconds * half / max(whole, 1)
