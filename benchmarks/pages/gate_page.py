"""Text and tables of ``docs/gate.md``, from verdicts that are cached cell by cell."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measurements.effect import machine
from benchmarks.measurements.gate import CELLS, Cell
from benchmarks.measurements.gate_verdicts import POLICIES, Judged, Rate, judge_cell, rate, separation
from benchmarks.measurements.population import Facts, load, load_facts
from benchmarks.measurements.share_coverage import Coverage, settings, simulate
from benchmarks.pages.effect import hardware_line
from grmu_audit.training.runtime import choose_device
from grmu_audit.utils import canonical_json, write_atomic

ROOT = Path(__file__).parents[2]
JUDGING = ("metrics", "policy", "intervals", "auditing", "records")
"""Parts of the package that a verdict on stored predictions depends on."""
SHARE_CODE = (
    "benchmarks/measurements/share_coverage.py",
    "grmu_audit/intervals/ratio.py",
    "grmu_audit/metrics/forgetting/contrast.py",
    "grmu_audit/metrics/forgetting/share.py",
    "grmu_audit/metrics/scores.py",
)
"""Files that the coverage of the share depends on."""
SHOWN_METRICS = 30


def judge_population(cache: Path, cells: Sequence[Cell], seeds: Sequence[int]) -> list[Judged]:
    """Verdicts on all stored models; those of a cell and seed are computed once for the same models and code."""
    rows: list[Judged] = []
    for cell in cells:
        for seed in seeds:
            facts = load_facts(cache, cell, seed)
            key = digest([cell.name, seed, sorted(fact["key"] for fact in facts.values()), code_digest()])
            path = cache / f"verdicts-{key[:20]}.json"
            if not path.is_file():
                found = [asdict(row) for row in judge_cell(cell.name, seed, load(cache, cell, seed))]
                write_atomic(path, canonical_json(found))
            rows += [Judged(**row) for row in json.loads(path.read_bytes())]
            sys.stderr.write(f"judged: {cell.name} {seed}\n")
    return rows


def simulate_coverage(cache: Path, audits: int) -> list[Coverage]:
    """Coverage of the share's interval in every setting; each is computed once for the same code."""
    from benchmarks.measurements.share_coverage import Setting

    found = []
    for setting in settings():
        path = cache / f"coverage-{digest([asdict(setting), audits, _digest_of(SHARE_CODE)])[:20]}.json"
        if not path.is_file():
            write_atomic(path, canonical_json(asdict(simulate(setting, audits))))
        tree = json.loads(path.read_bytes())
        found.append(Coverage(**{**tree, "setting": Setting(**tree["setting"])}))
    return found


def digest(tree: object) -> str:
    """SHA-256 of a tree of plain JSON types."""
    return hashlib.sha256(canonical_json(tree)).hexdigest()


def code_digest(root: Path = ROOT) -> str:
    """SHA-256 over the code that judges, its policies and this study."""
    files = [path for part in JUDGING for path in (root / "grmu_audit" / part).rglob("*.py")]
    files += [*(root / "policies").glob("*.yaml"), *(root / "benchmarks" / "measurements").glob("*.py")]
    return _digest_of([file.relative_to(root).as_posix() for file in files])


def _digest_of(names: Iterable[str]) -> str:
    return digest([(name, hashlib.sha256((ROOT / name).read_bytes()).hexdigest()) for name in sorted(names)])


def write_page(
    folder: Path, rows: Sequence[Judged], found: Mapping[tuple[str, int], Mapping[str, Facts]], cache: Path, audits: int
) -> None:
    """Write ``gate.json`` (the verdict on each model) and ``gate.md``."""
    coverage = simulate_coverage(cache, audits)
    facts = {"machine": machine(choose_device("cpu")), "cpu_hours": cpu_hours(found)}
    text = page(rows, coverage, facts)
    write_atomic(folder / "gate.md", text.encode())
    verdicts = [[r.cell, r.seed, r.kind, r.references, *r.decisions.values(), r.lower and round(r.lower, 4)] for r in rows]
    columns = ["cell", "seed", "kind", "references", *POLICIES, "lower limit of the share"]
    tree = {**facts, "columns": columns, "verdicts": verdicts, "coverage": [asdict(one) for one in coverage]}
    write_atomic(folder / "gate.json", canonical_json(tree))


def cpu_hours(found: Mapping[tuple[str, int], Mapping[str, Facts]]) -> float:
    """CPU time of all models; one that several cells share counts once."""
    every: dict[str, float] = {facts["key"]: facts["seconds"] for models in found.values() for facts in models.values()}
    return sum(every.values()) / 3600


