"""What a benchmark suite is: a small YAML file that names data, network, requests, methods and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from grmu_audit.errors import InputError, NotFoundError
from grmu_audit.utils.plugins import did_you_mean
from grmu_audit.utils.yaml_files import Problem, ProblemsError, load_yaml

FOLDER = Path(__file__).with_name("suites")
"""Suites that come with the package."""


class Closed(BaseModel):
    """Unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SuiteData(Closed):
    """Where the samples come from."""

    name: str
    """Name of a dataset, or the path of a manifest file."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the reader."""
    seed_option: str = ""
    """Option of the reader that takes the row's seed, so that each seed has its own data; empty: all seeds share it."""


class SuiteNetwork(Closed):
    """The network that is trained."""

    architecture: str = "small_resnet"
    """Name of an architecture."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Its options."""
    start: Literal["random", "imagenet", "file"] = "random"
    """Start weights: sampled from the seed, torchvision's for ImageNet, or a file that the caller names."""


class Recipe(Closed):
    """How the model before the request, and every retrained one, is trained."""

    preset: bool = False
    """Whether the seed paper's recipe for the dataset is taken, under ``options``."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of training."""


class SuiteRequest(Closed):
    """One kind of forget request."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    """For file names."""
    title: str = ""
    """In words; empty: the name."""
    preset: str | None = None
    """A forget set of the papers."""
    groups: tuple[str, ...] = ()
    """Groups as ``1,0`` or ``blond / male``."""
    class_: str | None = Field(None, alias="class")
    """A class by name or number."""
    random: bool = False
    """From all training samples."""
    ratios: tuple[float, ...] = Field(min_length=1)
    """Shares that are forgotten."""
    represented: Literal["least", "most", ""] = ""
    """Whether the request takes from the group that training has fewest or most samples of, for figures."""
    methods: tuple[str, ...] = ()
    """Titles of the rows that this request has; empty: all."""
    white_box: bool = False
    """Whether fairness-gaps of layers and accuracy under FGSM are measured."""
    return_epochs: int = Field(0, ge=0, le=20)
    """Epochs of fine-tuning on the retain set after which the accuracy on the forget set is measured again; 0: none."""

    @model_validator(mode="after")
    def _one_way(self) -> SuiteRequest:
        ways = (self.preset is not None, bool(self.groups), self.class_ is not None, self.random)
        problems = [] if sum(ways) == 1 else [Problem((), "choose exactly one of preset, groups, class, random")]
        bad = [ratio for ratio in self.ratios if not 0 < ratio <= 1]
        problems += [Problem(("ratios",), f"{bad[0]} is not a share above 0 and at most 1")] if bad else []
        if problems:
            raise ProblemsError(problems)
        return self


class SuiteMethod(Closed):
    """One method with its options."""

    method: str
    """Name of an unlearning method."""
    title: str = ""
    """As printed; empty: the name."""
    reweight: Literal["both", "yes", "no"] = "yes"
    """REWEIGHT sampling of the retain set; a method that reads no retain set has none, whatever stands here."""
    preset: bool = False
    """Whether the seed paper's options for dataset, ratio and groups are taken, under ``options``."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options that differ from the defaults."""

    @property
    def name(self) -> str:
        """As printed."""
        return self.title or self.method


class Variant(Closed):
    """What a suite takes in place of its own values."""

    data: SuiteData | None = None
    """Where the samples come from."""
    network: SuiteNetwork | None = None
    """The network."""
    recipe: Recipe | None = None
    """How it is trained."""
    requests: tuple[SuiteRequest, ...] | None = None
    """What is forgotten."""
    gap_variant: Literal["pairwise", "paper"] | None = None
    """Variant of EO."""
    published: str | None = None
    """Dataset of the published tables."""


