"""Verdicts on the models that the gate is tried on, kept file by file, so that a run goes on where another machine stopped.

A file holds one cell and seed: what was made (CPU seconds by model), the digest of the code that judged, and one row for each
candidate.  The models themselves stay in the cache folder: a few hundred CPU minutes make them again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from benchmarks.measurements.effect import machine
from benchmarks.measurements.gate import CELLS, FULL, Cell, Scale
from benchmarks.measurements.gate_verdicts import Judged, judge_cell
from benchmarks.measurements.kept import ROOT, digest_of_files
from benchmarks.measurements.population import Facts, load, load_facts
from grmu_audit.records import Predictions
from grmu_audit.training.runtime import choose_device
from grmu_audit.utils import canonical_json, write_atomic

JUDGING = tuple(f"grmu_audit/{part}" for part in ("metrics", "policy", "intervals", "auditing", "records"))
"""Parts of the package that a verdict on stored predictions depends on."""
STUDY = ("benchmarks/measurements/gate_verdicts.py", "benchmarks/measurements/cheats.py")
"""Modules of the benchmark that it depends on."""
_PLAIN = tuple(one.name for one in fields(Judged) if one.name != "metrics")


@dataclass(frozen=True)
class CellResult:
    """What is known of one cell and seed."""

    cell: str
    """Its name."""
    seed: int
    """Its seed."""
    code: str
    """Digest of the code that judged."""
    machine: Mapping[str, Any]
    """What the models were made on."""
    models: Mapping[str, Facts]
    """By kind: ``key`` and CPU ``seconds``."""
    rows: Sequence[Judged]
    """One for each candidate and number of references."""


def judge_models(
    folder: Path, cache: Path, cells: Sequence[Cell], seeds: Sequence[int], scale: Scale = FULL
) -> Iterator[CellResult]:
    """Judge every cell and seed of which the cache holds models that were not judged by this code.

    Args:
        folder: where each result is written.
        cache: of the models.
        cells: of the population.
        seeds: of the population.
        scale: size of the study.
    """
    for cell in cells:
        for seed in seeds:
            path, facts = folder / f"{cell.name}-{seed}.json", load_facts(cache, cell, seed, scale)
            kept = read_result(path) if path.is_file() else None
            if facts and (kept is None or kept.code != code_digest() or _keys(kept.models) < _keys(facts)):
                result = _judge(cell, seed, facts, load(cache, cell, seed, scale))
                write_result(path, result)
                yield result


def kept_results(folder: Path) -> list[CellResult]:
    """Everything that was judged, in the order of the cells."""
    found = [read_result(path) for path in folder.glob("?-*.json")]
    return sorted(found, key=lambda one: (list(CELLS).index(one.cell), one.seed))


def model_hours(models: Iterable[Mapping[str, Facts]]) -> float:
    """CPU time of all models; one that several cells share counts once."""
    every: dict[str, float] = {model["key"]: model["seconds"] for kinds in models for model in kinds.values()}
    return sum(every.values()) / 3600


def _keys(models: Mapping[str, Facts]) -> set[str]:
    return {one["key"] for one in models.values()}


def _judge(cell: Cell, seed: int, facts: Mapping[str, Facts], outputs: Mapping[str, Predictions]) -> CellResult:
    models = {kind: {"key": one["key"], "seconds": round(one["seconds"], 3)} for kind, one in facts.items()}
    rows = list(judge_cell(cell.name, seed, outputs))
    return CellResult(cell.name, seed, code_digest(), machine(choose_device("cpu")), models, rows)


def write_result(path: Path, result: CellResult) -> None:
    """Write a file: rows as lists under two lists of columns, metrics with five significant digits."""
    metrics = sorted({name for row in result.rows for name in row.metrics})
    rows = []
    for row in result.rows:
        plain = asdict(row)
        values = [row.metrics.get(name) for name in metrics]
        rows.append([*(plain[name] for name in _PLAIN), *(None if x is None else float(f"{x:.5g}") for x in values)])
    tree = {**asdict(result), "columns": _PLAIN, "metrics": metrics, "rows": rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, canonical_json(tree) + b"\n")


def read_result(path: Path) -> CellResult:
    """What was written."""
    tree = json.loads(path.read_bytes())
    columns, metrics = tree.pop("columns"), tree.pop("metrics")
    rows = []
    for row in tree.pop("rows"):
        plain = dict(zip(columns, row, strict=False))
        found = {name: value for name, value in zip(metrics, row[len(columns) :], strict=True) if value is not None}
        rows.append(Judged(**{**plain, "not_met": tuple(plain["not_met"])}, metrics=found))
    return CellResult(**tree, rows=rows)


def code_digest() -> str:
    """SHA-256 over the code that judges, its policies and this study."""
    return digest_of_files(
        [*JUDGING, *STUDY, *(path.relative_to(ROOT).as_posix() for path in (ROOT / "policies").glob("*.yaml"))]
    )
