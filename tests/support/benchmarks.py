"""Benchmark suites made small, and rows of a benchmark that nobody measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from support import layouts, multinli

from grmu_audit.records.benchmark import CEILING, FLOOR, METHOD, REFERENCE, RETRAINED, BenchmarkRow
from grmu_audit.workflows.benchmarks import Suite

AGES = ("3-9", "20-29", "30-39", "50-59", "more than 70")
RACES = ("Black", "White", "Latino_Hispanic", "East Asian", "Middle Eastern")
SMALL = {"celeba": {"size": 32}, "waterbirds": {"size": 32}, "fairface": {"size": 32}, "multinli": {"length": 16}}
"""Options of the readers under which a picture or a text is small."""


def tiny_suite(**changes: object) -> Suite:
    """PhotoDigits, one epoch, a network of four channels."""
    tree = {
        "schema": "grmu-audit/benchmark/v1",
        "name": "tiny",
        "title": "Tiny",
        "data": {"name": "photodigits", "options": {"renders": 1}, "seed_option": "seed"},
        "network": {"architecture": "small_resnet", "options": {"widths": [4]}},
        "recipe": {"options": {"epochs": 1, "augment": False}},
        "requests": [{"name": "rare", "groups": ["1,0"], "ratios": [0.5], "represented": "least"}],
        "methods": [
            {"method": "retrain", "reweight": "no"},
            {"method": "ft", "reweight": "both", "options": {"epochs": 1}},
            {"method": "ssd", "reweight": "no"},
        ],
        "seeds": [0],
        "references": 1,
        "figures": ["cost"],
    }
    return Suite.model_validate({**tree, **changes})


def published_trees(root: Path) -> None:
    """Every dataset of the papers' suites in its published layout, small."""
    layouts.celeba(root)
    layouts.waterbirds(root)
    layouts.fairface(root, 8, 2, AGES, RACES)
    multinli.write(root)
    layouts.cifar10(root, per_batch=60)


def row(title: str, seed: int = 0, **changes: object) -> BenchmarkRow:
    """A row with made-up numbers."""
    part = {"untouched": FLOOR, "reference": REFERENCE, "ceiling": CEILING, "retrain": RETRAINED}.get(title, METHOD)
    values = {"RA": 0.9, "UA": 0.5, "TA": 0.8, "MIA_PAPER": 0.1, "EO": 0.2, "GA": 0.6, "AVG_GAP": 0.95, "MIA_AUC": 0.5}
    own = changes.pop("values", {})
    given = {
        "id": f"{title}-{seed}", "suite": "made-up", "request": "rare", "request_title": "rare group", "groups": 1, "ratio": 0.5,
        "title": title, "method": title.removesuffix(" + REWEIGHT"), "reweight": "REWEIGHT" in title, "part": part, "seed": seed,
        "deltas": dict.fromkeys(values, 0.05), "sample_gradients": 100, "seconds": 1.0,
        "facts": {"represented": "least", "data": "made-up", "dataset_sha256": "0", "tool": "x", "hardware": {}},
    }  # fmt: skip
    return BenchmarkRow(**{**given, **changes, "values": {**values, **own}})  # type: ignore[dict-item]


def study(ratios: tuple[float, ...] = (0.1, 0.5, 0.9), seeds: int = 3) -> list[BenchmarkRow]:
    """Rows in which GA drops with the ratio without REWEIGHT, and does not with it."""
    found = []
    for ratio in ratios:
        for seed in range(seeds):
            noise = float(np.random.default_rng([seed, int(10 * ratio)]).normal(0, 0.005))
            drop = 0.3 * ratio
            ga = {"untouched": 0.6, "retrain": 0.6 - drop, "reference": 0.58, "ceiling": 0.58, "ft": 0.6 - drop,
                  "miu": 0.55 - drop, "retrain + Group-DRO": 0.8, "ft + REWEIGHT": 0.57, "miu + REWEIGHT": 0.58}  # fmt: skip
            gaps = {"miu + REWEIGHT": 0.98, "ft + REWEIGHT": 0.97, "untouched": 0.96, "ft": 0.9}
            for title, value in ga.items():
                part = {"part": RETRAINED, "method": "retrain"} if title.startswith("retrain") else {}
                own = {"GA": value + noise, "UA": value + noise + 0.01, "AVG_GAP": gaps.get(title, 0.95) + noise}
                found.append(row(title, seed, ratio=ratio, values=own, **part))
    return found