class Suite(Closed):
    """A suite: data x requests x ratios x methods x REWEIGHT x seeds."""

    schema_: Literal["grmu-audit/benchmark/v1"] = Field(alias="schema")
    """Schema name and version."""
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    """For file names and experiments."""
    title: str
    """In words."""
    description: str = ""
    """What it is for, in a sentence or two."""
    data: SuiteData
    """Where the samples come from."""
    network: SuiteNetwork = SuiteNetwork()
    """The network."""
    recipe: Recipe = Recipe()
    """How it is trained."""
    requests: tuple[SuiteRequest, ...] = Field(min_length=1)
    """What is forgotten."""
    methods: tuple[SuiteMethod, ...]
    """What is compared."""
    seeds: tuple[int, ...] = Field(min_length=1)
    """Seeds, each with its own model before the request, forget set and references."""
    references: int = Field(3, ge=1, le=20)
    """Retrained models that every row is compared with, for each request, ratio and seed."""
    gap_variant: Literal["pairwise", "paper"] = "pairwise"
    """Variant of EO; ``paper`` where there are more than two classes or attribute values."""
    published: str = ""
    """Dataset of the published tables that stand beside ours; empty: none."""
    figures: tuple[Literal["ratio", "reweight", "groups", "option", "robustness", "cost", "durability"], ...] = ("cost",)
    """Figures that are drawn where the rows allow it."""
    variants: dict[str, Variant] = Field(default_factory=dict)
    """The same suite on other data or with another network, by name."""

    @model_validator(mode="after")
    def _distinct(self) -> Suite:
        named: dict[str, list[Any]] = {
            "requests": [one.name for one in self.requests],
            "methods": [one.name for one in self.methods],
            "seeds": list(self.seeds),
        }
        problems = [Problem((key,), f"{_repeated(found)!r} occurs twice") for key, found in named.items() if _repeated(found)]
        titles = set(named["methods"])
        for number, request in enumerate(self.requests):
            unknown = sorted(set(request.methods) - titles)
            problems += [Problem(("requests", number, "methods"), f"no method of that title: {name}") for name in unknown]
        if any(seed < 0 for seed in self.seeds):
            problems.append(Problem(("seeds",), "seeds are whole numbers from 0"))
        if problems:
            raise ProblemsError(problems)
        return self

    def methods_of(self, request: SuiteRequest) -> tuple[SuiteMethod, ...]:
        """The methods that a request has rows of."""
        return tuple(one for one in self.methods if not request.methods or one.name in request.methods)


def _repeated(values: Sequence[Any]) -> Any:
    return next((value for number, value in enumerate(values) if value in values[:number]), None)


def suite_names() -> list[str]:
    """Names of the suites that come with the package, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_suite(name: str) -> Suite:
    """A suite by its name, or from a file that ends in .yaml or .yml.

    Raises:
        NotFoundError: no suite of that name.
        InputError: every defect of the file, with its line.
    """
    if name.endswith((".yaml", ".yml")):
        return load_yaml(Path(name), Suite)
    if name not in suite_names():
        known = suite_names()
        raise NotFoundError(f"no suite {name!r}{did_you_mean(name, known)}; known: {', '.join(known)}, or a file *.yaml")
    return load_yaml(FOLDER / f"{name}.yaml", Suite)


def varied(suite: Suite, name: str) -> Suite:
    """One of the suite's variants, whose name is the suite's with the variant's.

    Raises:
        NotFoundError: it has no such variant.
        InputError: the suite with the variant is not valid.
    """
    if name not in suite.variants:
        known = ", ".join(suite.variants) or "none"
        raise NotFoundError(
            f"suite {suite.name} has no variant {name!r}{did_you_mean(name, list(suite.variants))}; it has: {known}"
        )
    tree = {**suite.model_dump(by_alias=True), **suite.variants[name].model_dump(by_alias=True, exclude_none=True)}
    return _checked({**tree, "name": f"{suite.name}-{name}", "variants": {}})


def adapted(suite: Suite, seeds: str | None = None, added: Sequence[str] = ()) -> Suite:
    """The suite with other seeds, and with more methods by their default options.

    Args:
        suite: as read.
        seeds: whole numbers with commas; None: the suite's.
        added: names of methods, with and without REWEIGHT where they read the retain set; one that the suite has is only added to
            requests that list theirs.

    Raises:
        InputError: a seed is no whole number from 0, or a method is added twice.
    """
    tree = suite.model_dump(by_alias=True)
    if seeds is not None:
        try:
            tree["seeds"] = [int(text) for text in seeds.split(",")]
        except ValueError:
            raise InputError(f"--seeds {seeds!r}: give whole numbers with commas, such as 0,1,2") from None
    own = {method.name for method in suite.methods}
    tree["methods"] = [*tree["methods"], *({"method": name, "reweight": "both"} for name in added if name not in own)]
    named = [request.name for request in suite.requests if request.methods]
    for request in tree["requests"]:
        if request["name"] in named:
            request["methods"] = [*request["methods"], *(name for name in added if name not in request["methods"])]
    return _checked(tree)


def _checked(tree: dict[str, Any]) -> Suite:
    try:
        return Suite.model_validate(tree)
    except ValidationError as error:
        raise InputError(f"suite {tree['name']}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