def page(rows: Sequence[Judged], coverage: Sequence[Coverage], facts: Mapping[str, Any]) -> str:
    """``docs/gate.md``."""
    parts = {
        "hardware": hardware_line(facts),
        "hours": f"{facts['cpu_hours']:.1f}",
        "cells": cells_table(rows),
        "refused": by_cell(rows, "must not pass", "PASS of those"),
        "kinds": by_kind(rows, ("must not pass",)),
        "passed": passed_table(rows),
        "retrained": retrained_table(rows),
        "missed": missed_table(rows),
        "others": by_kind(rows, ("part of the way", "method")),
        "metrics": metrics_table(rows),
        "coverage": coverage_table(coverage),
    }
    return _TEXT.format(**{key: part if isinstance(part, str) else "\n".join(part) for key, part in parts.items()})


_TEXT = """# How often is the gate wrong?

Generated by `python -m benchmarks.pages.gate`; do not edit.

A gate is a classifier of models. Here it is tried on models of which it is known whether they may pass: retrained ones, and
others that have forgotten nothing and look as if they had. PhotoDigits, small_resnet, 20 epochs, fp32 on {hardware}; {hours} CPU
hours of training. A retrained candidate is judged by its outputs alone here; with its record of the rows that it read (exact
evidence) it would not need them. Intervals are Wilson's at 95 %, with the number of models over the design effect by seed, since
models of one seed are not independent; where no model or every model of a cell passes, the design effect is that of the lower
limits by which the rule decides. Other data, networks and requests may give other rates.

{cells}

## Models that must not pass

PASS of the whole policy, and in brackets its rules on the forgetting share alone:

{refused}

By kind, two references: PASS by the default policy (its forgetting rules alone) of the models judged.

{kinds}

Every one that passed, with one or two references:

{passed}

## Retrained models

Forgetting rules met, PASS of the whole policy, and which rules the others do not meet.

{retrained}

Why the forgetting rules are not met, with two references:

{missed}

## In between, and real methods with their default settings

Nothing is claimed of these; logits part of the way to a retrained model have forgotten that part.

{others}

## Each metric alone

Area under the curve between models that must not pass and retrained ones, in the better direction, pooled over cells, and the
lowest of a single cell: 0.5 tells nothing, 1 separates them. `change of` is against the model before.

{metrics}

## Coverage of the forgetting share's interval

{coverage}
"""


def _cells(rows: Iterable[Judged]) -> list[str]:
    present = {row.cell for row in rows}
    return [name for name in CELLS if name in present]


def cells_table(rows: Sequence[Judged]) -> list[str]:
    """What the cells are, and how many models of each were judged."""
    lines = ["| cell | request and recipe | seeds | models judged |", "|---|---|---:|---:|"]
    for name in _cells(rows):
        own = [row for row in rows if row.cell == name]
        lines.append(f"| {name} | {CELLS[name].title} | {len({row.seed for row in own})} | {len(own)} |")
    return lines


def show(found: Rate) -> str:
    """``3 of 120: 2.5 % [0.8, 7.1]``."""
    if not found.n:
        return "–"
    low, high = found.interval
    return f"{found.k} of {found.n}: {100 * found.k / found.n:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def _passes(rows: Sequence[Judged], policy: str = "default") -> Rate:
    return rate(rows, lambda row: row.decisions[policy] == "PASS")


def _forgets(rows: Sequence[Judged], policy: str = "default") -> Rate:
    return rate(rows, lambda row: row.forgetting[policy])


def by_cell(rows: Sequence[Judged], role: str, title: str) -> list[str]:
    """Rates of one role by cell and number of references, for both policies."""
    lines = [f"| cell | references | {title}, default | strict |", "|---|---:|---|---|"]
    for cell in [*_cells(rows), "all"]:
        for count in (1, 2):
            own = [r for r in rows if r.role == role and r.references == count and cell in (r.cell, "all")]
            cells = [f"{show(_passes(own, policy))} ({show(_forgets(own, policy))})" for policy in ("default", "strict")]
            lines.append(f"| {cell} | {count} | " + " | ".join(cells) + " |")
    return lines


