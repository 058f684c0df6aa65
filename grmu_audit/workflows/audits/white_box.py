"""What an audit measures with the models themselves: asked once, kept, and turned into values by pure functions."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from grmu_audit.evaluation.output_cache import OutputCache, cache_key
from grmu_audit.evidence import pseudonyms
from grmu_audit.records import ModelRef
from grmu_audit.records.white_box import Probes
from grmu_audit.workflows.audits.shadow import Asking
from grmu_audit.workflows.versions.network import load_network

if TYPE_CHECKING:
    from grmu_audit.data.batches import BatchSource
    from grmu_audit.data.dataset import Dataset
    from grmu_audit.models.classifier import Classifier
    from grmu_audit.training.runtime import Runtime
    from grmu_audit.workflows.session import Session

Ask = Callable[["Classifier", "BatchSource", npt.NDArray[np.str_], "Runtime"], Probes]


@dataclass
class Asked:
    """What asking the models cost."""

    evaluations: int = 0
    """Samples that went through a network, every pass counted."""
    models: int = 0
    """Networks that had to be loaded; 0 when everything was kept."""


@dataclass(frozen=True)
class Setting:
    """What the models of one audit have in common."""

    session: Session
    """Store, key, device."""
    dataset: Dataset
    """The data."""
    forget: frozenset[str]
    """Pseudonyms of the forget set."""
    forget_digest: str
    """Its keyed digest."""
    seed: int
    """Seed of starting points and samples."""
    asked: Asked
    """Counts what was asked."""
    shadows: Asking = field(default_factory=Asking)
    """Shadow models of level deep."""

    @property
    def shelf(self) -> OutputCache:
        """Where measurements are kept."""
        return OutputCache(self.session.root / "measured")


def probes_of(setting: Setting, ref: ModelRef, level: str) -> Probes:
    """All measurements of a version at a level, each read from the shelf or made and kept."""
    from grmu_audit.evaluation.white_box import auto_attack, collect_white_box, merge

    found = _measured(setting, ref, "standard", collect_white_box, {})
    if level == "deep":
        found = merge(found, _measured(setting, ref, "autoattack", auto_attack, {}))
        found = merge(found, _measured(setting, ref, "relearn", partial(_relearn, setting), {"forget": setting.forget_digest}))
    return found


def _relearn(setting: Setting, model: Classifier, source: BatchSource, ids: npt.NDArray[np.str_], runtime: Runtime) -> Probes:
    from grmu_audit.evaluation import relearning as again

    forget = np.flatnonzero(np.isin(ids, list(setting.forget)))
    curves = again.relearn_curves(model, source, forget, runtime, again.RELEARNING)
    return Probes(ids, relearn=curves, facts={"relearn": asdict(again.RELEARNING)})


def _measured(setting: Setting, ref: ModelRef, kind: str, ask: Ask, more: Mapping[str, object]) -> Probes:
    session, dataset = setting.session, setting.dataset
    ids = np.asarray(pseudonyms(session.key, dataset.frame["id"].tolist()), dtype=np.str_)
    runtime = session.runtime(setting.seed)
    made_from = {
        "kind": kind,
        "model": ref.manifest_sha256,
        "data": dataset.digest,
        "seed": setting.seed,
        "precision": runtime.precision,
        **more,
    }
    key = cache_key(made_from)
    kept = setting.shelf.read(key, ids)
    if kept is None:
        with _told(session, ref, _what(kind, len(dataset.rows("test")))):
            kept = _asked(setting, ref, ask, ids, runtime)
        if not any("not installed" in why for why in kept.missing.values()):
            setting.shelf.write(key, kept)
    return kept


def _what(kind: str, tests: int) -> str:
    """What a kind of measurement asks, in words."""
    from grmu_audit.evaluation import relearning, white_box

    again = relearning.RELEARNING

    return {
        "standard": f"features, layers, FGSM and PGD on {tests} test samples",
        "autoattack": f"AutoAttack on {min(white_box.MOST_AA, tests)} test samples, the slowest where many withstand",
        "relearn": f"relearning the forget set, {again.runs} runs of at most {again.epochs} short epochs",
    }[kind]


@contextmanager
def _told(session: Session, ref: ModelRef, what: str) -> Iterator[None]:
    """Say what a model is asked before it is asked, and how long it took."""
    start = time.perf_counter()
    session.observer.note(f"asking {ref.label}: {what}")
    yield
    session.observer.note(f"asking {ref.label}: done in {time.perf_counter() - start:.0f} s")


def _asked(setting: Setting, ref: ModelRef, ask: Ask, ids: npt.NDArray[np.str_], runtime: Runtime) -> Probes:
    """Load the network, ask it, and count what went through it."""
    from grmu_audit.data.batches import BatchSource

    model = load_network(setting.session, ref, runtime.device)
    setting.asked.models += 1

    def count(module: object, inputs: tuple[Any, ...], output: object) -> None:
        """Count the samples of a forward pass."""
        setting.asked.evaluations += len(inputs[0])

    handle = model.body.register_forward_hook(count)
    try:
        return ask(model, BatchSource(setting.dataset, runtime.device), ids, runtime)
    finally:
        handle.remove()


def passes(asked: Asked, dataset: Dataset) -> int:
    """Evaluations in passes over the data, rounded up."""
    return math.ceil(asked.evaluations / len(dataset))
