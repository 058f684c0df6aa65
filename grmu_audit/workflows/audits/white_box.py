"""White-box outputs of the models of an audit: collected once, cached, and measured by pure functions later."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from grmu_audit.evaluation.output_cache import OutputCache, cache_key
from grmu_audit.records import ModelRef
from grmu_audit.records.white_box import WhiteBoxOutputs
from grmu_audit.workflows.versions.network import load_network

if TYPE_CHECKING:
    from grmu_audit.data.batches import BatchSource
    from grmu_audit.data.dataset import Dataset
    from grmu_audit.models.classifier import Classifier
    from grmu_audit.tracking.requests import StoredRequest
    from grmu_audit.training.runtime import Runtime
    from grmu_audit.workflows.session import Session

CollectArrays = Callable[["Classifier", "BatchSource", npt.NDArray[np.str_], "Runtime"], WhiteBoxOutputs]
"""Collects white-box outputs of one network."""


@dataclass
class ForwardPassCount:
    """Samples that went through the networks."""

    samples: int = 0
    """Samples that went through a network, every pass counted."""
    networks: int = 0
    """Networks that had to be loaded; 0 when everything was cached."""

    def passes(self, dataset: Dataset) -> int:
        """The samples in passes over the data, rounded up."""
        return math.ceil(self.samples / len(dataset))


@dataclass(frozen=True)
class WhiteBoxCollector:
    """Collects white-box outputs of the models of one audit."""

    session: Session
    """Store, key, device."""
    dataset: Dataset
    """The data."""
    request: StoredRequest
    """The forget request."""
    seed: int
    """Seed of starting points and samples."""
    counter: ForwardPassCount
    """Counts what goes through the networks."""

    def collect(self, ref: ModelRef, level: str) -> WhiteBoxOutputs:
        """All outputs of a version that a level measures, each read from the cache or collected and cached."""
        from grmu_audit.evaluation.white_box import auto_attack, collect_white_box, merge

        found = self._outputs(ref, "standard", collect_white_box, {})
        if level == "deep":
            found = merge(found, self._outputs(ref, "autoattack", auto_attack, {}))
            found = merge(found, self._outputs(ref, "relearn", self._relearn, {"forget": self.request.digest}))
        return found

    def _relearn(self, model: Classifier, source: BatchSource, ids: npt.NDArray[np.str_], runtime: Runtime) -> WhiteBoxOutputs:
        from grmu_audit.evaluation import relearning as again

        forget = np.flatnonzero(np.isin(ids, list(self.request.pseudonyms)))
        curves = again.relearn_curves(model, source, forget, runtime, again.RELEARNING)
        return WhiteBoxOutputs(ids, relearn=curves, settings={"relearn": asdict(again.RELEARNING)})

    def _outputs(self, ref: ModelRef, kind: str, collect: CollectArrays, more: Mapping[str, object]) -> WhiteBoxOutputs:
        ids = np.asarray(self.session.pseudonyms_of(self.dataset), dtype=np.str_)
        runtime, cache = self.session.runtime(self.seed), OutputCache(self.session.root / "measured")
        derived_from = {
            "kind": kind,
            "model": ref.manifest_sha256,
            "data": self.dataset.digest,
            "seed": self.seed,
            "precision": runtime.precision,
            **more,
        }
        key = cache_key(derived_from)
        outputs = cache.read(key, ids)
        if outputs is None:
            with _reported(self.session, ref, _what(kind, len(self.dataset.rows("test")))):
                outputs = self._counted(ref, collect, ids, runtime)
            if outputs.complete:
                cache.write(key, outputs)
        return outputs

    def _counted(self, ref: ModelRef, collect: CollectArrays, ids: npt.NDArray[np.str_], runtime: Runtime) -> WhiteBoxOutputs:
        """Load the network, collect, and count what goes through it."""
        from grmu_audit.data.batches import BatchSource

        model = load_network(self.session, ref, runtime.device)
        self.counter.networks += 1

        def count(module: object, inputs: tuple[Any, ...], output: object) -> None:
            """Count the samples of a forward pass."""
            self.counter.samples += len(inputs[0])

        handle = model.body.register_forward_hook(count)
        try:
            return collect(model, BatchSource(self.dataset, runtime.device), ids, runtime)
        finally:
            handle.remove()


def _what(kind: str, tests: int) -> str:
    """What is collected, in words."""
    from grmu_audit.evaluation import relearning, white_box

    again = relearning.RELEARNING
    return {
        "standard": f"features, layers, FGSM and PGD on {tests} test samples",
        "autoattack": f"AutoAttack on {min(white_box.MOST_AA, tests)} test samples, the slowest where many withstand",
        "relearn": f"relearning the forget set, {again.runs} runs of at most {again.epochs} short epochs",
    }[kind]


@contextmanager
def _reported(session: Session, ref: ModelRef, what: str) -> Iterator[None]:
    """Say what is collected of a model before it is, and how long it took."""
    start = time.perf_counter()
    session.observer.note(f"collecting from {ref.label}: {what}")
    yield
    session.observer.note(f"collecting from {ref.label}: done in {time.perf_counter() - start:.0f} s")
