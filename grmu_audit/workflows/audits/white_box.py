"""White-box outputs of the models of an audit: collected once, cached, and measured by pure functions later."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from grmu_audit.evaluation.output_cache import OutputCache, cache_key
from grmu_audit.records import ModelRef
from grmu_audit.records.white_box import FINE_TUNING, PGD_SAMPLES, RETURN_EPOCHS, Missing, MissingCode, WhiteBoxOutputs
from grmu_audit.tracking.references import lineage_root
from grmu_audit.utils.yaml_files import typed_config
from grmu_audit.workflows.versions.costs import recorded_seconds
from grmu_audit.workflows.versions.network import load_network
from grmu_audit.workflows.versions.precision import inference_runtime

if TYPE_CHECKING:
    from grmu_audit.data.batches import BatchSource
    from grmu_audit.data.dataset import Dataset
    from grmu_audit.evaluation.durability import FineTuning
    from grmu_audit.models.classifier import Classifier
    from grmu_audit.tracking.requests import StoredRequest
    from grmu_audit.training.runtime import Runtime
    from grmu_audit.workflows.session import Session

CollectArrays = Callable[["Classifier", "BatchSource", npt.NDArray[np.str_], "Runtime"], WhiteBoxOutputs]
"""Collects white-box outputs of one network."""


@dataclass
class ForwardPassCount:
    """Counts samples that go through networks."""

    samples: int = 0
    """Samples so far, every pass counted."""

    def passes(self, dataset: Dataset) -> int:
        """The samples in passes over the data, rounded up."""
        return math.ceil(self.samples / len(dataset))


@dataclass
class TimeLeft:
    """Time that is left for the trainings of an audit."""

    seconds: float | None = None
    """None: no limit."""

    def allows(self, guess: float | None) -> bool:
        """Whether work of about this many seconds may be started."""
        return self.seconds is None or (self.seconds > 0 and (guess or 0.0) <= self.seconds)

    @contextmanager
    def spent(self) -> Iterator[None]:
        """Subtract the duration of the context."""
        start = time.perf_counter()
        yield
        if self.seconds is not None:
            self.seconds = max(self.seconds - (time.perf_counter() - start), 0.0)


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
    before: ModelRef | None = None
    """The version before unlearning."""
    epochs: int = RETURN_EPOCHS
    """Epochs of fine-tuning on the retain set."""
    left: TimeLeft = field(default_factory=TimeLeft)
    """What the fine-tuning may take."""
    precision: str = "fp32"
    """Recorded precision of the models of the audit, unless the caller chose another."""
    pgd_samples: int | None = PGD_SAMPLES
    """Most test samples that PGD attacks; None: all."""
    parent: ModelRef | None = None
    """The version before unlearning even where it was purged: it names the first version of the lineage, and its recipe."""

    def collect(self, ref: ModelRef, level: str) -> WhiteBoxOutputs:
        """All outputs of a version that a level measures, each read from the cache or collected and cached."""
        from grmu_audit.evaluation.white_box import auto_attack, collect_white_box, merge

        collect = partial(collect_white_box, pgd_samples=self.pgd_samples)
        whole = self._attacked == len(self.dataset.rows("test"))
        low = {"gradients": "bf16"} if self._runtime.without_gradients.precision == "bf16" else {}
        found = self._outputs(ref, "standard", collect, low if whole else {"pgd_samples": self.pgd_samples, **low})
        found = merge(found, self._outputs(ref, "changes", *self._changes(ref)))
        found = merge(found, self._fine_tuned(ref))
        if level == "deep":
            found = merge(found, self._outputs(ref, "autoattack", auto_attack, {}))
            found = merge(found, self._outputs(ref, "relearn", self._relearn, {"forget": self.request.digest}))
        return found

    def note_cost(self, refs: Sequence[ModelRef]) -> None:
        """Note the cost of fine-tuning these versions before it starts."""
        from grmu_audit.evaluation.shadow_models import TrainingCost

        stored = sum(self._is_fine_tuned(ref) for ref in refs)
        if stored < len(refs):
            what = f"fine-tuning on the retain set, {self.epochs} epoch{'s' if self.epochs > 1 else ''} for each version"
            words = TrainingCost(len(refs), stored, self._guess).words(what, self.left.seconds)
            self.session.observer.note(words.replace("to train", "to do"))

    @cached_property
    def _tuning(self) -> FineTuning:
        """The retain set, and the recipe of the lineage's first version."""
        from grmu_audit.evaluation.durability import FineTuning
        from grmu_audit.training.config import TrainConfig

        train = self.dataset.rows("train")
        retain = train[~np.isin(self._ids[train], list(self.request.pseudonyms))]
        recipe = typed_config(TrainConfig, self._root.settings if self._root else {})
        return FineTuning(retain, recipe, self.epochs, self._training_precision)

    @property
    def _training_precision(self) -> str:
        """Precision of passes with gradients: the caller's choice, or that of the lineage's first training on a like device."""
        runtime, recorded = self._runtime, self._root.config if self._root and self.session.precision == "auto" else {}
        hardware = recorded.get("hardware")
        like = isinstance(hardware, dict) and hardware.get("device") == runtime.device.type
        return "bf16" if like and recorded.get("precision") == "bf16" else runtime.precision

    @cached_property
    def _root(self) -> ModelRef | None:
        parent = self.before or self.parent
        return None if parent is None else lineage_root(self.session.store, parent)

    @property
    def _return_key(self) -> dict[str, object]:
        low = {"trained_in": "bf16"} if self._tuning.precision != self._runtime.precision else {}
        return {"forget": self.request.digest, "tuning": self._tuning.config.model_dump(mode="json"), **low}

    @property
    def _attacked(self) -> int:
        """Test samples that PGD attacks."""
        tests = len(self.dataset.rows("test"))
        return tests if self.pgd_samples is None else min(self.pgd_samples, tests)

    @property
    def _gradient_seconds(self) -> float | None:
        """Seconds of a sample's pass with gradients of the weights in the first training of the lineage; None when unknown."""
        seconds = recorded_seconds(self._root) if self._root else None
        passes = self._tuning.recipe.epochs * max(len(self.dataset.rows("train")), 1)
        return None if seconds is None else seconds / passes

    @property
    def _guess(self) -> float | None:
        """Seconds of fine-tuning a version: a pass without gradients takes a third of one with them."""
        each = self._gradient_seconds
        return None if each is None else each * self.epochs * (len(self._tuning.retain) + len(self.dataset) / 3)

    def _what(self, kind: str) -> str:
        """What is collected, in words; of the attacks what they cost at most."""
        tests = len(self.dataset.rows("test"))
        if kind != "standard":
            return _words_of(kind, tests)
        if self.dataset.header.kind == "text":
            return f"features, and layers on {tests:,} test samples"
        from grmu_audit.evaluation.adversarial import attack_passes

        forward, back = attack_passes(tests, self._attacked)
        each = self._gradient_seconds
        about = f", about {each / 3 * (len(self.dataset) + tests + forward + back) / 60:.1f} min" if each is not None else ""
        share = f"{self._attacked:,} of " if self._attacked < tests else ""
        return (
            f"features, layers, FGSM on {tests:,} and PGD on {share}{tests:,} test samples, at most {forward:,} samples forward"
            f" and {back:,} back{about}"
        )

    def _fine_tuned(self, ref: ModelRef) -> WhiteBoxOutputs:
        """Answers after fine-tuning on the retain set, or why there are none."""
        from grmu_audit.evaluation.durability import collect_fine_tuning

        code, reason = MissingCode.NOT_APPLICABLE, "" if len(self._tuning.retain) > 1 else "the request leaves no retain set"
        if not reason and not self._is_fine_tuned(ref) and not self.left.allows(self._guess):
            code, reason = MissingCode.NO_TIME, "fine-tuning on the retain set did not fit into the budget: audit again to go on"
        if reason:
            return WhiteBoxOutputs(self._ids, missing={FINE_TUNING: Missing(code, reason)})
        with self.left.spent():
            return self._outputs(ref, "return", partial(collect_fine_tuning, tuning=self._tuning), self._return_key)

    def _changes(self, ref: ModelRef) -> tuple[CollectArrays, Mapping[str, object]]:
        """A function that collects answers with rounded, pruned and mixed weights, and what these depend on."""
        other = self.before if self.before is not None and self.before.label != ref.label else None

        def collect(model: Classifier, source: BatchSource, ids: npt.NDArray[np.str_], runtime: Runtime) -> WhiteBoxOutputs:
            from grmu_audit.evaluation.durability import collect_changes

            before = None if other is None else load_network(self.session, other, runtime.device)
            return collect_changes(model, source, ids, runtime, before)

        return collect, {"before": other.manifest_sha256 if other else None}

    def _relearn(self, model: Classifier, source: BatchSource, ids: npt.NDArray[np.str_], runtime: Runtime) -> WhiteBoxOutputs:
        from grmu_audit.evaluation import relearning as again

        forget = np.flatnonzero(np.isin(ids, list(self.request.pseudonyms)))
        curves = again.relearn_curves(model, source, forget, runtime, again.RELEARNING)
        return WhiteBoxOutputs(ids, relearn=curves, settings={"relearn": asdict(again.RELEARNING)})

    def _outputs(self, ref: ModelRef, kind: str, collect: CollectArrays, more: Mapping[str, object]) -> WhiteBoxOutputs:
        """Outputs of one kind, from the cache or collected; ``more``: what they depend on beside the model, data and seed."""
        key = self._key(ref, kind, more)
        outputs = self._cache.read(key, self._ids)
        if outputs is None:
            with _reported(self.session, ref, self._what(kind)):
                outputs = self._collect_and_count(ref, collect)
            if outputs.complete:
                self._cache.write(key, outputs)
        return outputs

    @cached_property
    def _ids(self) -> npt.NDArray[np.str_]:
        """[n] pseudonyms of all samples."""
        return np.asarray(self.session.pseudonyms_of(self.dataset), dtype=np.str_)

    @property
    def _runtime(self) -> Runtime:
        return inference_runtime(self.session, self.seed, self.precision)

    @property
    def _cache(self) -> OutputCache:
        return OutputCache(self.session.root / "measured")

    def _is_fine_tuned(self, ref: ModelRef) -> bool:
        return self._cache.path(self._key(ref, "return", self._return_key)).is_file()

    def _key(self, ref: ModelRef, kind: str, more: Mapping[str, object]) -> str:
        derived_from = {"kind": kind, "model": ref.manifest_sha256, "data": self.dataset.digest, "seed": self.seed}
        training, asked = self._runtime.precision, self._runtime.without_gradients.precision
        return cache_key({**derived_from, "precision": training if asked == training else f"{training} {asked}", **more})

    def _collect_and_count(self, ref: ModelRef, collect: CollectArrays) -> WhiteBoxOutputs:
        """Load the network, collect, and count the samples that go through it."""
        from grmu_audit.data.batches import BatchSource

        runtime = self._runtime
        model = load_network(self.session, ref, runtime.device)

        def count(module: object, inputs: tuple[Any, ...], output: object) -> None:
            self.counter.samples += len(inputs[0])

        handle = model.body.register_forward_hook(count)
        try:
            return collect(model, BatchSource(self.dataset, runtime.device), self._ids, runtime)
        finally:
            handle.remove()


def _words_of(kind: str, tests: int) -> str:
    """What is collected beyond features, layers and attacks, in words."""
    from grmu_audit.evaluation import relearning, white_box

    again = relearning.RELEARNING
    return {
        "changes": "answers with rounded, pruned and mixed weights",
        "return": "fine-tuning on the retain set, answers after each epoch",
        "autoattack": f"AutoAttack on {min(white_box.MOST_AA, tests)} test samples, the slowest where many withstand",
        "relearn": f"relearning the forget set, {again.runs} runs of at most {again.epochs} short epochs",
    }[kind]


@contextmanager
def _reported(session: Session, ref: ModelRef, what: str) -> Iterator[None]:
    """Note what is collected from a model before it starts, and how long it took."""
    start = time.perf_counter()
    session.observer.note(f"collecting from {ref.label}: {what}")
    yield
    session.observer.note(f"collecting from {ref.label}: done in {time.perf_counter() - start:.0f} s")
