"""The goals of speed on processors with the numbers that the pages give, as a table of ``docs/performance.md``.

    python -m benchmarks.pages.goals --write docs/performance.md

Nothing is measured here: every number is read from ``docs/performance.md``, ``docs/scoring.md`` and ``docs/startup.md``.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START, END = "<!-- goals: start -->", "<!-- goals: end -->"
LARGE, SMALL = "224 px", "64 px"
OURS = "this project, auto"
"""Row of this project with its defaults."""


@dataclass(frozen=True)
class Pages:
    """The documents that hold the numbers."""

    performance: str
    scoring: str
    startup: str

    @classmethod
    def read(cls, root: Path = ROOT) -> Pages:
        """From a checkout."""
        names = ("performance", "scoring", "startup")
        return cls(*((root / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in names))

    def size(self, name: str) -> str:
        """The part of the page on performance that is about inputs of a size.

        Raises:
            ValueError: there is none.
        """
        return between(self.performance, f"### ResNet-18 at {name}", r"\n###? |<!-- compute: end")

    def job(self, size: str, job: str) -> str:
        """The table of ``Evaluation``, ``Training`` or ``Whole stories`` at a size."""
        return between(self.size(size), rf"\*\*{job}\*\*", r"\n\n[^|]")


def between(text: str, start: str, end: str) -> str:
    """What follows a pattern, up to another one or the end.

    Raises:
        ValueError: the first does not occur.
    """
    found = re.search(start, text)
    if found is None:
        raise ValueError(f"a page has no {start!r}: write it again, then this one")
    rest = text[found.end() :]
    last = re.search(end, rest[1:])
    return rest if last is None else rest[: last.start() + 1]


def cells(text: str, label: str) -> list[str]:
    """The cells after the first of the table row whose first cell begins with a label.

    Raises:
        ValueError: there is none.
    """
    for line in text.splitlines():
        parts = [part.strip() for part in line.strip("| \n").split("|")]
        if line.startswith("|") and parts[0].replace("`", "").startswith(label):
            return parts[1:]
    raise ValueError(f"a page has no row {label!r}: write it again, then this one")


def number(text: str, pattern: str) -> float:
    """The first group of a pattern.

    Raises:
        ValueError: it does not occur.
    """
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"a page has no {pattern!r}: write it again, then this one")
    return float(found[1].replace(",", ""))


def ratio(pages: Pages, size: str, job: str, reference: str = "") -> float:
    """Processor seconds of the reference loop over those of ``auto``; of a named precision, or of its faster one."""
    table = pages.job(size, job)
    if not reference:
        return float(cells(table, OURS)[3])
    return float(cells(table, reference)[0]) / float(cells(table, OURS)[0])


def compiled_rate(pages: Pages, size: str) -> float:
    """Images a processor second of the compiled form, compiling not counted, as calibrated."""
    return number(pages.size(size), r"bf16 compiled ([\d.]+)")


def compiled_ratio(pages: Pages, size: str) -> float:
    """That rate over the reference loop's in its faster precision."""
    table = pages.job(size, "Evaluation")
    return compiled_rate(pages, size) / max(float(cells(table, f"reference {name}")[2]) for name in ("fp32", "bf16"))


def with_build(pages: Pages, size: str) -> float:
    """The reference loop's evaluation over ``auto`` together with building the image cache."""
    auto = float(cells(pages.job(size, "Evaluation"), OURS)[0])
    build = number(pages.size(size), r"once: ([\d.]+) processor")
    return ratio(pages, size, "Evaluation") * auto / (auto + build)


def share_of_matmul(pages: Pages) -> float:
    """Per cent of the rate of matrix products that the compiled form reaches."""
    part = pages.size(LARGE)
    each, peak = number(part, r"image has ([\d.]+)"), number(part, r"fp32, ([\d.]+) in bf16")
    return 100 * compiled_rate(pages, LARGE) * each / peak


def story(pages: Pages, method: str) -> float:
    """Processor seconds of the reference's whole story over this project's."""
    return float(cells(pages.job(SMALL, "Whole stories"), method)[2])


@dataclass(frozen=True)
class Goal:
    """One number and its bound."""

    words: str
    """What is to be reached."""
    bound: float
    value: Callable[[Pages], float]
    unit: str = "x"
    """After the number; seconds, and what has no unit, are at most the bound, all others at least."""
    why: str = ""
    """The reason where it is not met."""

    def row(self, pages: Pages) -> str:
        """Of the table; a number that no page has was not measured."""
        try:
            found = self.value(pages)
        except ValueError:
            return f"| {self.words} |  | not measured{': ' + self.why if self.why else ''} |"
        met = found <= self.bound if self.unit in ("s", "") else found >= self.bound
        shown = f"{found:.3g}{' s' if self.unit == 's' else self.unit}"
        return f"| {self.words} | {shown} | {'met' if met else 'not met' + (': ' + self.why if self.why else '')} |"


