"""The page on what comes back: written from measurements, resumed from the cache, honest about the published shape."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks.measurements import durability as measured
from benchmarks.measurements.durability import BEFORE, RETRAINED, ROWS, Case, measure_all, results
from benchmarks.pages.durability import barrier, page, verdict

CPU = torch.device("cpu")


def entry(row: str, seed: int, curve: list[float], **more: object) -> dict[str, object]:
    mixtures = {f"mixed {share:g}": {"forget": 0.5, "retain": 0.9, "test": 0.6} for share in (0.25, 0.5, 0.75)}
    changed = {name: {"forget": 0.4, "retain": 0.9, "test": 0.7} for name in ("int8", "int4", "pruned")}
    return {
        "row": row, "seed": seed, "ratio": 0.9, "forget_samples": 80, "retain_samples": 1020, "forget": curve,
        "retain": [0.99] * 6, "test": [0.8] * 6, "changed": changed | ({} if row == BEFORE else mixtures),
        "distance": None if row == BEFORE else 0.1, "seconds": 36.0, **more,
    }  # fmt: skip


def table(back: float, retrained: float = 0.5) -> dict[str, list[dict[str, object]]]:
    """Two seeds of three models: gradient ascent drops to 0.5 and is at ``back`` after five epochs."""
    curves = {
        BEFORE: [0.98, 0.97, 0.97, 0.97, 0.97, 0.96],
        "gradient_ascent": [0.5, back, back, back, back, back],
        RETRAINED: [0.5, 0.5, 0.5, 0.5, 0.5, retrained],
    }
    return {row: [entry(row, seed, curve) for seed in (0, 1)] for row, curve in curves.items()}


@pytest.mark.parametrize(
    ("back", "retrained", "words"),
    [
        (0.95, 0.5, "**Reproduced**: 2 of 2 models"),
        (0.95, 0.8, "**Reproduced in part**: 2 of 2 models"),
        (0.55, 0.5, "**Not reproduced**: 0 of 2 models"),
    ],
)
def test_the_page_says_whether_the_published_shape_is_reproduced(back, retrained, words):
    text = page(table(back, retrained), CPU)
    assert words in text
    assert f"| gradient_ascent | 50.0 (0.0) | {100 * back:.1f} (0.0) |" in text
    assert "All runs together took 0.06 CPU hours." in text
    assert "Seeds 0, 1:" in text


def test_a_model_that_had_not_dropped_decides_nothing_and_what_diverged_is_named():
    still = table(0.95)
    for one in still["gradient_ascent"]:
        one["forget"] = [0.97] * 6
    assert "**Not decided**" in page(still, CPU)
    assert verdict({}, []).startswith("**Not decided**")
    lost = table(0.95)
    lost["gradient_ascent"][1] = {"row": "gradient_ascent", "seed": 1, "diverged": "loss", "seconds": 3.0}
    text = page(lost, CPU)
    assert "Diverged, and therefore in no number: gradient_ascent, seed 1." in text
    assert "**Reproduced**: 1 of 1 models" in text


def test_the_barrier_is_the_worst_rise_over_the_line():
    assert barrier(entry("ft", 0, [0.5] * 6), 0.9) == pytest.approx(0.25 * 0.8 + 0.75 * 0.9 - 0.6)


def test_keys_differ_by_all_that_the_numbers_depend_on_and_the_cache_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    keys = {Case(row, seed, ratio).key for row in ROWS for seed in (0, 1) for ratio in (0.5, 0.9)}
    assert len(keys) == 4 * len(ROWS)
    done = []
    monkeypatch.setattr(measured, "_prepared", lambda cache, seed, ratio, device: (None, 5.0))
    monkeypatch.setattr(
        measured, "measure_case", lambda problem, case: done.append(case) or entry(case.row, case.seed, [0.5] * 6)
    )
    measure_all(tmp_path, tmp_path, [0, 1], 0.9, CPU)
    assert len(done) == 2 * len(ROWS)
    Case("scrub", 1, 0.9).path(tmp_path).unlink()
    assert "scrub" in results(tmp_path, [0], 0.9)
    measure_all(tmp_path, tmp_path, [0, 1], 0.9, CPU)
    assert done[-1] == Case("scrub", 1, 0.9)
    assert len(done) == 2 * len(ROWS) + 1
    assert json.loads(Case(BEFORE, 0, 0.9).path(tmp_path).read_text())["seconds"] == 41.0
    assert len(results(tmp_path, [0, 1], 0.9)["scrub"]) == 2


def test_a_case_is_measured_from_real_models():
    from support.tiny import runtime, tiny

    from benchmarks.measurements.problem import Problem

    small = tiny()
    problem = Problem(0, small.source, small.data, small.model, runtime)
    found = measured.measure_case(problem, Case("gradient_ascent", 0, 0.9))
    assert len(found["forget"]) == 6
    assert set(found["changed"]) == {"int8", "int4", "pruned", "mixed 0.25", "mixed 0.5", "mixed 0.75"}
    assert all(0 <= accuracy <= 1 for accuracy in found["forget"])
    assert found["forget_samples"] == len(small.data.forget)
