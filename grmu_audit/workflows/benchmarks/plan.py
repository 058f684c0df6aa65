"""A suite as jobs: every model and every row with its content address, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grmu_audit.data.catalog import DataSpec
from grmu_audit.jobs import Job
from grmu_audit.records.benchmark import CEILING, FLOOR, METHOD, RETRAINED, BenchmarkRow
from grmu_audit.utils.yaml_files import typed_config
from grmu_audit.workflows.benchmarks.costs import Cost, Sizes, extras_cost, method_cost, training_cost
from grmu_audit.workflows.benchmarks.suite import Suite, SuiteMethod, SuiteRequest

if TYPE_CHECKING:
    from grmu_audit.data.dataset import Dataset
    from grmu_audit.data.forget import ForgetSampling
    from grmu_audit.data.listing import Listing
    from grmu_audit.unlearning.method import Method

GENERATION = 1
"""Raise it when the results of the code that trains or measures change: everything is then created and measured again."""
UNTOUCHED, REFERENCE_TITLE, CEILING_TITLE = "untouched", "retrain + REWEIGHT (reference)", "retrain + REWEIGHT (one more)"
"""Titles of the rows that every table has beside the methods."""
_PENALTY = "fairness_gap_"
"""Options of the penalty, which have no effect without its weight."""


@dataclass(frozen=True)
class RunSettings:
    """What a run adds to its suite."""

    root: str | None
    """Folder of the data."""
    data_options: Mapping[str, object]
    """Options of the reader that differ from the suite's."""
    weights: tuple[str, str] | None
    """Digest of a file of start weights in the job folder, and the ending of its name."""
    random_start: bool
    """Sampled start weights, whatever the suite says."""
    options: Mapping[str, object]
    """Options of every training, over those of suite and presets."""
    device: str
    """Kind of device."""
    precision: str
    """Precision of training."""

    def data(self, suite: Suite, seed: int) -> DataSpec:
        """The data of a seed."""
        own = {suite.data.seed_option: seed} if suite.data.seed_option else {}
        place = {"root": self.root} if self.root is not None else {}
        return DataSpec(suite.data.name, {**suite.data.options, **own, **place, **self.data_options})


@dataclass(frozen=True)
class PlannedRow:
    """One row before it is measured."""

    row: BenchmarkRow
    """What is known of it; without numbers."""
    job: Job
    """Measures it."""


@dataclass(frozen=True)
class Plan:
    """Everything that a suite does."""

    before: Mapping[int, Job]
    """The model before the request of each seed."""
    models: Mapping[str, tuple[int, Job]]
    """Every other model by id, with its seed."""
    rows: tuple[PlannedRow, ...]
    """What is measured."""
    costs: Mapping[str, Cost]
    """By id of the model's job."""


Known = Mapping[int, "tuple[Dataset | Listing, str]"]
"""The data of each seed, with its digest; empty where it was not decoded."""


def make_plan(suite: Suite, known: Known, settings: RunSettings) -> Plan:
    """All jobs of a suite.

    Args:
        suite: what is compared.
        known: the data of each seed.
        settings: what this run adds.

    Raises:
        InputError: a request does not fit the data, or an option is unknown or has no effect.
        NotFoundError: no such method.
    """
    planner = _Planner(suite, settings)
    for seed in suite.seeds:
        planner.add_seed(seed, *known[seed])
    return Plan(planner.before, planner.models, tuple(planner.rows), planner.costs)


@dataclass(frozen=True)
class _Cell:
    """One request and ratio of one seed."""

    seed: int
    request: SuiteRequest
    sampling: ForgetSampling
    groups: int
    sizes: Sizes
    tests: int
    dataset: str


