"""``docs/gate.md``: what the gate says of models of which it is known whether they may pass.

python -m benchmarks.pages.gate --cache FOLDER [--population] [--judge] [--seeds 10-19] [--cells B,D,A,C,E] [--write docs]

``--population`` makes the models that are missing in the cache folder, ``--judge`` judges those that are there and keeps the
verdicts under ``benchmarks/results/gate``, ``--write`` writes ``gate.md`` from what is kept.  All resume: models are stored one
by one, verdicts cell by cell, and verdicts stay when the models are gone.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.measurements.gate import CELLS, FULL, KINDS, Cell, Scale
from benchmarks.measurements.gate_results import judge_models, kept_results, model_hours
from benchmarks.measurements.kept import RESULTS
from benchmarks.measurements.population import Facts, Job, load_facts, make_population, missing_jobs
from benchmarks.pages.gate_page import simulate_coverage, write_page
from grmu_audit.training.runtime import choose_device

Found = Mapping[tuple[str, int], Mapping[str, Facts]]
"""Facts by kind, by cell and seed."""


def parse_seeds(text: str) -> list[int]:
    """Seeds from numbers and ranges with both ends.

    Raises:
        ValueError: a part is neither, or runs down.

    >>> parse_seeds("3,10-12")
    [3, 10, 11, 12]
    """
    seeds: list[int] = []
    for part in text.split(","):
        low, dash, high = part.partition("-")
        if not (low.isdecimal() and (high.isdecimal() or not dash) and int(low) <= int(high or low)):
            raise ValueError(f"seeds {part!r}: give numbers and ranges that run up, such as 10-19")
        found = range(int(low), int(high or low) + 1)
        seeds += found
    return seeds


class Progress:
    """One line on stderr for each model made, with the time left.

    Args:
        known: facts of models that are there, which say how long the others will take.
    """

    def __init__(self, known: Found) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        for found in known.values():
            for name, facts in found.items():
                self.seconds[name].append(facts["seconds"])
        self.start, self.spent = time.perf_counter(), 0.0

    def __call__(self, job: Job, facts: Facts, left: Sequence[Job]) -> None:
        """A model was made."""
        self.seconds[job.kind.name].append(facts["seconds"])
        self.spent += facts["seconds"]
        sys.stderr.write(
            f"{job.cell.name} {job.seed} {job.kind.name}: {facts['diverged'] or 'made'}, {facts['seconds']:.1f} s CPU; "
            f"{len(left)} left, about {self.minutes_for(left):.0f} min\n"
        )
        sys.stderr.flush()

    def minutes_for(self, left: Sequence[Job]) -> float:
        """Wall time, from the mean CPU time of each kind and the share of a CPU that this process got so far."""
        means = {name: float(np.mean(values)) for name, values in self.seconds.items()}
        usual = float(np.mean(list(means.values())))
        cpu = sum(means.get(job.kind.name, usual) for job in left)
        return cpu * (time.perf_counter() - self.start) / max(self.spent, 1e-9) / 60


def summary(found: Found) -> str:
    """How many models of each kind are there, and the CPU time that they took, as Markdown."""
    cells = sorted({cell for cell, _ in found}, key=list(CELLS).index)
    lines = ["| kind | " + " | ".join(cells) + " | CPU seconds each |", "|---|" + "---:|" * (len(cells) + 1)]
    for kind in KINDS:
        of_kind = {key: facts[kind.name] for key, facts in found.items() if kind.name in facts}
        counts = [sum(key[0] == cell for key in of_kind) for cell in cells]
        mean = f"{np.mean([facts['seconds'] for facts in of_kind.values()]):.1f}" if of_kind else ""
        lines.append(f"| {kind.name} | " + " | ".join(map(str, counts)) + f" | {mean} |")
    return "\n".join([*lines, "", f"{model_hours(found.values()):.2f} CPU hours.", ""])


def known_facts(cache: Path, cells: Sequence[Cell], seeds: Sequence[int], scale: Scale = FULL) -> Found:
    """Facts of all models that the cache folder holds."""
    return {(cell.name, seed): load_facts(cache, cell, seed, scale) for cell in cells for seed in seeds}


def main() -> None:
    """Make what is missing, where that is wanted, and print what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--seeds", type=parse_seeds, default=parse_seeds("10-19"), help="such as 10-19 or 3,5")
    parser.add_argument("--cells", default=",".join(CELLS))
    parser.add_argument("--population", action="store_true", help="make the models that are missing")
    parser.add_argument("--judge", action="store_true", help="judge the models of the cache folder")
    parser.add_argument("--results", type=Path, default=RESULTS / "gate", help="folder of the verdicts")
    parser.add_argument("--write", type=Path, help="folder of gate.md")
    parser.add_argument("--audits", type=int, default=2000, help="simulated audits a setting, for the coverage of the share")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    cells = [CELLS[name] for name in options.cells.split(",")]
    found = known_facts(options.cache, cells, options.seeds)
    if options.population:
        missing = missing_jobs(cells, options.seeds, options.cache)
        make_population(missing, options.cache, Progress(found), device=choose_device(options.device))
        found = known_facts(options.cache, cells, options.seeds)
    sys.stdout.write(summary(found))
    if options.judge:
        for result in judge_models(options.results, options.cache, cells, options.seeds):
            sys.stderr.write(f"judged: {result.cell} {result.seed}\n")
    if options.write:
        write_page(options.write, kept_results(options.results), simulate_coverage(options.results, options.audits))


if __name__ == "__main__":
    main()
