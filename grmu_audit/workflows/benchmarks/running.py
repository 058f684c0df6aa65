"""Runs a suite: what exists is skipped by content address, what is new is recorded by one writer, each row once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.jobs import Job, JobFolder, JobRunner, make_executor
from grmu_audit.records.benchmark import FLOOR, PARTS, REFERENCE, BenchmarkRow
from grmu_audit.tracking.names import TAG_BENCHMARK, TAG_BENCHMARK_ROW
from grmu_audit.utils import canonical_json, read_file, sha256_hex, write_atomic
from grmu_audit.utils.array_files import unpack_arrays
from grmu_audit.workflows.benchmarks.plan import REFERENCE_TITLE, Known, Plan, PlannedRow, RunSettings, job_of, make_plan
from grmu_audit.workflows.benchmarks.suite import Suite
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.studies import patiently

if TYPE_CHECKING:
    from grmu_audit.utils.progress import Advance

ROWS, MODELS, DIGESTS, INDEX = "rows", "jobs", "data.json", "index.json"
"""In the folder of a benchmark: measured rows, results of jobs, digests of the data that was read, and the present row of each
place in the tables."""
LARGEST_ROW = 64 << 20
"""Bytes of a file of rows, and of the lists beside them."""
LARGEST_WEIGHTS = 8 << 30
"""Bytes of a file of start weights."""


@dataclass(frozen=True)
class BenchmarkOptions:
    """What a caller adds to a suite."""

    out: Path
    """Folder of rows, tables and figures."""
    root: Path | None = None
    """Folder of the data."""
    data_options: dict[str, object] = field(default_factory=dict)
    """Options of the reader."""
    options: dict[str, object] = field(default_factory=dict)
    """Options of every training."""
    weights: str | None = None
    """File of start weights, or ``random``."""


@dataclass(frozen=True)
class BenchmarkRun:
    """What a call did."""

    rows: tuple[BenchmarkRow, ...]
    """All rows of the suite, with the means of the references."""
    trained: int
    """Models that were created now."""
    measured: int
    """Rows that were measured now."""
    sample_gradients: int
    """Samples that gradients were taken of now."""


def run_benchmark(session: Session, suite: Suite, options: BenchmarkOptions) -> BenchmarkRun:
    """Create and measure what is missing, and record each new row as a run.

    Args:
        session: store, key, device, where jobs run.
        suite: what is compared.
        options: data, folder and what differs from the suite.

    Raises:
        InputError: the suite does not fit the data, or start weights are missing.
        DivergedError: a model that others are compared with diverged.
    """
    session.create_store()
    folder = JobFolder(job_url(session, options), session.key)
    settings = run_settings(session, suite, options, folder)
    known = _read_data(session, suite, settings)
    remember_digests(options.out, suite, settings, known)
    plan = make_plan(suite, known, settings)
    return _Run(session, suite, options.out, JobRunner(folder, make_executor(session.jobs)), plan).finish()


def job_url(session: Session, options: BenchmarkOptions) -> str:
    """Folder of the jobs' results: the caller's, else one in the folder of the benchmark."""
    return session.jobs.folder or str((options.out / MODELS).absolute())


def run_settings(session: Session, suite: Suite, options: BenchmarkOptions, folder: JobFolder | None) -> RunSettings:
    """What this run adds to its suite.

    Args:
        session: device and precision.
        suite: what is compared.
        options: the caller's.
        folder: that a file of start weights is put into; None: nowhere, for a plan.

    Raises:
        InputError: the suite needs a file of start weights, and none is named; or the name of the file has no ending.
    """
    runtime = session.runtime(0)
    chosen, file = options.weights, None
    if chosen not in (None, "random"):
        path = Path(str(chosen))
        content = read_file(path, LARGEST_WEIGHTS)
        if not path.suffix:
            raise InputError("--weights: the file's name has no ending, such as .safetensors, by which its form is known")
        file = sha256_hex(content), path.suffix
        if folder is not None:
            folder.put(content)
    elif chosen is None and suite.network.start == "file":
        raise InputError(
            f"suite {suite.name}: {suite.network.architecture} starts from pretrained weights: name their file with --weights, "
            "or take --weights random, which is another experiment"
        )
    return RunSettings(
        root=str(options.root.absolute()) if options.root else None,
        data_options=options.data_options,
        weights=file,
        random_start=chosen == "random",
        options=options.options,
        device=str(runtime.device),
        precision=runtime.precision,
    )


def _read_data(session: Session, suite: Suite, settings: RunSettings) -> Known:
    """The data of each seed, and its digest."""
    datasets = {seed: session.dataset(settings.data(suite, seed)) for seed in suite.seeds}
    return {seed: (dataset, dataset.digest) for seed, dataset in datasets.items()}


def remember_digests(out: Path, suite: Suite, settings: RunSettings, known: Known) -> None:
    """Keep the digests, so that a plan can say what exists without decoding the data."""
    digests = {data_key(suite, settings, seed): digest for seed, (_, digest) in known.items()}
    write_atomic(out / DIGESTS, canonical_json(read_digests(out) | digests))


def read_digests(out: Path) -> dict[str, str]:
    """Digests of data that was read before, by ``data_key``."""
    return _read_texts(out / DIGESTS)


def data_key(suite: Suite, settings: RunSettings, seed: int) -> str:
    """What names the data of a seed."""
    spec = settings.data(suite, seed)
    return canonical_json([spec.name, spec.options]).decode()


class _Run:
    """One call."""

    def __init__(self, session: Session, suite: Suite, out: Path, runner: JobRunner, plan: Plan) -> None:
        self.session, self.suite, self.out, self.runner, self.plan = session, suite, out, runner, plan
        self.trained = self.measured = self.gradients = 0

    def finish(self) -> BenchmarkRun:
        """Do what is missing, seed by seed, or all seeds together where several workers would wait for each other."""
        self._enter()
        missing = [row for row in self.plan.rows if not row_path(self.out, row.job.id).is_file()]
        together = self.session.jobs.executor != "local"
        for seeds in [self.suite.seeds] if together else [(seed,) for seed in self.suite.seeds]:
            self._finish_seeds([one for one in missing if one.row.seed in seeds])
        return BenchmarkRun(read_rows(self.out, self.plan), self.trained, self.measured, self.gradients)

    def _enter(self) -> None:
        """Record which row each place in the tables has now, so that rows of other options or data are no longer read."""
        tree = _read_index(self.out) | {_place_of(one.row): one.job.id for one in self.plan.rows}
        write_atomic(self.out / INDEX, canonical_json(tree))

    def _finish_seeds(self, rows: Sequence[PlannedRow]) -> None:
        if not rows:
            return
        stages = self._stages(rows)
        seeds = sorted({one.row.seed for one in rows})
        words = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds"
        total = sum(self._weight(job) for stage in stages for job in stage) + len(rows)
        with self.session.observer.progress(f"{self.suite.name}, {words}", total, "step") as progress:
            for stage in stages:
                self._train(stage, progress)
            self._measure(rows, progress)

    def _stages(self, rows: Sequence[PlannedRow]) -> list[list[Job]]:
        """Models that rows need and that do not exist: first those that others start from."""
        first: dict[str, Job] = {}
        then: dict[str, Job] = {}
        for row in rows:
            given = row.job.arguments
            for tree in (given["before"], *given["references"], given["model"]):
                job = job_of(tree)
                (first if job.arguments["training"] is not None else then)[job.id] = job
        return [[job for job in stage.values() if self.runner.folder.result(job) is None] for stage in (first, then)]

    def _weight(self, job: Job) -> int:
        """Steps of progress: one for ten thousand sample-gradients."""
        return 1 + self.plan.costs[job.id].gradients // 10_000

    def _train(self, jobs: Sequence[Job], advance: Advance) -> None:
        for job, content in self.runner.run(jobs):
            facts, _ = unpack_arrays(content)
            self.trained += 1
            self.gradients += int(facts["sample_gradients"])
            advance(self._weight(job), str(job.arguments["method"] or ""))

    def _measure(self, rows: Sequence[PlannedRow], advance: Advance) -> None:
        by_id = {row.job.id: row for row in rows}
        for job, content in self.runner.run([row.job for row in rows]):
            self.measured += 1
            self._record(by_id[job.id], content)
            advance(1, by_id[job.id].row.title)

    def _record(self, planned: PlannedRow, content: bytes) -> None:
        """A run for each row, then its file: what has a file is never recorded again."""
        found = rows_of(planned.row, json.loads(content))
        for row in found:
            patiently(self.session, partial(self._log, row))
        write_atomic(row_path(self.out, planned.job.id), canonical_json([row.to_json() for row in found]) + b"\n")

    def _log(self, row: BenchmarkRow) -> None:
        tags = {TAG_BENCHMARK: row.suite, TAG_BENCHMARK_ROW: row.id}
        with self.session.store.run(f"benchmark-{row.suite}", "benchmark", tags=tags) as run:
            named = {"request": row.request, "ratio": row.ratio, "row": row.title, "method": row.method, "part": row.part}
            run.log_params({**named, "reweight": row.reweight, "seed": row.seed, **row.option})
            costs = {"sample_gradients": float(row.sample_gradients), "seconds": row.seconds}
            run.log_metrics({**row.values, **{f"delta_{name}": value for name, value in row.deltas.items()}, **costs})
            run.log_dataset(row.facts["data"], row.facts["dataset_sha256"])


def rows_of(planned: BenchmarkRow, tree: dict[str, Any]) -> list[BenchmarkRow]:
    """The measured row; for the model before the request also the means of the references."""
    model, made = tree["model"], planned.part != FLOOR
    row = replace(
        planned,
        values=tree["values"],
        deltas=tree["deltas"],
        missing=tree["missing"],
        extras=model["extras"],
        sample_gradients=int(model["sample_gradients"]) if made else 0,
        seconds=float(model["seconds"]) if made else 0.0,
        diverged=model["diverged"],
        facts={**tree["facts"], "tool": model["tool"], "hardware": model["hardware"], **planned.facts},
    )
    if made:
        return [row]
    means = replace(row, id=f"{row.id}-references", title=REFERENCE_TITLE, method="retrain", reweight=True, part=REFERENCE)
    return [row, replace(means, values=tree["references"], deltas={}, missing={}, extras={})]


def row_path(out: Path, identity: str) -> Path:
    """File of a row."""
    return out / ROWS / f"{identity}.json"


def read_rows(out: Path, plan: Plan | None = None) -> tuple[BenchmarkRow, ...]:
    """Rows of a benchmark's folder; with a plan only those of it, in its order.

    Raises:
        InputError: there are none.
        IntegrityError: a file holds something else.
    """
    present = set(_read_index(out).values())
    paths = [row_path(out, row.job.id) for row in plan.rows] if plan is not None else sorted((out / ROWS).glob("*.json"))
    if plan is None and present:
        paths = [path for path in paths if path.stem in present]
    found: list[BenchmarkRow] = []
    for path in paths:
        if path.is_file():
            trees = _parse(path)
            found += [BenchmarkRow.from_json(tree, str(path)) for tree in (trees if isinstance(trees, list) else [trees])]
    if not found and plan is None:
        raise InputError(f"{out} holds no rows of a benchmark: name a folder that 'grmu-audit benchmark' wrote")
    return tuple(found if plan is not None else sorted(found, key=_place))


def _read_index(out: Path) -> dict[str, str]:
    """Place in the tables to the id of the row that is there now."""
    return _read_texts(out / INDEX)


def _read_texts(path: Path) -> dict[str, str]:
    """Texts by name; none where there is no such file.

    Raises:
        IntegrityError: it holds something else.
    """
    tree = _parse(path) if path.is_file() else {}
    if not (isinstance(tree, dict) and all(isinstance(text, str) for text in tree.values())):
        raise IntegrityError(f"{path} is damaged: remove it, and start the benchmark again")
    return tree


def _place_of(row: BenchmarkRow) -> str:
    return canonical_json([row.suite, row.request, row.ratio, row.part, row.title, row.seed]).decode()


def _place(row: BenchmarkRow) -> tuple[object, ...]:
    """Order of rows that no plan orders."""
    return row.suite, row.request, row.ratio, PARTS.index(row.part), row.title, row.seed


def _parse(path: Path) -> Any:
    """The content of a JSON file; None where it is none."""
    try:
        return json.loads(read_file(path, LARGEST_ROW))
    except ValueError:
        return None
