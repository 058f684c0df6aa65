"""Processor seconds of this project beside those of the reference loop, in one run, on the same files; kept as it goes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measurements.kept import Kept, digest_of_files
from benchmarks.measurements.reference_loop import BATCH, METHODS, UNLEARNING_RATE, ReferenceLoop
from benchmarks.pages.data import tree
from grmu_audit.data.batches import BatchSource
from grmu_audit.data.catalog import DataSpec, load_dataset, read_listing
from grmu_audit.data.listing import Listing
from grmu_audit.evaluation.precision_guard import compare
from grmu_audit.evaluation.predict import apply_request, outputs_of
from grmu_audit.metrics import measure_predictions
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import Classifier, ModelSpec
from grmu_audit.training.calibration import Calibration, Wanted, kept_or_measured, operations
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.fit import TrainingRows, fit
from grmu_audit.training.inference import infer
from grmu_audit.training.runtime import Inference, Runtime, move_to
from grmu_audit.unlearning.apply import apply_method
from grmu_audit.unlearning.data import UnlearningData
from grmu_audit.unlearning.methods import methods

CPU = torch.device("cpu")
REFERENCES = {"reference fp32": "fp32", "reference bf16": "bf16"}
FORGET = 0.1
"""Share of the training rows that is forgotten."""


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    size: int
    """Height and width of an input."""
    count: int
    """Images; 80, 10 and 10 per cent are trained on, validated and tested."""
    epochs: int
    """Epochs of unlearning."""
    methods: tuple[str, ...]
    """Whole stories with these methods; none: passes and epochs alone."""
    rounds: int
    """Interleaved rounds."""
    compiled: bool = False
    """Whether the compiled form is measured too."""


CODE = ("data", "evaluation", "intervals", "metrics", "models", "records", "training", "unlearning", "utils")
"""Folders of the package that what is measured here depends on."""
HERE = ("benchmarks/measurements/performance.py", "benchmarks/measurements/reference_loop.py")


def spent(work: Callable[[], object]) -> dict[str, float]:
    """Wall and processor seconds, of this process and of workers that have ended."""
    wall, before = time.perf_counter(), os.times()
    work()
    after = os.times()
    return {"wall": time.perf_counter() - wall, "processor": sum(after[:4]) - sum(before[:4]), "load": os.getloadavg()[0]}


class Bench:
    """Both sides on one set of files."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.plan = plan
        self.root = folder / f"{plan.size}-{plan.count}"
        code = digest_of_files([*(f"grmu_audit/{name}" for name in CODE), *HERE])
        self.kept = Kept(self.root / "results.json", code)
        os.environ["GRMU_AUDIT_CACHE"] = str(self.root / "cache")
        if not (self.root / "celeba" / "list_eval_partition.txt").is_file():
            tree(self.root, plan.count)
        self.spec = DataSpec("celeba", {"root": str(self.root), "size": plan.size})
        self.build = self.timed("cache build", lambda: load_dataset(self.spec))
        self.dataset = load_dataset(self.spec)
        self.source = BatchSource(self.dataset, CPU)
        train = self.dataset.rows("train")
        forget, retain = train[: round(FORGET * len(train))], train[round(FORGET * len(train)) :]
        self.data = UnlearningData(self.source, retain, forget, self.dataset.rows("val"))
        self.splits = {"retain": retain, "forget": forget, "val": self.data.val, "test": self.dataset.rows("test")}

    def timed(self, name: str, work: Callable[[], object]) -> dict[str, float]:
        """What the work of that name took, which is not repeated where it is known."""
        found: dict[str, float] = self.kept.once(name, lambda: spent(work))
        return found

    @cached_property
    def listing(self) -> Listing:
        found = read_listing(self.spec)
        assert isinstance(found, Listing)
        return found

    def network(self) -> Classifier:
        header = self.dataset.header
        spec = ModelSpec("resnet18", 2, header.input_shape, header.mean, header.std, header.class_names)
        model = build(spec, 0)
        move_to(model, CPU)
        return model

    @cached_property
    def calibration(self) -> Calibration:
        """What ``auto`` keeps for this network and machine."""
        return kept_or_measured(self.network().eval(), CPU, Wanted(training=True, compiling=self.plan.compiled))

    def runtime(self, **chosen: Any) -> Runtime:
        """As a long job is run with ``auto``, or as chosen."""
        way = replace(self.calibration.way(), compile_from=None)
        settings = {"precision": self.calibration.training_precision, "inference": way, **chosen}
        return Runtime(CPU, 0, **settings)

    def reference(self, precision: str) -> ReferenceLoop:
        return ReferenceLoop(self.listing, self.splits, self.plan.size, precision)

    def config(self, kind: type[TrainConfig] = TrainConfig, **settings: Any) -> Any:
        return kind(**{"batch_size": BATCH, "learning_rate": 0.01, "keep_best": False, **settings})

    def evaluations(self) -> Iterator[tuple[str, Callable[[], object]]]:
        """All four splits once."""
        model, rows = self.network(), np.arange(len(self.dataset), dtype=np.int64)
        for name, precision in REFERENCES.items():
            loop = self.reference(precision)
            yield name, lambda loop=loop: loop.evaluate(loop.network())  # type: ignore[misc]
        ways = {"auto": self.runtime().inference, "fp32": Inference(), "bf16 plain": Inference("bf16")}
        if self.plan.compiled:
            ways["compiled"] = Inference(self.calibration.way().precision, "compiled")
        for name, way in ways.items():
            runtime = self.runtime(inference=way)
            yield name, lambda runtime=runtime: infer(model, self.source, rows, runtime)  # type: ignore[misc]

    def epochs(self) -> Iterator[tuple[str, Callable[[], object]]]:
        """One epoch with gradients, nothing evaluated."""
        train = np.concatenate([self.splits["retain"], self.splits["forget"]])
        for name, precision in REFERENCES.items():
            loop = self.reference(precision)
            yield name, lambda loop=loop: self._reference_epoch(loop, train)  # type: ignore[misc]
        for name, settings in {"auto": {}, "fp32": {"precision": "fp32"}}.items():
            runtime = self.runtime(**settings)
            yield name, lambda runtime=runtime: self.trained(train, 1, runtime, validate=False)  # type: ignore[misc]

    @staticmethod
    def _reference_epoch(loop: ReferenceLoop, rows: Any) -> None:
        from benchmarks.measurements.reference_loop import cross_entropy

        model = loop.network()
        loop.epoch(model, loop.optimizer(model), rows, cross_entropy)

    def trained(self, rows: Any, epochs: int, runtime: Runtime, *, validate: bool = True) -> Classifier:
        val = self.data.val if validate else self.data.val[:0]
        return fit(self.network(), self.source, TrainingRows(rows, val), self.config(epochs=epochs), runtime)

    def measured(self, model: Classifier, runtime: Runtime) -> None:
        """One pass over everything and all metrics of level quick."""
        names = [str(i) for i in range(len(self.dataset))]
        logits = infer(model, self.source, np.arange(len(self.dataset), dtype=np.int64), runtime).double().numpy()
        outputs = outputs_of(self.dataset, logits, names)
        header = self.dataset.header
        forget = frozenset(str(i) for i in self.data.forget.tolist())
        measure_predictions(apply_request(outputs, forget, header.class_names, header.attribute_names))

    def story(self, method: str) -> Iterator[tuple[str, Callable[[], object]]]:
        """Pretrain for two epochs, retrain for one, unlearn, and measure each of the three models."""
        train, retain = np.concatenate([self.splits["retain"], self.splits["forget"]]), self.splits["retain"]
        loop = self.reference(self.best("epoch"))

        def theirs() -> None:
            original = loop.train(train, 2)
            loop.train(retain, 1)
            loop.unlearn(original, method, self.plan.epochs)

        def ours() -> None:
            runtime = self.runtime()
            original = self.trained(train, 2, runtime)
            again = self.trained(retain, 1, runtime)
            entry = methods.get(method)
            config = self.config(entry.config, epochs=self.plan.epochs, learning_rate=UNLEARNING_RATE)
            student = apply_method(entry, original, self.data, config, self.runtime())
            for model in (original, again, student):
                self.measured(model, runtime)

        yield "reference", theirs
        yield "auto", ours

    def best(self, job: str) -> str:
        """The reference's faster precision."""
        spent = {p: self.median(job, name)["processor"] for name, p in REFERENCES.items()}
        return min(spent, key=lambda name: spent[name])

    def median(self, job: str, side: str) -> dict[str, float]:
        """Median of the rounds."""
        found = [self.kept.found[f"{job} {side} {r}"] for r in range(self.plan.rounds)]
        return {key: float(np.median([one[key] for one in found])) for key in ("wall", "processor", "load")}

    def run(self) -> None:
        """Everything, round by round, so that other load on the machine meets all sides."""
        for number in range(self.plan.rounds):
            for job, sides in (("evaluation", self.evaluations()), ("epoch", self.epochs())):
                for side, work in sides:
                    self.timed(f"{job} {side} {number}", work)
            self.kept.once(f"ceilings {number}", ceilings)
        for number in range(self.plan.rounds):
            for method in self.plan.methods:
                for side, work in self.story(method):
                    self.timed(f"story {method} {self.plan.epochs} {side} {number}", work)

    def guard(self) -> dict[str, Any]:
        """What the way of ``auto`` changes on a trained model, on all rows."""

        def check() -> dict[str, Any]:
            runtime = self.runtime()
            model = self.trained(np.concatenate([self.splits["retain"], self.splits["forget"]]), 6, runtime)
            rows = np.arange(len(self.dataset), dtype=np.int64)
            exact, fast = (infer(model, self.source, rows, r) for r in (Runtime(CPU, 0), runtime))
            found = compare(exact, fast, self.source.target, self.source.group)
            return {**vars(found), "holds": found.holds}

        found: dict[str, Any] = self.kept.once("guard", check)
        return found

    @cached_property
    def operations(self) -> float:
        return operations(self.network().eval())


def ceilings() -> dict[str, float]:
    """What this machine does in a processor second: GFLOP of matrix products, GB copied (read and written)."""
    found = {}
    for name, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        a = torch.rand(1024, 1024).to(kind)
        found[f"matmul {name}"] = 2 * 1024**3 / 1e9 / _best(lambda a=a: a @ a)  # type: ignore[misc]
    x, y = torch.rand(1 << 24), torch.empty(1 << 24)
    found["copy"] = 2 * 4 * (1 << 24) / 1e9 / _best(lambda: y.copy_(x))
    return found


def _best(work: Callable[[], object]) -> float:
    """Processor seconds of the fastest of ten passes."""
    times = []
    for _ in range(10):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return max(min(times), 1e-9)


KNOWN_METHODS = tuple(METHODS)