FEW = "one round of 60 images; folded convolutions in bf16 stay far below the rate of matrix products"
STEPS = "one epoch of two steps, the first of which costs more"
FOLDING = "measured before passes of few rows were left unfolded"
GOALS = (
    Goal("1. evaluation at 224 px, nothing compiled: 3.5x", 3.5, lambda p: ratio(p, LARGE, "Evaluation"), why=FEW),
    Goal("1. the same, compiled and frozen, compiling not counted: 8x", 8.0, lambda p: compiled_ratio(p, LARGE),
         why="by the rate of the calibration, the only pass long enough"),
    Goal("1. the same as the first, with building the cache: 3x", 3.0, lambda p: with_build(p, LARGE), why=FEW),
    Goal("1. evaluation at 64 px, nothing compiled: 4x", 4.0, lambda p: ratio(p, SMALL, "Evaluation")),
    Goal("2. training at 224 px against the loop in bf16: 1.2x", 1.2, lambda p: ratio(p, LARGE, "Training", "reference bf16")),
    Goal("2. the same against the loop in fp32: 3x", 3.0, lambda p: ratio(p, LARGE, "Training", "reference fp32"), why=STEPS),
    Goal("3. compiled and frozen evaluation, of the rate of matrix products: 45%", 45.0, share_of_matmul, "%"),
    Goal("4. forest attack on bf16 losses, largest difference of a probability to scikit-learn: 0", 0.0,
         lambda p: float(cells(p.scoring, "bf16")[5]), ""),
    Goal("4. the same, processor time against six forests of scikit-learn: 100x", 100.0,
         lambda p: float(cells(p.scoring, "bf16")[4]), why="what is left is sorting the losses and counting 100 bootstraps"),
    Goal("4. threshold attack on 200,000 samples: 0.05 s", 0.05, lambda p: float(cells(p.scoring, "threshold attack")[0]), "s"),
    Goal("5. bootstrap, 1,000 replicates of all groups: 0.005 s", 0.005,
         lambda p: float(cells(p.scoring, "count bootstrap")[0]), "s",
         "one call of a few milliseconds, which vary twofold from run to run on this machine"),
    Goal("6. all metrics and rules of 200,000 stored predictions: 1 s", 1.0, lambda p: float(cells(p.scoring, "score")[0]), "s",
         why="a quarter of it is reading the file"),
    Goal("7. whole story with MIU at 10 epochs: 3x", 3.0, lambda p: story(p, "miu"), why=FOLDING),
    Goal("7. with SCRUB: 2x", 2.0, lambda p: story(p, "scrub"), why="it was not run yet"),
    Goal("7. with SalUn: 2x", 2.0, lambda p: story(p, "salun"), why="it was not run yet"),
    Goal("7. with L1-sparse: 2x", 2.0, lambda p: story(p, "l1_sparse"), why="it was not run yet"),
    Goal("8. `--help`: 0.3 s", 0.3, lambda p: float(cells(p.startup, "--help")[1]), "s"),
    Goal("8. `gate` on a stored audit, without PyTorch and MLflow: 1 s", 1.0, lambda p: float(cells(p.startup, "gate")[1]), "s",
         why="imports of the store"),
)  # fmt: skip


def page(pages: Pages) -> Iterator[str]:
    """The section."""
    yield START
    yield "## Goals on processors\n"
    yield (
        "Written by `python -m benchmarks.pages.goals --write docs/performance.md` from the numbers of this page, of "
        '[scoring.md](scoring.md) and of [startup.md](startup.md); "x" is processor seconds of the reference loop over this '
        "project's. Each page names its machine. Goals on a GPU are open: nothing was measured on one.\n"
    )
    yield "| goal | measured | |"
    yield "|---|---:|---|"
    for goal in GOALS:
        yield goal.row(pages)
    yield (
        "\nGoal 6 also asks that every sample goes through a network once, and never again for a repeated audit, a new metric or "
        "a new forget set: tests count the passes (`tests/unit/workflows/audits/test_collection.py`). Goal 5 also asks for the "
        "spread of the index bootstrap within 5%: `tests/unit/benchmarks/test_bootstrap.py`."
    )
    yield END


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    text = "\n".join(page(Pages.read()))
    if options.write:
        from benchmarks.pages.data import write

        write(options.write, text)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
