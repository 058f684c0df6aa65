"""The estimate of ``benchmark plan``: models, rows, sample-gradients and hours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grmu_audit.data.catalog import read_listing
from grmu_audit.jobs import JobFolder
from grmu_audit.workflows.benchmarks.costs import Cost, Rates, calibrate
from grmu_audit.workflows.benchmarks.plan import Known, Plan, RunSettings, make_plan
from grmu_audit.workflows.benchmarks.running import BenchmarkOptions, data_key, job_url, read_digests, row_path, run_settings
from grmu_audit.workflows.benchmarks.suite import Suite
from grmu_audit.workflows.session import Session

if TYPE_CHECKING:
    from grmu_audit.data.dataset import Dataset
    from grmu_audit.data.listing import Listing

ROW_SECONDS = 1.0
"""Rough time of measuring one row."""


@dataclass(frozen=True)
class Estimate:
    """Cost of a suite."""

    models: int
    """Models that it creates."""
    rows: int
    """Rows that it measures, without the means of the references."""
    existing_models: int
    """Models that exist."""
    existing_rows: int
    """Rows that exist."""
    cost: Cost
    """Of the models that do not exist yet."""
    lines: tuple[tuple[str, int, Cost], ...]
    """What, models and their cost, over all of them."""
    rates: Rates | None
    """Of this machine; None without a calibration."""
    known: bool
    """Whether the data was read before, so that what exists is found."""

    @property
    def hours(self) -> float | None:
        """Time of one worker; None without a calibration."""
        if self.rates is None:
            return None
        return (self.rates.seconds(self.cost) + ROW_SECONDS * (self.rows - self.existing_rows)) / 3600


def estimate(session: Session, suite: Suite, options: BenchmarkOptions, calibration: float = 1.0) -> Estimate:
    """Plan a suite without decoding images or training anything.

    Args:
        session: device, precision, key.
        suite: what is compared.
        options: as for ``run_benchmark``.
        calibration: share of the usual 17 seconds to spend on timing; 0: no hours.

    Raises:
        InputError: the suite does not fit the data.
    """
    settings = run_settings(session, suite, options, None)
    digests = read_digests(options.out)
    listed: dict[str, Dataset | Listing] = {}
    known: dict[int, tuple[Dataset | Listing, str]] = {}
    for seed in suite.seeds:
        key = data_key(suite, settings, seed)
        if key not in listed:
            listed[key] = read_listing(settings.data(suite, seed))
        known[seed] = listed[key], digests.get(key, "")
    plan = make_plan(suite, known, settings)
    complete = all(digest for _, digest in known.values())
    jobs = _jobs(plan)
    there = _existing(session, options, jobs) if complete else frozenset[str]()
    left = sum((plan.costs[name] for name in jobs if name not in there), Cost())
    rates = _rates(suite, known, settings, calibration) if calibration > 0 else None
    existing_rows = sum(row_path(options.out, row.job.id).is_file() for row in plan.rows) if complete else 0
    return Estimate(len(jobs), len(plan.rows), len(there), existing_rows, left, _lines(plan), rates, complete)


def _jobs(plan: Plan) -> dict[str, str]:
    """Every model's id, with its method."""
    before = {job.id: "model before the request" for job in plan.before.values()}
    return before | {name: str(job.arguments["method"] or "untouched, measured") for name, (_, job) in plan.models.items()}


def _lines(plan: Plan) -> tuple[tuple[str, int, Cost], ...]:
    found: dict[str, tuple[int, Cost]] = {}
    for name, what in _jobs(plan).items():
        count, cost = found.get(what, (0, Cost()))
        found[what] = count + 1, cost + plan.costs[name]
    return tuple((what, *both) for what, both in found.items())


def _existing(session: Session, options: BenchmarkOptions, jobs: dict[str, str]) -> frozenset[str]:
    """Models whose results lie in the folder."""
    place = JobFolder(job_url(session, options), b"").local("results")
    return frozenset(name for name in jobs if place is not None and (place / name).is_file())


def _rates(suite: Suite, known: Known, settings: RunSettings, share: float) -> Rates:
    """Of the suite's network with sampled weights."""
    import torch

    from grmu_audit.models.catalog import build
    from grmu_audit.training.config import TrainConfig
    from grmu_audit.workflows.versions.network import NetworkChoice, model_spec

    data = next(iter(known.values()))[0]
    choice = NetworkChoice(suite.network.architecture, suite.network.options)
    spec = model_spec(data, choice)  # type: ignore[arg-type]  # a listing has a header, too
    model = build(spec, seed=0)
    given: dict[str, object] = {**suite.recipe.options, **settings.options}
    batch = int(str(given.get("batch_size", TrainConfig().batch_size)))
    device = torch.device(settings.device)
    model.to(device)
    return calibrate(model, spec.batch_size(batch), device, share)
