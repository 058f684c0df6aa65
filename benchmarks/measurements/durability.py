"""Whether the forget set comes back: unlearned models of PhotoDigits fine-tuned on the retain set alone, rounded and pruned."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from benchmarks.measurements.problem import Problem, prepare, state_bytes
from grmu_audit.errors import DivergedError
from grmu_audit.evaluation.durability import FineTuning, collect_changes, collect_fine_tuning
from grmu_audit.models.classifier import Classifier, copy_model
from grmu_audit.records.white_box import Answers, WhiteBoxOutputs
from grmu_audit.unlearning.apply import apply_method
from grmu_audit.unlearning.methods import methods
from grmu_audit.utils import canonical_json, write_atomic

BEFORE, RETRAINED = "before", "retrain"
METHODS = ("ft", "cf_k", "gradient_ascent", "neggrad_plus", "scrub", "salun", "miu", "shrink")
"""Approximate methods, with their default settings."""
ROWS = (BEFORE, *METHODS, RETRAINED)
"""Lines of the page."""
PARTS = ("forget", "retain", "test")
FORMAT = 1
"""Part of every key."""


@dataclass(frozen=True)
class Case:
    """One model of one seed."""

    row: str
    """A method, ``before`` or ``retrain``."""
    seed: int
    """Of data, forget set, weights, method and fine-tuning."""
    ratio: float
    """Share of the rare group that is forgotten."""

    @property
    def key(self) -> str:
        """Digest of everything that the numbers depend on but the code."""
        config = methods.get(self.row).config().model_dump(mode="json") if self.row != BEFORE else {}
        tuning = FineTuning(np.zeros(0, dtype=np.int64)).config.model_dump(mode="json")
        named = [FORMAT, self.row, config, self.seed, self.ratio, tuning]
        return hashlib.sha256(canonical_json(named)).hexdigest()[:16]

    def path(self, folder: Path) -> Path:
        """File of the case."""
        return folder / f"{self.row}-{self.seed}-{self.key}.json"


def cases(seeds: Sequence[int], ratio: float) -> Iterator[Case]:
    """Every model, seed by seed."""
    return (Case(row, seed, ratio) for seed in seeds for row in ROWS)


def measure_all(folder: Path, cache: Path, seeds: Sequence[int], ratio: float, device: torch.device) -> None:
    """Measure what the folder does not hold yet; each case is stored at once, so that a killed run loses at most one.

    Args:
        folder: of the results.
        cache: of the trained models before unlearning.
        seeds: of the study.
        ratio: share of the rare group that is forgotten.
        device: where to compute.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cache.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        missing = [case for case in cases([seed], ratio) if not case.path(folder).is_file()]
        if not missing:
            continue
        problem, seconds = _prepared(cache, seed, ratio, device)
        for case in missing:
            found = measure_case(problem, case)
            found["seconds"] += seconds if case.row == BEFORE else 0.0
            write_atomic(case.path(folder), canonical_json(found) + b"\n")
            shown = [round(100 * accuracy, 1) for accuracy in found.get("forget", [])]
            sys.stderr.write(f"seed {seed}, {case.row}: {shown} {found['seconds']:.0f} s\n")
            sys.stderr.flush()


def _prepared(cache: Path, seed: int, ratio: float, device: torch.device) -> tuple[Problem, float]:
    """The seed's problem and the CPU-seconds that its first training took, whenever that was."""
    weights, facts = (cache / f"base-{seed}.{suffix}" for suffix in ("safetensors", "seconds"))
    start = time.process_time()
    problem = prepare(seed, ratio, device, load_file(weights) if weights.is_file() else None)
    if not weights.is_file():
        write_atomic(facts, str(time.process_time() - start).encode())
        write_atomic(weights, state_bytes(problem.base))
    return problem, float(facts.read_text())


def measure_case(problem: Problem, case: Case) -> dict[str, Any]:
    """Accuracy on each part by epoch and after each change, distance, and CPU-seconds; a run that diverged says so."""
    start, source = time.process_time(), problem.source
    head: dict[str, Any] = {"row": case.row, "seed": case.seed, "ratio": case.ratio}
    try:
        model = _model(problem, case.row)
    except DivergedError as error:
        return {**head, "diverged": str(error), "seconds": time.process_time() - start}
    ids = np.array([str(number) for number in range(len(source.dataset))])
    tuned = collect_fine_tuning(model, source, ids, problem.runtime(), FineTuning(problem.data.retain))
    before = None if case.row == BEFORE else problem.base
    changed = collect_changes(model, source, ids, problem.runtime(), before)
    found = {part: _accuracies(problem, tuned, part) for part in PARTS}
    others = {name: {part: _accuracy(problem, answer, part) for part in PARTS} for name, answer in changed.changed.items()}
    seconds = time.process_time() - start
    sizes = {"forget_samples": len(problem.data.forget), "retain_samples": len(problem.data.retain)}
    return {**head, **sizes, **found, "changed": others, "distance": changed.distance, "seconds": seconds}


def _model(problem: Problem, row: str) -> Classifier:
    if row == BEFORE:
        return copy_model(problem.base)
    method = methods.get(row)
    data = problem.data.reweighted() if method.reweight_default else problem.data
    return apply_method(method, problem.base, data, method.config(), problem.runtime())


def _rows(problem: Problem, part: str) -> np.ndarray:
    if part == "test":
        return problem.source.dataset.rows("test")
    return problem.data.forget if part == "forget" else problem.data.retain


def _accuracies(problem: Problem, tuned: WhiteBoxOutputs, part: str) -> list[float]:
    """As it is, then after each epoch."""
    return [_accuracy(problem, answer, part) for answer in tuned.changed.values()]


def _accuracy(problem: Problem, answer: Answers, part: str) -> float:
    rows = _rows(problem, part)
    target = problem.source.dataset.frame["target"].to_numpy()
    return float((answer.prediction[rows] == target[rows]).mean())


def results(folder: Path, seeds: Sequence[int], ratio: float) -> dict[str, list[dict[str, Any]]]:
    """What is there, by row, in seed order."""
    found: dict[str, list[dict[str, Any]]] = {row: [] for row in ROWS}
    for case in cases(seeds, ratio):
        if case.path(folder).is_file():
            found[case.row].append(json.loads(case.path(folder).read_text(encoding="utf-8")))
    return {row: entries for row, entries in found.items() if entries}
