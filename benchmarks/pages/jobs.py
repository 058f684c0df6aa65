"""What pools, workers and batches of requests cost: the measured part of ``docs/jobs.md``.

python -m benchmarks.pages.jobs --write docs/jobs.md [--part steps|pool|requests]...
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch.func import functional_call, grad, replace_all_batch_norm_modules_, stack_module_state, vmap
from torch.nn import functional

from benchmarks.pages.sections import replace_section
from grmu_audit.data.catalog import DataSpec
from grmu_audit.jobs import JobOptions
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import ModelSpec
from grmu_audit.records import ModelRef
from grmu_audit.utils import write_atomic
from grmu_audit.workflows.audits.shadow import open_pool, train_elsewhere
from grmu_audit.workflows.audits.target import find_target
from grmu_audit.workflows.pending import RequestFields, add_requests
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.method_choice import UnlearnOptions
from grmu_audit.workflows.versions.network import NetworkChoice
from grmu_audit.workflows.versions.pretraining import TrainingOptions, pretrain
from grmu_audit.workflows.versions.unlearning import unlearn

Tensors = dict[str, torch.Tensor]
MODELS, BATCH, STEPS, REPEATS = 16, 64, 2, 3
SHORT = {"epochs": 1, "batch_size": 128, "augment": False}
NETWORK = NetworkChoice("small_resnet", {"widths": [4, 8]})
ROWS_OF_A_REQUEST = 5
COUNTS = (1, 4, 16)
NETWORKS = {
    "MLP, 30 columns, hidden 64 and 64": ModelSpec("mlp", 2, (30,), (0.0,) * 30, (1.0,) * 30, (), {"hidden": [64, 64]}),
    "small_resnet, widths 8, 16, 32, images of 32 px": ModelSpec(
        "small_resnet", 2, (3, 32, 32), (0.5,) * 3, (0.5,) * 3, (), {"widths": [8, 16, 32]}
    ),
}


def cpu_seconds() -> float:
    """User and system time of this process and of its children that ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Processor seconds and seconds of wall time."""
    cpu, wall = cpu_seconds(), time.perf_counter()
    work()
    return cpu_seconds() - cpu, time.perf_counter() - wall


def steps() -> list[str]:
    """Processor milliseconds of one gradient of 16 networks: one after the other, and together by ``torch.func.vmap``."""
    rows = []
    for name, spec in NETWORKS.items():
        pixels = torch.rand(MODELS, BATCH, *spec.image_size)
        target = torch.randint(0, 2, (MODELS, BATCH))
        ways = {"apart": _apart(spec, pixels, target), "together": _together(spec, pixels, target)}
        for work in ways.values():
            work()
        found: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(REPEATS):
            for way, work in ways.items():
                found[way].append(measured(partial(_repeat, work))[0] / STEPS)
        apart, together = (1000 * statistics.median(found[way]) for way in ways)
        rows.append(f"| {name} | {apart:.1f} | {together:.1f} | {apart / together:.2f} |")
    return rows


def _repeat(work: Callable[[], object]) -> None:
    for _ in range(STEPS):
        work()


def _apart(spec: ModelSpec, pixels: torch.Tensor, target: torch.Tensor) -> Callable[[], object]:
    models = [build(spec, seed).train() for seed in range(MODELS)]

    def work() -> None:
        for model, own, label in zip(models, pixels, target, strict=True):
            model.zero_grad(set_to_none=True)
            functional.cross_entropy(model(own), label).backward()  # type: ignore[no-untyped-call]

    return work


def _together(spec: ModelSpec, pixels: torch.Tensor, target: torch.Tensor) -> Callable[[], object]:
    """Batch normalisation by the statistics of the batch, without running ones: these cannot be written under vmap."""
    models = [build(spec, seed).train() for seed in range(MODELS)]
    for model in models:
        replace_all_batch_norm_modules_(model)
    parameters, buffers = stack_module_state(models)

    def loss(weights: Tensors, kept: Tensors, own: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(functional_call(models[0], (weights, kept), (own,)), label)

    gradients = vmap(grad(loss))
    return lambda: gradients(parameters, buffers, pixels, target)


def lineage(root: Path) -> tuple[Session, ModelRef, list[str]]:
    """A pretrained version, and ids of its training rows."""
    session = Session(root=root, device="cpu")
    ref = pretrain(session, "m", DataSpec("photodigits", {"renders": 1}), NETWORK, TrainingOptions(SHORT))
    frame = session.dataset_of(ref).frame
    return session, ref, frame["id"][frame["split"] == "train"].tolist()


def pool() -> list[str]:
    """A pool of 16 shadow models: one after the other here, and by two processes."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        session, ref, ids = lineage(root)
        (root / "ids.csv").write_text("id\n" + "\n".join(ids[:50]) + "\n")
        made = unlearn(session, ref.label, root / "ids.csv", UnlearnOptions("cf", SHORT))
        rows = []
        for name, options in (
            ("one after the other", JobOptions()),
            ("two processes, one thread each", JobOptions("process", 2)),
        ):
            own = replace(session, jobs=options, root=root / options.executor)
            own.store = session.store
            target = find_target(own, made.label, ())
            filled = open_pool(own, target, ref)
            elsewhere = train_elsewhere(own, target, filled)
            cpu, wall = measured(partial(filled.train_missing, MODELS, elsewhere=elsewhere))
            assert filled.count_stored(MODELS) == MODELS
            rows.append(f"| {name} | {cpu:.0f} | {wall:.0f} |")
        return rows


def requests() -> list[str]:
    """One version for R requests: processor seconds of the whole command, and sample-gradients, per request."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        session, ref, ids = lineage(root)
        for number in range(max(COUNTS)):
            named = ids[number * ROWS_OF_A_REQUEST : (number + 1) * ROWS_OF_A_REQUEST]
            (root / "ids.csv").write_text("id\n" + "\n".join(named) + "\n")
            add_requests(session, ref.label, root / "ids.csv", RequestFields(f"R-{number}"))
        for count in COUNTS:
            wanted, found = [f"R-{number}" for number in range(count)], list[ModelRef]()
            cpu, _ = measured(lambda: found.append(unlearn(session, ref.label, wanted, UnlearnOptions("miu", SHORT))))  # noqa: B023
            gradients = int(str(found[0].config["sample_gradients"]))
            rows.append(f"| {count} | {cpu:.1f} | {cpu / count:.1f} | {gradients / count:,.0f} |")
    return rows


PARTS = {"steps": steps, "pool": pool, "requests": requests}


def replaced(text: str, part: str, rows: Sequence[str]) -> str:
    """The page with the rows of one table replaced, and with the machine and the day of it.

    Raises:
        ValueError: the page lacks the markers of the table.
    """
    begin, end = f"<!-- {part}: begin, written by python -m benchmarks.pages.jobs -->", f"<!-- {part}: end -->"
    head = text.partition(begin)[2].partition(end)[0].strip().splitlines()
    table = [line for line in head if line.startswith("|")][:2]
    where = f"{_processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} thread(s), torch {torch.__version__}, {_day()}"
    body = "\n".join([*table, *rows])
    return replace_section(text, f"{begin}\n\n{body}\n\nMeasured on {where}, beside other work.\n\n{end}", begin, end)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _day() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, default=Path("docs/jobs.md"))
    parser.add_argument("--part", choices=list(PARTS), action="append")
    given = parser.parse_args()
    for part in given.part or list(PARTS):
        rows = PARTS[part]()
        print("\n".join([part, *rows]), flush=True)
        write_atomic(given.write, replaced(given.write.read_text(), part, rows).encode())


if __name__ == "__main__":
    main()