class _Planner:
    """Collects jobs."""

    def __init__(self, suite: Suite, settings: RunSettings) -> None:
        self.suite, self.settings = suite, settings
        self.before: dict[int, Job] = {}
        self.models: dict[str, tuple[int, Job]] = {}
        self.rows: list[PlannedRow] = []
        self.costs: dict[str, Cost] = {}
        self._fixed: dict[str, Any] = {}

    def add_seed(self, seed: int, data: Dataset | Listing, digest: str) -> None:
        """All rows of a seed."""
        from grmu_audit.training.config import TrainConfig

        spec = self.settings.data(self.suite, seed)
        self._fixed = {
            "generation": GENERATION,
            "data": {"name": spec.name, "options": dict(spec.options), "digest": digest},
            "network": {**self.suite.network.model_dump(), **({"start": "random"} if self.settings.random_start else {})},
            "weights": list(self.settings.weights) if self.settings.weights else None,
            "device": self.settings.device,
            "precision": self.settings.precision,
        }
        name, config = data.header.name, typed_config(TrainConfig, self._recipe(data.header.name))
        counts = data.frame["split"].value_counts()
        train, val, tests = (int(counts.get(split, 0)) for split in ("train", "val", "test"))
        job = self._job({"seed": seed, "training": config.model_dump(mode="json")})
        self.before[seed] = job
        self.costs[job.id] = training_cost(config, Sizes(train, 0, val, len(data.frame)))
        for request in self.suite.requests:
            for ratio in request.ratios:
                sampling, groups, forget = _sampled(data, request, ratio, seed)
                sizes = Sizes(train - forget, forget, val, len(data.frame))
                self._add_cell(_Cell(seed, request, sampling, groups, sizes, tests, name))

    def _add_cell(self, cell: _Cell) -> None:
        retrain = SuiteMethod(method="retrain")
        references = [self._model(cell, retrain, True, f"reference {k}") for k in range(self.suite.references)]

        def add(title: str, part: str, model: Job, entry: SuiteMethod | None = None, reweight: bool = False) -> None:
            """A row."""
            arguments: dict[str, Any] = {"model": _tree(model), "before": _tree(self.before[cell.seed])}
            arguments |= {"references": [_tree(one) for one in references], "request": self._request(cell)}
            job = Job("benchmark-row", {**self._fixed, **arguments, "gap_variant": self.suite.gap_variant})
            row = BenchmarkRow(
                id=job.id,
                suite=self.suite.name,
                request=cell.request.name,
                request_title=cell.request.title or cell.request.name,
                groups=cell.groups,
                ratio=cell.sampling.ratio,
                title=title,
                method=entry.method if entry else "",
                reweight=reweight,
                part=part,
                seed=cell.seed,
                option=_numbers(entry.options) if entry else {},
                facts={"represented": cell.request.represented},
            )
            self.rows.append(PlannedRow(row, job))

        add(UNTOUCHED, FLOOR, self._untouched(cell))
        add(CEILING_TITLE, CEILING, self._model(cell, retrain, True, "ceiling"), retrain, True)
        for entry in self.suite.methods_of(cell.request):
            method = _method(entry.method)
            for reweight in _reweights(entry, method):
                model = self._model(cell, entry, reweight, "retrained" if method.exact else "")
                title = f"{entry.name} + REWEIGHT" if reweight else entry.name
                add(title, RETRAINED if method.exact else METHOD, model, entry, reweight)

    def _untouched(self, cell: _Cell) -> Job:
        """The model before the request; a job of its own where the request has extra measurements."""
        if not self._extras(cell):
            return self.before[cell.seed]
        job = self._job({"seed": cell.seed, "before": _tree(self.before[cell.seed]), **self._extras(cell)})
        self._enter(cell, job, Cost(0, cell.sizes.total))
        return job

    def _model(self, cell: _Cell, entry: SuiteMethod, reweight: bool, other: str) -> Job:
        """A model of a request; ``other``: the purpose of one that has another seed than the model before."""
        from grmu_audit.training.runtime import derive_seed

        method = _method(entry.method)
        config = typed_config(method.config, self._options(cell, entry, method, reweight))
        job = self._job(
            {
                "seed": derive_seed(cell.seed, "benchmark", other) % (1 << 31) if other else cell.seed,
                "before": None if method.exact else _tree(self.before[cell.seed]),
                "method": method.name,
                "settings": _effective(method, config),
                "reweight": reweight,
                "request": self._request(cell),
                **self._extras(cell),
            }
        )
        self._enter(cell, job, method_cost(method, config, cell.sizes))
        return job

    def _enter(self, cell: _Cell, job: Job, cost: Cost) -> None:
        more = extras_cost(cell.sizes, cell.tests, cell.request.return_epochs, cell.request.white_box)
        self.costs[job.id] = cost + more
        self.models[job.id] = cell.seed, job

    def _job(self, arguments: Mapping[str, Any]) -> Job:
        blank: dict[str, Any] = {
            "before": None,
            "training": None,
            "method": None,
            "settings": {},
            "reweight": False,
            "request": None,
        }
        return Job("benchmark-model", {**self._fixed, **blank, "extras": {}, **arguments})

    def _request(self, cell: _Cell) -> dict[str, Any]:
        own, sampling = cell.request, cell.sampling
        ways = {"preset": own.preset, "groups": list(own.groups), "class": own.class_, "random": own.random}
        return {**ways, "ratio": sampling.ratio, "seed": sampling.seed}

    def _extras(self, cell: _Cell) -> dict[str, Any]:
        own = cell.request
        if not (own.white_box or own.return_epochs):
            return {}
        tuned = {"recipe": self.before[cell.seed].arguments["training"]}
        extras = {"white_box": own.white_box, "return_epochs": own.return_epochs, **tuned}
        return {"extras": extras, "request": self._request(cell)}

    def _recipe(self, dataset: str, method: str = "pretrain", reweight: bool = False) -> dict[str, object]:
        """Options of training all samples, or of training the retain set."""
        from grmu_audit.training.config import TrainConfig
        from grmu_audit.unlearning.methods.retraining import RetrainConfig
        from grmu_audit.unlearning.presets import Query, paper_preset

        found: dict[str, object] = {}
        if self.suite.recipe.preset:
            fields = TrainConfig.model_fields if method == "pretrain" else RetrainConfig.model_fields
            found = paper_preset(Query(dataset, method, None, 0, reweight), set(fields)).settings
        return {**found, **self.suite.recipe.options, **self.settings.options}

    def _options(self, cell: _Cell, entry: SuiteMethod, method: Method, reweight: bool) -> dict[str, object]:
        """Options of a method: by the recipe where it is exact, else its defaults or preset; then the suite's, then the run's.

        Where the recipe does not augment, no method does.
        """
        from grmu_audit.unlearning.presets import Query, paper_preset

        if method.exact:
            name = "retrain+group_dro" if entry.options.get("group_dro") else "retrain"
            return {**self._recipe(cell.dataset, name, reweight), **entry.options, **self._own(method)}
        found: dict[str, object] = {}
        if entry.preset:
            query = Query(cell.dataset, method.name, cell.sampling.ratio, cell.groups, reweight)
            found = paper_preset(query, set(method.config.model_fields)).settings
        elif self._recipe(cell.dataset).get("augment") is False and method.trains:
            found = {"augment": False}
        return {**found, **entry.options, **self._own(method)}

    def _own(self, method: Method) -> dict[str, object]:
        """The run's options that have an effect on a method."""
        return {name: value for name, value in self.settings.options.items() if name not in method.unused_options}


