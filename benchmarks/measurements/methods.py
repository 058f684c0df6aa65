"""All unlearning methods on PhotoDigits over several seeds, against one reference; mean and spread.

python -m benchmarks.pages.methods --cache FOLDER [--seeds 5] [--tables plain,reweight] [--write docs]

Every (row, seed) is one JSON file in the cache folder, so that an interrupted run continues where it stopped; the pages
are written from the files that are there.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
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
from grmu_audit.workflows.versions.method_choice import MethodChoice
from grmu_audit.workflows.versions.tuning import trial_settings

METRICS = ("RA", "UA", "TA", "MIA_PAPER", "EO", "GA", "AVG_GAP")
GAP_METHODS = ("rl", "salun", "scrub")
GAP_WEIGHT = 1.0
REFERENCE = "retrain + REWEIGHT"


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    title: str
    """As printed; unique."""
    table: str
    """``plain``, ``reweight``, ``published``, ``gap`` or ``oracle``."""
    method: str | None
    """Method, or None for the model before unlearning."""
    reweight: bool = False
    """REWEIGHT sampling of the retain set."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What differs from the defaults."""
    trials: int = 0
    """Above 0: that many configurations, of which the one nearest to the retrained model is shown: an oracle's choice."""

    def key(self, seed: int, ratio: float) -> str:
        """Digest of everything that the numbers depend on but the code."""
        config = methods.get(self.method).config(**self.settings).model_dump(mode="json") if self.method else {}
        named = [self.method, self.reweight, config, seed, ratio, *([self.trials] if self.trials else [])]
        return hashlib.sha256(canonical_json(named)).hexdigest()[:16]


def all_rows(oracle: Sequence[str] = (), trials: int = 0) -> Iterator[Row]:
    """Every line of every table; ``oracle`` names methods whose options are chosen by looking at the retrained model."""
    yield Row("no unlearning", "plain", None)
    yield Row("retrain", "plain", "retrain")
    yield Row(REFERENCE, "plain", "retrain", True)
    yield Row("retrain, Group-DRO", "plain", "retrain", False, {"group_dro": True, "keep_best_by": "worst_group"})
    yield Row("miu + REWEIGHT", "plain", "miu", True)
    names = [name for name in methods.names() if name != "retrain"]
    for name in names:
        yield Row(name, "plain", name)
    yield Row("scrub, rewound", "plain", "scrub", False, {"rewind": True})
    yield Row("gradient_ascent, stopped", "plain", "gradient_ascent", False, {"stop_at_validation_loss": True})
    for name in GAP_METHODS:
        yield Row(f"{name}, fairness-gap penalty", "gap", name, False, {"fairness_gap_weight": GAP_WEIGHT})
    for name in names:
        if "as_published" in methods.get(name).config.model_fields:
            yield Row(f"{name}, as published", "published", name, False, {"as_published": True})
    for name in names:
        if name != "miu" and "retain" in methods.get(name).needs:
            yield Row(f"{name} + REWEIGHT", "reweight", name, True)
    for name in oracle:
        yield Row(f"{name}, oracle of {trials}", "oracle", name, methods.get(name).reweight_default, {}, trials)


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
            model, _, _ = self.run(Row("", "", None))
            model.load_state_dict(load_file(path))
        else:
            model = apply_method(
                retrain, self.problem.base, self.problem.data.reweighted(), retrain.config(), self.problem.runtime()
            )
            write_atomic(path, state_bytes(model))
        return predictions(self.problem, model)

    def run(self, row: Row) -> tuple[Classifier, float, int]:
        """Model, CPU-seconds of the process and sample-gradients of a row."""
        if row.method is None:
            return copy_model(self.problem.base), 0.0, 0
        chosen = methods.get(row.method)
        data = self.problem.data.reweighted() if row.reweight else self.problem.data
        runtime = self.problem.runtime()
        start = time.process_time()
        model = apply_method(chosen, self.problem.base, data, chosen.config(**row.settings), runtime)
        return model, time.process_time() - start, runtime.sample_gradients

    def measure(self, row: Row) -> dict[str, Any]:
        """All numbers of a row; a run that diverged says so and has none."""
        if row.trials:
            return self._oracle(row)
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

    def _oracle(self, row: Row) -> dict[str, Any]:
        """The trial with the highest AVG_GAP, which nobody can choose who has no retrained model."""
        chosen = methods.get(str(row.method))
        tried = trial_settings(MethodChoice(chosen, {}, frozenset(), row.reweight, self.seed), row.trials)
        found = [self.measure(replace(row, trials=0, settings=settings)) for settings in tried]
        best = max(found, key=lambda result: result["values"].get("AVG_GAP", -1.0))
        return {
            **best,
            "row": asdict(row),
            "chosen": best["row"]["settings"],
            "seconds": sum(result.get("seconds", 0.0) for result in found),
            "sample_gradients": sum(result.get("sample_gradients", 0) for result in found),
        }


def gap_distance(problem: Problem, model: Classifier) -> float:
    """Mean over normalisation layers of |gap - gap of the original| on the test split, gap = spread of class variances."""
    rows = problem.source.dataset.rows("test")
    batch = problem.source.take(torch.from_numpy(rows))
    layers, definition = normalisation_layers(problem.base), GapDefinition()
    with torch.no_grad():
        now, then = (gaps(m, batch.pixels, batch.target, layers, definition) for m in (model, problem.base))
    return float((now - then).abs().mean())


def measure_all(
    rows: Sequence[Row], cache: Path, seeds: Sequence[int], ratio: float, tables: Sequence[str], device: torch.device
) -> None:
    """Measure what the cache folder does not hold yet, table by table, seed by seed."""
    cache.mkdir(parents=True, exist_ok=True)
    for table in tables:
        for seed in seeds:
            open_rows = [r for r in rows if r.table == table and not path_of(cache, r, seed, ratio).is_file()]
            if not open_rows:
                continue
            one = Seed(seed, ratio, device, cache)
            for row in open_rows:
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