def by_kind(rows: Sequence[Judged], roles: Sequence[str]) -> list[str]:
    """Counts by kind and cell, two references."""
    own = [row for row in rows if row.role in roles and row.references == 2]
    lines = ["| kind | " + " | ".join(_cells(rows)) + " | share, median |", "|---|" + "---:|" * (len(_cells(rows)) + 1)]
    for kind in dict.fromkeys(row.kind for row in own):
        counts = []
        for cell in _cells(rows):
            some = [row for row in own if row.kind == kind and row.cell == cell]
            passed, forgot = (find(some).k for find in (_passes, _forgets))
            counts.append(f"{passed} ({forgot}) of {len(some)}" if some else "–")
        shares = [row.share for row in own if row.kind == kind and row.share is not None]
        lines.append(
            f"| {kind} | " + " | ".join(counts) + f" | {np.median(shares):.2f} |"
            if shares
            else f"| {kind} | " + " | ".join(counts) + " | undefined |"
        )
    return lines


def retrained_table(rows: Sequence[Judged]) -> list[str]:
    """Rates of retrained models by cell, and what the default policy does not pass them for."""
    lines = [
        "| cell | references | forgetting rules met | strict | PASS, default policy | rules not met |",
        "|---|---:|---|---|---|---|",
    ]
    for cell in [*_cells(rows), "all"]:
        for count in (1, 2):
            own = [r for r in rows if r.role == "retrained" and r.references == count and cell in (r.cell, "all")]
            reasons = Counter(name for row in own for name in row.not_met)
            listed = ", ".join(f"{name} {number}" for name, number in reasons.most_common()) or "none"
            rates = " | ".join([show(_forgets(own)), show(_forgets(own, "strict")), show(_passes(own))])
            lines.append(f"| {cell} | {count} | {rates} | {listed} |")
    return lines


def passed_table(rows: Sequence[Judged]) -> list[str]:
    """Models that must not pass and did, by the default policy, one by one."""
    found = [row for row in rows if row.role == "must not pass" and row.decisions["default"] == "PASS"]
    if not found:
        return ["none."]
    lines = ["| cell | seed | kind | references | share | its lower limit |", "|---|---:|---|---:|---:|---:|"]
    for row in found:
        lines.append(f"| {row.cell} | {row.seed} | {row.kind} | {row.references} | {_number(row.share)} | {_number(row.lower)} |")
    return lines


def missed_table(rows: Sequence[Judged]) -> list[str]:
    """Retrained models that do not meet the forgetting rules, one by one."""
    found = [row for row in rows if row.role == "retrained" and row.references == 2 and not row.forgetting["default"]]
    if not found:
        return ["they are met by all."]
    lines = ["| cell | seed | model | share | its lower limit | reason |", "|---|---:|---|---:|---:|---|"]
    for row in found:
        numbers = f"{_number(row.share)} | {_number(row.lower)}"
        lines.append(f"| {row.cell} | {row.seed} | {row.kind} | {numbers} | {row.why_not} |")
    return lines


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}"


def metrics_table(rows: Sequence[Judged]) -> list[str]:
    """Areas under the curve of the metrics, best first."""
    own = [row for row in rows if row.references == 2]
    pooled = separation(own)
    single = [separation([row for row in own if row.cell == cell]) for cell in _cells(rows)]
    ranked = sorted(pooled, key=lambda name: -pooled[name])[:SHOWN_METRICS]
    lines = ["| metric | area | lowest of a cell |", "|---|---:|---:|"]
    for name in ranked:
        lowest = min((cell[name] for cell in single if name in cell), default=float("nan"))
        lines.append(f"| {name} | {pooled[name]:.3f} | {lowest:.3f} |")
    return lines


def coverage_table(coverage: Sequence[Coverage]) -> list[str]:
    """Coverage by setting: nominal 95 %."""
    if not coverage:
        return []
    audits = coverage[0].audits
    worst = min(coverage, key=lambda one: one.covered)
    error = 100 * 1.96 * (0.05 * 0.95 / audits) ** 0.5
    lines = [
        f"{audits:,} simulated audits a setting (simulation error {error:.1f} points), truth from 200,000 samples. An audit",
        "without an interval claims nothing and misses nothing; its rate and the coverage among the others stand beside it.",
        f"Least coverage: {100 * worst.covered:.1f} %. `above` is how often the one-sided 95 % lower limit, by which a rule",
        "passes, lies above the truth (nominal 5 %).",
        "",
        "| forget | retained | samples a person | trace | share | undefined % | coverage % | where defined % | above % |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for one in coverage:
        s = one.setting
        numbers = (one.undefined, one.covered, one.covered_where_defined, one.passes_above)
        shown = " | ".join(f"{100 * x:.1f}" for x in numbers)
        lines.append(f"| {s.forget} | {s.retained} | {s.per_person} | {s.trace:g} | {one.truth:.2f} | {shown} |")
    return lines