def _sampled(data: Dataset | Listing, request: SuiteRequest, ratio: float, seed: int) -> tuple[ForgetSampling, int, int]:
    """How a forget set is sampled, from how many groups, and how many rows it has."""
    from grmu_audit.data.forget import sample_forget
    from grmu_audit.data.forget.sampling import sampled_groups

    sampling = sampling_of({**request.model_dump(by_alias=True), "ratio": ratio, "seed": seed})
    forget = sample_forget(data, sampling)  # type: ignore[arg-type]  # a listing has header and frame, too
    return sampling, len(sampled_groups(sampling, data.header)), len(forget)


def sampling_of(request: Mapping[str, Any]) -> ForgetSampling:
    """The sampling of a request as jobs name it."""
    from grmu_audit.data.forget import ForgetSampling

    return ForgetSampling(
        tuple(request["groups"]), request["class"], None, request["random"], request["preset"], request["ratio"], request["seed"]
    )


def _method(name: str) -> Method:
    from grmu_audit.unlearning.methods import methods

    return methods.get(name)


def _reweights(entry: SuiteMethod, method: Method) -> Iterator[bool]:
    """Without and with REWEIGHT, as the suite says and the method allows."""
    if "retain" not in method.needs or entry.reweight in ("no", "both"):
        yield False
    if "retain" in method.needs and entry.reweight in ("yes", "both"):
        yield True


def _effective(method: Method, config: Any) -> dict[str, Any]:
    """The options that a model depends on."""
    penalty = set() if config.fairness_gap_weight else {name for name in type(config).model_fields if name.startswith(_PENALTY)}
    settings: dict[str, Any] = config.model_dump(mode="json", exclude={*method.unused_options, *penalty})
    return settings


def _tree(job: Job) -> dict[str, Any]:
    return {"function": job.function, "arguments": dict(job.arguments)}


def job_of(tree: Mapping[str, Any]) -> Job:
    """A job that another job's arguments name."""
    return Job(str(tree["function"]), dict(tree["arguments"]))


def _numbers(options: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in options.items() if type(value) in (int, float)}
