"""The shadow models of an audit: cost told first, trained within the budget, kept, and shared with every later audit."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from grmu_audit.errors import DivergedError
from grmu_audit.evidence import pseudonyms
from grmu_audit.records import ModelRef
from grmu_audit.records.white_box import ShadowTable
from grmu_audit.utils.yaml_files import typed_config
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.network import lineage_root, load_network

if TYPE_CHECKING:
    from grmu_audit.data.dataset import Dataset
    from grmu_audit.evaluation.shadow_models import Rows, ShadowPool, TrainingCost, UnlearnedPool
    from grmu_audit.models.classifier import Classifier
    from grmu_audit.training.runtime import Runtime


@dataclass(frozen=True)
class Asking:
    """What the operator wants of shadow models."""

    models: int = 16
    """How many; more make the attacks stronger."""
    budget: float | None = None
    """Seconds that training them and running the method on them may take in this audit; None: as long as it takes."""


@dataclass(frozen=True)
class Shadows:
    """What there is of them."""

    table: ShadowTable | None
    """Margins of all samples; None where there are too few models.  Without ``unlearned`` the method was not run on them."""
    why: str
    """What is missing and why; empty when all is there."""
    evaluations: int = 0
    """Samples that went through newly trained models to be written down."""
    facts: dict[str, Any] = field(default_factory=dict)
    """For the record."""


def shadow_table(
    session: Session, ref: ModelRef, dataset: Dataset, forget: frozenset[str], forget_digest: str, asking: Asking
) -> Shadows:
    """The pool of a version's lineage, and the audited method on each of its models.

    What the pool leaves of the budget goes to the method.  What does not fit is left for a later audit.

    Args:
        session: store, key, device.
        ref: the audited version; its architecture, recipe, method and options are repeated.
        dataset: the data.
        forget: pseudonyms of the forget set.
        forget_digest: its keyed digest.
        asking: how many, and the budget.
    """
    from grmu_audit.data.batches import BatchSource
    from grmu_audit.training.config import TrainConfig

    if asking.models < LEAST:
        return Shadows(None, f"{asking.models} shadow models were asked for; {LEAST} are needed")
    runtime = session.runtime(0)
    source, root = BatchSource(dataset, runtime.device), lineage_root(session, ref)
    recipe = typed_config(TrainConfig, _settings(root))
    pool = Pool(session.root / "shadow", source, load_network(session, ref, runtime.device), recipe, 0, runtime)
    before = pool.kept(asking.models)
    guess = _guess(root, len(pool.population) / 2, len(dataset.rows("train")))
    _tell(session, pool.cost(asking.models, guess), "shadow models", asking.budget)
    start = time.perf_counter()
    there = pool.train_missing(asking.models, asking.budget, guess)
    asking = _after(asking, time.perf_counter() - start)
    names = np.asarray(pseudonyms(session.key, dataset.frame["id"].tolist()), dtype=np.str_)
    facts: dict[str, Any] = {"pool": pool.key, "models": there, "trained_now": pool.count_stored(asking.models) - before}
    evaluations = facts["trained_now"] * len(dataset)
    if there < MIN_SHADOW_MODELS:
        found = f"{there} of {asking.models} shadow models fitted into the budget"
        why = f"{found}; {MIN_SHADOW_MODELS} are needed: audit again to go on"
        return Shadows(None, why, evaluations, facts)
    table = pool.table(there, names)
    return _with_method(session, ref, pool, table, np.flatnonzero(np.isin(names, list(forget))), forget_digest, asking, facts)


def _after(asking: Asking, seconds: float) -> Asking:
    """What is wanted once so much time has gone."""
    return asking if asking.budget is None else replace(asking, budget=max(asking.budget - seconds, 0.0))


def _with_method(
    session: Session,
    ref: ModelRef,
    pool: ShadowPool,
    table: ShadowTable,
    forget: Rows,
    forget_digest: str,
    asking: Asking,
    facts: dict[str, Any],
) -> Shadows:
    """The table after the audited method, where that can be repeated."""
    from grmu_audit.evaluation.shadow_models import UnlearnedPool
    from grmu_audit.unlearning.methods import methods

    samples = len(pool.source.dataset)
    trained = facts["trained_now"] * samples
    if ref.role != "unlearned" or ref.method not in methods.names():
        return Shadows(table, "the version was retrained, so that there is no method to attack", trained, facts)
    settings = _settings(ref)
    made_from = {"method": ref.method, "settings": settings, "reweight": ref.reweight, "forget": forget_digest}

    def run(model: Classifier, stay: Rows, gone: Rows, runtime: Runtime) -> Classifier:
        """The audited method with the audited options."""
        from grmu_audit.unlearning.data import UnlearningData

        method = methods.get(str(ref.method))
        data = UnlearningData(pool.source, stay, gone, pool.source.dataset.rows("val"))
        return unlearn(method, model, data.reweighted() if ref.reweight else data, typed_config(method.config, settings), runtime)

    bank = UnlearnedPool(pool, made_from, forget, run)
    before = bank.count_stored(len(table.margin))
    try:
        there = _filled(session, bank, len(table.margin), asking, ref)
    except DivergedError as error:
        return Shadows(table, f"the method diverged on a shadow model: {error}", trained, facts)
    facts |= {"unlearned_models": there, "method": ref.method}
    trained += (bank.count_stored(len(table.margin)) - before) * samples
    if there < MIN_SHADOW_MODELS:
        return Shadows(
            table,
            f"the method was run on {there} shadow models within the budget; {MIN_SHADOW_MODELS} are needed",
            trained,
            facts,
        )
    return Shadows(bank.add_to(table, there), "", trained, facts)


def _filled(session: Session, bank: UnlearnedPool, count: int, asking: Asking, ref: ModelRef) -> int:
    from grmu_audit.evaluation.shadow_models import TrainingCost

    seconds = ref.config.get("seconds")
    guess = float(seconds) if isinstance(seconds, int | float) else None
    _tell(session, TrainingCost(count, bank.count_stored(count), guess), f"{ref.method} on shadow models", asking.budget)
    return bank.train_missing(count, asking.budget, guess)


def _tell(session: Session, cost: TrainingCost, what: str, budget: float | None) -> None:
    """Say what it costs before it starts."""
    if cost.kept < cost.wanted:
        session.observer.note(cost.words(what, budget))


def _settings(ref: ModelRef) -> Mapping[str, object]:
    settings = ref.config.get("settings")
    return dict(settings) if isinstance(settings, dict) else {}


def _guess(root: ModelRef, half: float, whole: int) -> float | None:
    """Seconds per shadow model, from the lineage's first training."""
    seconds = root.config.get("seconds")
    return float(seconds) * half / max(whole, 1) if isinstance(seconds, int | float) else None
