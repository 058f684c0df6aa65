"""This project beside the reference loop: evaluation, training and whole stories, in processor seconds and on the clock.

    python -m benchmarks.pages.performance --folder FOLDER --write docs/performance.md

Results are kept in FOLDER, and a run that was stopped continues; ``--full`` takes sizes that need hours.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.measurements.performance import KNOWN_METHODS, REFERENCES, Bench, Plan
from benchmarks.pages.data import write
from grmu_audit.data.images.decode import workers
from grmu_audit.training.calibration import processor_name

START, END = "<!-- compute: start -->", "<!-- compute: end -->"
PLANS = (Plan(224, 60, 10, (), 1, compiled=True), Plan(64, 100, 10, KNOWN_METHODS, 1))
FULL = (Plan(64, 1600, 10, KNOWN_METHODS, 3, compiled=True), Plan(224, 4000, 10, KNOWN_METHODS, 3, compiled=True))
SIDES = {
    "auto": "this project, `auto`",
    "fp32": "this project, fp32",
    "bf16 plain": "this project, bf16, nothing folded",
    "compiled": "this project, compiled and frozen, compiling included",
}
ONLY_EVALUATED = ("bf16 plain", "compiled")


def jobs(bench: Bench, job: str, samples: int) -> Iterator[str]:
    """Table of one job: images a processor second, and ratios to the reference in its faster precision."""
    best = min((bench.median(job, name)["processor"], name) for name in REFERENCES)[1]
    base = bench.median(job, best)
    yield "| | processor s | s | images a processor s | ratio, processor s | ratio, s |"
    yield "|---|---:|---:|---:|---:|---:|"
    for side in (*REFERENCES, *SIDES):
        if side in ONLY_EVALUATED and (job == "epoch" or (side == "compiled" and not bench.plan.compiled)):
            continue
        spent = bench.median(job, side)
        ratio = "" if side in REFERENCES else f"{base['processor'] / spent['processor']:.2f}"
        wall = "" if side in REFERENCES else f"{base['wall'] / spent['wall']:.2f}"
        words = SIDES.get(side, side + (", its faster precision here" if side == best else ""))
        rate = samples / spent["processor"]
        yield f"| {words} | {spent['processor']:.2f} | {spent['wall']:.2f} | {rate:.1f} | {ratio} | {wall} |"


def stories(bench: Bench) -> Iterator[str]:
    """Table of whole stories."""
    yield "| method | reference, processor s | `auto`, processor s | ratio | reference, s | `auto`, s | ratio |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for method in bench.plan.methods:
        theirs, ours = (bench.median(f"story {method} {bench.plan.epochs}", side) for side in ("reference", "auto"))
        cells = [f"{one[key]:.1f}" if key else "" for key in ("processor", "wall") for one in (theirs, ours)]
        ratios = [f"{theirs[key] / ours[key]:.2f}" for key in ("processor", "wall")]
        yield f"| {method} | {cells[0]} | {cells[1]} | {ratios[0]} | {cells[2]} | {cells[3]} | {ratios[1]} |"


def section(bench: Bench) -> Iterator[str]:
    """One size."""
    plan, count = bench.plan, len(bench.dataset)
    yield f"### ResNet-18 at {plan.size} px, {count:,} images\n"
    peaks = [bench.kept.found[f"ceilings {r}"] for r in range(plan.rounds)]
    peak = {name: max(one[name] for one in peaks) for name in peaks[0]}
    yield (
        f"Ceilings in the same run, per processor second: {peak['matmul fp32']:.0f} GFLOP of matrix products in fp32, "
        f"{peak['matmul bf16']:.0f} in bf16, {peak['copy']:.1f} GB copied. One forward pass of an image has "
        f"{bench.operations / 1e9:.2f} GFLOP. Building the image cache, once: {bench.build['processor']:.1f} processor seconds.\n"
    )
    way, auto = bench.calibration.way(), bench.median("evaluation", "auto")
    share = bench.operations * count / auto["processor"] / 1e9 / peak[f"matmul {way.precision}"]
    yield f"**Evaluation** of all four splits, {count:,} images (`auto` reaches {share:.0%} of the matrix rate):\n"
    yield from jobs(bench, "evaluation", count)
    yield f"\n**Training**, one epoch of {len(bench.data.retain) + len(bench.data.forget):,} images, batches of 32:\n"
    yield from jobs(bench, "epoch", len(bench.data.retain) + len(bench.data.forget))
    guard, kept = bench.guard(), bench.calibration
    rates = "; ".join(f"{name} {rate:.0f}" for name, rate in {**kept.training, **kept.inference}.items())
    yield (
        f"\n`auto` chose {kept.training_precision} for training and {way.precision}, {way.form}, for inference. Images a "
        f"processor second in its calibration (training, then inference): {rates}."
    )
    if kept.compile_seconds:
        pays = f"pays from {way.compile_from:,} images on" if way.compile_from else "does not pay"
        yield f"Compiling took {kept.compile_seconds:.0f} processor seconds and {pays}."
    verdict = "holds" if guard["holds"] else "does not hold, and such a version is predicted in fp32"
    yield (
        f"Beside plain fp32 on a model trained for six epochs, that changes logits by at most {guard['difference']:.4f} of the "
        f"largest one, the class of {guard['flips']:.2%} of {guard['rows']} rows, and a group's accuracy by "
        f"{guard['accuracy']:.2%}: the guard {verdict}.\n"
    )
    if plan.methods:
        yield (
            f"**Whole stories**: pretrain 2 epochs, retrain 1, unlearn {plan.epochs}, three models measured; the reference in "
            f"{bench.best('epoch')}, with all four splits evaluated after every epoch:\n"
        )
        yield from stories(bench)
        yield ""


def page(plans: tuple[Plan, ...], folder: Path) -> Iterator[str]:
    """The section of ``docs/performance.md``."""
    yield START
    yield "## Beside the published loop\n"
    yield (
        "The reference is the loop that published unlearning code consists of: Pillow, torchvision transforms, a new DataLoader "
        "with 2 workers for each pass, batches of 32, NCHW, autocast where that is faster, four splits evaluated after every "
        "epoch, equalised odds in a pass of its own, six random forests, teachers and original features computed in each step "
        "(`benchmarks/measurements/reference_loop.py`). Both sides read the same JPEGs of 178 x 218, run in one process without "
        "MLflow, and take turns; imports are on neither side. Processor seconds count all threads and workers. Ratios above 1 "
        "are in this project's favour; `auto` is what a job is run with that is long enough for a calibration, which it pays "
        "once a network, size and machine.\n"
    )
    for plan in plans:
        bench = Bench(folder, plan)
        bench.run()
        yield from section(bench)
    rounds = " and ".join(f"{plan.rounds} at {plan.size} px" for plan in plans)
    yield (
        f"Measured on {processor_name()}, {workers()} processors, {torch.get_num_threads()} thread(s) inside an operation, torch "
        f"{torch.__version__}; medians of interleaved rounds ({rounds}); load average over 15 minutes at the end "
        f"{os.getloadavg()[2]:.1f}: where it is above the number of processors, trust the ratios of processor seconds alone. "
        "`python -m benchmarks.pages.performance --folder FOLDER --write docs/performance.md`."
    )
    yield END


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--folder", type=Path, required=True, help="keeps results, and continues from them")
    parser.add_argument("--full", action="store_true", help="sizes that take hours, and the compiled form")
    parser.add_argument("--size", type=int, help="only this size")
    parser.add_argument("--count", type=int, help="that many images")
    parser.add_argument("--epochs", type=int, help="epochs of unlearning")
    parser.add_argument("--methods", help="comma-separated; '' for none")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--write", type=Path)
    chosen = parser.parse_args()
    plans = tuple(plan for plan in (FULL if chosen.full else PLANS) if chosen.size in (None, plan.size))
    plans = tuple(
        Plan(
            plan.size,
            chosen.count or plan.count,
            chosen.epochs or plan.epochs,
            plan.methods if chosen.methods is None else tuple(name for name in chosen.methods.split(",") if name),
            chosen.rounds or plan.rounds,
            plan.compiled or chosen.compiled,
        )
        for plan in plans
    )
    text = "\n".join(page(plans, chosen.folder))
    if chosen.write:
        write(chosen.write, text)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
