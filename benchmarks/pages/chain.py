"""A chain of twenty requests by command line: the table of ``docs/requests.md``.

python -m benchmarks.pages.chain [--seeds 1] [--write docs/requests.md]

Every seed is kept under ``benchmarks/results/chain.json`` as long as the code that trains is the same.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measurements.chain import CODE, Size, measure_chain
from benchmarks.measurements.effect import machine
from benchmarks.measurements.kept import RESULTS, Kept, digest_of_files
from benchmarks.pages.effect import hardware_line
from benchmarks.pages.sections import replace_section
from grmu_audit.training.runtime import choose_device
from grmu_audit.utils import write_atomic

BEGIN = "<!-- chain: begin, written by python -m benchmarks.pages.chain -->"
END = "<!-- chain: end -->"
Found = Mapping[str, Any]
"""One seed; see ``benchmarks.measurements.chain``."""


def another_model(rates: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the accuracy of one more model like these, by Student's t; at least two.

    >>> low, high = another_model([0.80, 0.82, 0.84])
    >>> round(low, 3), round(high, 3)
    (0.721, 0.919)
    """
    from scipy.stats import t

    count = len(rates)
    half = float(t.ppf(0.975, count - 1) * np.std(rates, ddof=1) * np.sqrt(1 + 1 / count))
    return max(0.0, float(np.mean(rates)) - half), min(1.0, float(np.mean(rates)) + half)


def tables(found: Sequence[Found]) -> str:
    """What stands between the markers."""
    return "\n".join(line for one in found for line in seed_lines(one))


def seed_lines(found: Found) -> list[str]:
    """Words and table of one seed."""
    rows, steps = found["rows"], found["steps"]
    low, high = another_model([right / rows for right in found["references"]])
    inside = sum(low <= step["right"] / rows <= high for step in steps[1:])
    above = sum(step["right"] / rows > high for step in steps[1:])
    exact = sum(step["retained"] == step["expected"] and not step["erased_read"] for step in steps)
    first, references = steps[0], ", ".join(_percent(right, rows) for right in found["references"])
    text = (
        f"Seed {found['seed']}: PhotoDigits, {first['expected'] + first['union']} training rows; every training has "
        f"`{' '.join(found['settings'])}`. The first request names {rows} rows (half of digits 5-9 on the temple photograph) and "
        f"is served by `retrain`; the model before got {_percent(found['before'], rows)} % of them right. "
        f"{len(found['references'])} models that were retrained without them from other seeds get {references} %: one more such "
        f"model has between {100 * low:.1f} and {100 * high:.1f} % (95 % interval by Student's t). Accuracy on these rows lies "
        f"in that interval after {inside} of the {len(steps) - 1} later requests, and above it after {above}. The retained rows "
        "are all rows minus the union, and no row of the union is in a batch that a label is learned from, in "
        f"{exact} of {len(steps)} versions. {hardware_line(found)}, {found['seconds']:,.0f} CPU seconds."
    )
    return [
        *textwrap.wrap(text, 128, break_long_words=False, break_on_hyphens=False),
        "",
        "| request | method | rows of it | union | retained | all minus union | rows of the union learned | "
        "first request, % right | retained rows, % right | test, % right |",
        "|---:|---|" + "---:|" * 8,
        *(step_line(number, step, rows) for number, step in enumerate(steps, 1)),
        "",
    ]


def step_line(number: int, step: Found, rows: int) -> str:
    """One version."""
    cells = [step["asked"], step["union"], step["retained"], step["expected"], step["erased_read"]]
    rates = [_percent(step["right"], rows), f"{100 * step['retain']:.1f}", f"{100 * step['test']:.1f}"]
    return f"| {number} | {step['method']} | {' | '.join(map(str, [*cells, *rates]))} |"


def _percent(right: int, rows: int) -> str:
    return f"{100 * right / rows:.1f}"


def replaced(text: str, block: str) -> str:
    """A page with another block between its markers."""
    return replace_section(text, f"{BEGIN}\n\n{block}\n{END}", BEGIN, END)


def measure_seed(seed: int, device: str) -> dict[str, Any]:
    """One seed in a folder and with a key of its own."""
    with tempfile.TemporaryDirectory(prefix="grmu-audit-") as folder:
        os.environ["GRMU_AUDIT_HMAC_KEY_FILE"] = str(Path(folder) / "hmac.key")
        return {**measure_chain(seed, Path(folder), device, Size()), "machine": machine(choose_device(device))}


def main() -> None:
    """Measure what is missing and print or write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--write", type=Path, help="page whose tables are replaced")
    options = parser.parse_args()
    kept = Kept(RESULTS / "chain.json", digest_of_files(CODE))
    block = tables([kept.once(f"seed {seed}", partial(measure_seed, seed, options.device)) for seed in range(options.seeds)])
    if options.write:
        write_atomic(options.write, replaced(options.write.read_text(encoding="utf-8"), block).encode())
    else:
        sys.stdout.write(block)


if __name__ == "__main__":
    main()
