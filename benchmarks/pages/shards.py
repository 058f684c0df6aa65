"""What exact removal by shards costs and saves: the table of ``docs/removal.md``.

python -m benchmarks.pages.shards [--seeds 5] [--write docs/removal.md]

Every seed is kept under ``benchmarks/results/shards.json`` as long as the code that trains is the same.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measurements.effect import machine
from benchmarks.measurements.kept import RESULTS, Kept, digest_of_files
from benchmarks.measurements.shards import CODE, EPOCHS, KINDS, REQUESTS, SHARDS, measure_seed
from benchmarks.pages.effect import hardware_line
from benchmarks.pages.sections import replace_section
from grmu_audit.training.runtime import choose_device
from grmu_audit.utils import write_atomic

BEGIN = "<!-- shards: begin, written by python -m benchmarks.pages.shards -->"
END = "<!-- shards: end -->"
Seed = Mapping[str, Any]
"""One seed; see ``benchmarks.measurements.shards``."""


def table(found: Sequence[Seed], where: str) -> str:
    """What stands between the markers."""
    shards = [one[kind][name] for one in found for kind in KINDS[1:] for name in REQUESTS]
    equal = sum(run["untouched_equal"] for run in shards)
    return "\n".join(
        [
            f"PhotoDigits, {SHARDS} shards, a small ResNet of widths 8, 16, 32 trained by Adam for {EPOCHS} epochs, members for",
            f"{SHARDS} times as many (as many steps); mean (lowest to highest) over {len(found)} seeds, {where}.",
            f"In {equal} of {len(shards)} runs the members of untouched shards are equal bit for bit (a test compares the whole",
            "result with retraining every member). Cost: sample-gradients as a share of retraining every member. GA is the test",
            "accuracy of the rare group before the request and after it, TA that of all after it.",
            "",
            "| network | request | shards trained again | cost % | GA before % | GA % | TA % |",
            "|---|---|---:|---:|---:|---:|---:|",
            *(_row(found, kind, name) for kind in KINDS for name in REQUESTS),
        ]
    )


def _row(found: Sequence[Seed], kind: str, name: str) -> str:
    runs = [one[kind][name] for one in found]

    def cell(of: Callable[[Mapping[str, Any]], float], digits: int = 1) -> str:
        """Mean and range over the seeds."""
        values = [of(run) for run in runs]
        return f"{np.mean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"

    count = "all" if kind == KINDS[0] else cell(lambda run: len(run["retrained"]))
    cost = cell(lambda run: 100 * run["share_of_full"])
    group, every = cell(lambda run: 100 * run["GA"]), cell(lambda run: 100 * run["TA"])
    before = [100 * one[kind]["before"]["GA"] for one in found]
    first = f"{np.mean(before):.1f} ({min(before):.1f} to {max(before):.1f})"
    return f"| {kind} | {name} | {count} | {cost} | {first} | {group} | {every} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing, and write the table into the page or print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args(arguments)
    kept = Kept(RESULTS / "shards.json", digest_of_files(CODE))
    found = [kept.once(f"seed {seed}", lambda seed=seed: measure_seed(seed)) for seed in range(options.seeds)]  # type: ignore[misc]
    where = kept.once("machine", lambda: hardware_line({"machine": machine(choose_device("cpu"))}))
    text = f"{BEGIN}\n\n{table(found, f'measured on {where}')}\n\n{END}"
    if options.write is None:
        sys.stdout.write(text + "\n")
        return 0
    write_atomic(options.write, replace_section(options.write.read_text(encoding="utf-8"), text, BEGIN, END).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
