"""Corrected methods against their published forms, and the fairness-gap penalty, on PhotoDigits over several seeds.

Every (row, seed) is one JSON file in the cache folder, so that an interrupted run continues where it stopped; the page
is written from the files that are there.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from benchmarks.measurements.problem import RARE, Problem, predictions, prepare, state_bytes
from grmu_audit.auditing.measurement import measure
from grmu_audit.errors import DivergedError
from grmu_audit.models.classifier import Classifier, copy_model
from grmu_audit.models.normalisation import GapDefinition, gaps, normalisation_layers
from grmu_audit.records import (
    AuditContext,
    AuditedModel,
    AuditInputs,
    DataRecord,
    ForgetRecord,
    MeasureOptions,
    ModelRef,
    Predictions,
)
from grmu_audit.unlearning.apply import apply_method
from grmu_audit.unlearning.methods import methods
from grmu_audit.utils import canonical_json, write_atomic

METRICS = ("RA", "UA", "TA", "MIA_PAPER", "EO", "GA", "AVG_GAP")
GAP_METHODS = ("rl", "salun", "scrub")
GAP_WEIGHT = 1.0
REFERENCE = "retrain + REWEIGHT"
PUBLISHED, PENALTY = ", as published", ", fairness-gap penalty"
"""Ends of titles."""


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    title: str
    """As printed; unique."""
    method: str
    """Its name."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What differs from the defaults."""

    def key(self, seed: int, ratio: float) -> str:
        """Digest of everything that the numbers depend on but the code."""
        config = methods.get(self.method).config(**self.settings).model_dump(mode="json")
        return hashlib.sha256(canonical_json([self.method, False, config, seed, ratio])).hexdigest()[:16]


def all_rows() -> Iterator[Row]:
    """Every method that has a published form, with and without; those of the penalty, with and without."""
    published = [name for name in methods.names() if "as_published" in methods.get(name).config.model_fields]
    for name in dict.fromkeys([*published, *GAP_METHODS]):
        yield Row(name, name)
    for name in published:
        yield Row(f"{name}{PUBLISHED}", name, {"as_published": True})
    for name in GAP_METHODS:
        yield Row(f"{name}{PENALTY}", name, {"fairness_gap_weight": GAP_WEIGHT})


class Seed:
    """One seed's problem, with its starting model and reference stored in the cache folder.

    Args:
        seed: of data, forget set, weights and methods.
        ratio: share of the rare group that is to be forgotten.
        device: where to compute.
        cache: folder of the run.
    """

    def __init__(self, seed: int, ratio: float, device: torch.device, cache: Path) -> None:
        self.seed, self.ratio, self.cache = seed, ratio, cache
        start = cache / f"base-{ratio:g}-{seed}.safetensors"
        self.problem: Problem = prepare(seed, ratio, device, load_file(start) if start.is_file() else None)
        if not start.is_file():
            write_atomic(start, state_bytes(self.problem.base))
        self.reference = self._reference()

    def _reference(self) -> Predictions:
        path = self.cache / f"reference-{self.ratio:g}-{self.seed}.safetensors"
        retrain = methods.get("retrain")
        if path.is_file():
            model = copy_model(self.problem.base)
            model.load_state_dict(load_file(path))
        else:
            model = apply_method(
                retrain, self.problem.base, self.problem.data.reweighted(), retrain.config(), self.problem.runtime()
            )
            write_atomic(path, state_bytes(model))
        return predictions(self.problem, model)

    def run(self, row: Row) -> tuple[Classifier, float, int]:
        """Model, CPU-seconds of the process and sample-gradients of a row."""
        chosen = methods.get(row.method)
        runtime = self.problem.runtime()
        start = time.process_time()
        model = apply_method(chosen, self.problem.base, self.problem.data, chosen.config(**row.settings), runtime)
        return model, time.process_time() - start, runtime.sample_gradients

    def measure(self, row: Row) -> dict[str, Any]:
        """All numbers of a row; a run that diverged says so and has none."""
        head = {"row": asdict(row), "seed": self.seed, "ratio": self.ratio}
        try:
            model, seconds, gradients = self.run(row)
        except DivergedError as error:
            return {**head, "diverged": str(error), "values": {}}
        inputs = AuditInputs(
            AuditedModel(ModelRef(row.title, ""), predictions(self.problem, model)),
            references=(AuditedModel(ModelRef(REFERENCE, "", reweight=True), self.reference),),
        )
        context = AuditContext(DataRecord("", {}), ForgetRecord(0, "", (RARE,)))
        audit = measure(inputs, context, MeasureOptions(seed=self.seed))
        found = {name: audit.metric(name) for name in METRICS}
        values = {name: value.value for name, value in found.items() if value is not None and value.value is not None}
        values["gap_distance"] = gap_distance(self.problem, model)
        return {**head, "values": values, "seconds": seconds, "sample_gradients": gradients}


def gap_distance(problem: Problem, model: Classifier) -> float:
    """Mean over normalisation layers of |gap - gap of the original| on the test split, gap = spread of class variances."""
    rows = problem.source.dataset.rows("test")
    batch = problem.source.take(torch.from_numpy(rows))
    layers, definition = normalisation_layers(problem.base), GapDefinition()
    with torch.no_grad():
        now, then = (gaps(m, batch.pixels, batch.target, layers, definition) for m in (model, problem.base))
    return float((now - then).abs().mean())


def measure_all(rows: Sequence[Row], cache: Path, seeds: Sequence[int], ratio: float, device: torch.device) -> None:
    """Measure what the cache folder does not hold yet, seed by seed."""
    cache.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        open_rows = [row for row in rows if not path_of(cache, row, seed, ratio).is_file()]
        one = Seed(seed, ratio, device, cache) if open_rows else None
        for row in open_rows:
            assert one is not None
            result = one.measure(row)
            write_atomic(path_of(cache, row, seed, ratio), canonical_json(result))
            shown = {k: round(v, 3) for k, v in result["values"].items()}
            sys.stderr.write(f"seed {seed}: {row.title}: {shown} {result.get('seconds', 0.0):.1f} s\n")
            sys.stderr.flush()


def path_of(cache: Path, row: Row, seed: int, ratio: float) -> Path:
    """File of one measurement."""
    return cache / f"{row.key(seed, ratio)}.json"


def results(rows: Sequence[Row], cache: Path, seeds: Sequence[int], ratio: float) -> dict[str, list[dict[str, Any]]]:
    """Measurements by row title, in seed order."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        paths = [path_of(cache, row, seed, ratio) for seed in seeds]
        found[row.title] = [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]
    return {title: values for title, values in found.items() if values}
