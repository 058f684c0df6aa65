"""The shadow models of an audit: cost reported first, trained within the budget, stored, and shared with every later audit."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from grmu_audit.errors import DivergedError
from grmu_audit.evidence import set_digest
from grmu_audit.records import ModelRef
from grmu_audit.records.white_box import MIN_SHADOW_MODELS, ShadowTable
from grmu_audit.tracking.references import lineage_root
from grmu_audit.tracking.requests import Lineages
from grmu_audit.utils.yaml_files import typed_config
from grmu_audit.workflows.versions.network import load_network

if TYPE_CHECKING:
    from grmu_audit.evaluation.shadow_models import LeftOut, Rows, ShadowPool, TrainingCost, UnlearnedPool
    from grmu_audit.models.classifier import Classifier
    from grmu_audit.training.runtime import Runtime
    from grmu_audit.workflows.audits.target import AuditTarget
    from grmu_audit.workflows.session import Session


@dataclass(frozen=True)
class ShadowOptions:
    """Options for shadow models."""

    models: int = 16
    """Number of shadow models; more of them strengthen the attacks."""
    budget: float | None = None
    """Seconds that training them and running the method on them may take in this audit; None: as long as it takes."""


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
    """The pool of a version's lineage, and the audited method on each of its models.

    What the pool leaves of the budget goes to the method.  What does not fit is left for a later audit.

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
    there = pool.train_missing(options.models, options.budget, guess)
    left = None if options.budget is None else max(options.budget - (time.perf_counter() - start), 0.0)
    trained = pool.count_stored(options.models) - before
    facts: dict[str, Any] = {"pool": pool.key, "models": there, "trained_now": trained}
    samples = trained * len(target.dataset)
    if there < MIN_SHADOW_MODELS:
        needed = f"{MIN_SHADOW_MODELS} are needed: audit again to go on"
        why = f"{there} of {options.models} shadow models fitted into the budget; {needed}"
        return ShadowResult(None, why, samples, facts)
    names = np.asarray(session.pseudonyms_of(target.dataset), dtype=np.str_)
    found = ShadowResult(pool.table(there, names), "", samples, facts)
    return _with_method(session, target, pool, found, left)


def open_pool(session: Session, target: AuditTarget, root: ModelRef) -> ShadowPool:
    """The pool of the lineage's architecture and recipe, without the rows of requests before the audited one."""
    from grmu_audit.data.batches import BatchSource
    from grmu_audit.evaluation.shadow_models import ShadowPool
    from grmu_audit.training.config import TrainConfig

    runtime = session.runtime(0)
    model, config = load_network(session, target.version, runtime.device), typed_config(TrainConfig, root.settings)
    source = BatchSource(target.dataset, runtime.device)
    return ShadowPool(session.root / "shadow", source, model, config, runtime, _earlier_rows(session, target))


def _earlier_rows(session: Session, target: AuditTarget) -> LeftOut:
    """Rows that requests before the audited one named, and those that no evaluation may use.

    The training rows of the audited request stay in the pool, since the attacks need models with them.
    """
    from grmu_audit.evaluation.shadow_models import LeftOut

    earlier = Lineages(session.store).forgotten(target.baseline) if target.baseline else frozenset[str]()
    named = sorted(earlier | target.request.withheld)
    names = np.asarray(session.pseudonyms_of(target.dataset), dtype=np.str_)
    return LeftOut(np.flatnonzero(np.isin(names, named)).astype(np.int64), set_digest(session.key, named), names)


def _with_method(
    session: Session, target: AuditTarget, pool: ShadowPool, found: ShadowResult, budget: float | None
) -> ShadowResult:
    """The table after the audited method, where that can be repeated."""
    from grmu_audit.unlearning.methods import methods

    ref, table = target.version, found.table
    if table is None or ref.role != "unlearned" or ref.method not in methods.names():
        return replace(found, why="the version was retrained, so that there is no method to attack")
    bank, count = _bank(target, pool, table.ids), len(table.margin)
    before = bank.count_stored(count)
    try:
        there = _filled(session, bank, count, budget, ref)
    except DivergedError as error:
        return replace(found, why=f"the method diverged on a shadow model: {error}")
    samples = found.samples + (bank.count_stored(count) - before) * len(target.dataset)
    found = replace(found, samples=samples, facts={**found.facts, "unlearned_models": there, "method": ref.method})
    if there < MIN_SHADOW_MODELS:
        why = f"the method was run on {there} shadow models within the budget; {MIN_SHADOW_MODELS} are needed"
        return replace(found, why=why)
    return replace(found, table=bank.add_to(table, there))


def _bank(target: AuditTarget, pool: ShadowPool, ids: npt.NDArray[np.str_]) -> UnlearnedPool:
    """The pool's models after the audited method with the audited options."""
    from grmu_audit.evaluation.shadow_models import UnlearnedPool
    from grmu_audit.unlearning.apply import apply_method
    from grmu_audit.unlearning.data import UnlearningData
    from grmu_audit.unlearning.methods import methods

    ref, settings = target.version, target.version.settings
    method = methods.get(str(ref.method))
    derived_from: dict[str, object] = {
        "method": ref.method,
        "settings": settings,
        "reweight": ref.reweight,
        "forget": target.request.digest,
    }

    def run(model: Classifier, retain: Rows, forget: Rows, runtime: Runtime) -> Classifier:
        """The method on one model."""
        data = UnlearningData(pool.source, retain, forget, pool.source.dataset.rows("val"))
        return apply_method(
            method, model, data.reweighted() if ref.reweight else data, typed_config(method.config, settings), runtime
        )

    return UnlearnedPool(pool, derived_from, np.flatnonzero(np.isin(ids, list(target.request.pseudonyms))), run)


def _filled(session: Session, bank: UnlearnedPool, count: int, budget: float | None, ref: ModelRef) -> int:
    from grmu_audit.evaluation.shadow_models import TrainingCost

    seconds = ref.config.get("seconds")
    guess = float(seconds) if isinstance(seconds, int | float) else None
    _note_cost(session, TrainingCost(count, bank.count_stored(count), guess), f"{ref.method} on shadow models", budget)
    return bank.train_missing(count, budget, guess)


def _note_cost(session: Session, cost: TrainingCost, what: str, budget: float | None) -> None:
    """Say what it costs before it starts."""
    if cost.stored < cost.wanted:
        session.observer.note(cost.words(what, budget))


def _guess(root: ModelRef, half: float, whole: int) -> float | None:
    """Seconds per shadow model, from the lineage's first training."""
    seconds = root.config.get("seconds")
    return float(seconds) * half / max(whole, 1) if isinstance(seconds, int | float) else None
