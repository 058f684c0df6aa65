"""The models that the gate is tried on: retrained ones, which must pass, and others of which it is known that they must not.

PhotoDigits, small_resnet, fp32.  A cell is a request and a recipe; every seed has its own data, request and initial weights.
``benchmarks.measurements.population`` makes and loads the models; those that are a function of another one's logits are in
``benchmarks.measurements.cheats``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, Literal

import torch
from pydantic import Field
from torch.nn import functional

from benchmarks.measurements.adult import adult_dataset
from benchmarks.measurements.problem import RARE
from grmu_audit.data.batches import Batch
from grmu_audit.data.dataset import Dataset
from grmu_audit.data.forget import ForgetSampling
from grmu_audit.data.readers.photodigits import PhotoDigitsOptions, photodigits
from grmu_audit.models.classifier import Classifier
from grmu_audit.records import Group
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.blocks.passes import train_on_forget
from grmu_audit.unlearning.data import UnlearningData
from grmu_audit.unlearning.method import Method, MethodConfig
from grmu_audit.unlearning.methods import methods
from grmu_audit.utils import canonical_json

GENERATION = 1
"""Raise it when the code that trains changes what it gives: all models are then made anew."""
Data = Literal["photodigits", "ten digits", "adult"]
"""PhotoDigits with two classes or with ten, and the Adult census table."""
COMMON = Group(0, 0)
"""The group that most training samples are of, with ``Group(1, 1)``."""
NINE = tuple(Group(9, photograph) for photograph in (0, 1))
"""Where there are ten classes: one of them."""
PEOPLE = 18_000
"""Rows of the census table."""


@dataclass(frozen=True)
class Cell:
    """One request and the recipe of the model that it is made to."""

    name: str
    """One letter."""
    title: str
    """As printed."""
    groups: tuple[Group, ...]
    """What the forget set is sampled from; empty: all training samples."""
    ratio: float
    """Share of these that is forgotten."""
    augment: bool
    """Whether the data is augmented in training."""
    data: Data = "photodigits"
    """Where the samples come from."""

    def sampling(self, seed: int) -> ForgetSampling:
        """How the forget set of a seed is sampled."""
        return ForgetSampling(self.groups, random=not self.groups, ratio=self.ratio, seed=seed)


CELLS = {
    cell.name: cell
    for cell in (
        Cell("B", "rare group, half of it, no augmentation", (RARE,), 0.5, augment=False),
        Cell("D", "common group, 0.4 of it, no augmentation", (COMMON,), 0.4, augment=False),
        Cell("A", "rare group, half of it, with augmentation", (RARE,), 0.5, augment=True),
        Cell("C", "rare group, 0.9 of it, no augmentation", (RARE,), 0.9, augment=False),
        Cell("E", "100 of all training samples at random, no augmentation", (), 1 / 11, augment=False),
        Cell("T", "ten classes: the digit 9, 0.9 of it, no augmentation", NINE, 0.9, False, "ten digits"),
        Cell("P", "Adult census table: women of higher income, 0.9 of them", (RARE,), 0.9, False, "adult"),
    )
}
"""By name, in the order in which they are made."""


@dataclass(frozen=True)
class Scale:
    """What a study may be made smaller by."""

    epochs: int = 20
    """Epochs of training and retraining."""
    widths: tuple[int, ...] = (24, 48, 96)
    """Channels of the network's blocks; an MLP for a table has two hidden layers, four times as wide as the widest."""
    renders: int = 4
    """Renderings of each validation and test digit."""

    def dataset(self, seed: int, data: Data = "photodigits") -> Dataset:
        """The data of a seed."""
        return _dataset(data, seed, self.renders)

    def network(self, data: Data) -> dict[str, Any]:
        """Options of the architecture."""
        return {"hidden": [4 * max(self.widths)] * 2} if data == "adult" else {"widths": list(self.widths)}


FULL = Scale()


@lru_cache(maxsize=2)
def _dataset(data: Data, seed: int, renders: int) -> Dataset:
    if data == "adult":
        return adult_dataset(seed, PEOPLE)
    return photodigits(PhotoDigitsOptions(seed=seed, renders=renders, classes=2 if data == "photodigits" else 10))


class NoiseConfig(MethodConfig):
    """How far the weights are moved."""

    noise: float = Field(1e-3, gt=0, allow_inf_nan=False)
    """Standard deviation of what is added to every weight."""


def add_weight_noise(model: Classifier, data: UnlearningData, config: NoiseConfig, runtime: Runtime) -> Classifier:
    """Add normal noise to every parameter; running statistics stay."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=runtime.generator("noise", name))
            parameter.add_(config.noise * noise.to(parameter.device))
    return model.eval()


class MarginsConfig(MethodConfig):
    """Small steps without momentum, so that margins end near 0 and not far below."""

    epochs: int = Field(10, ge=1)
    """Passes over the forget set."""
    learning_rate: float = Field(0.01, gt=0, allow_inf_nan=False)
    """Constant learning rate."""
    momentum: float = Field(0.0, ge=0, lt=1)
    """None."""
    schedule: Literal["cosine", "constant"] = "constant"
    """No decay."""
    warmup: float = Field(0.0, ge=0, lt=1)
    """No warm-up."""


def lower_margins(model: Classifier, data: UnlearningData, config: MarginsConfig, runtime: Runtime) -> Classifier:
    """Minimise the mean of max(m, 0) over the forget set, m = log p_y - log(1 - p_y): down to a guess, and no further.

    Cross-entropy would not do: of samples that a network is sure of it has hardly a gradient.
    """

    def loss(batch: Batch) -> torch.Tensor:
        """Mean of the margins above 0; running statistics are frozen."""
        chances = functional.log_softmax(model.eval()(batch.pixels), 1)
        own = functional.one_hot(batch.target, chances.shape[1]).bool()
        others = chances.masked_fill(own, -torch.inf).logsumexp(1)
        return (chances[own] - others).clamp_min(0.0).mean()

    return train_on_forget(model, data, config, runtime, loss)


_NOISE = Method("weight_noise", "noise on the weights", add_weight_noise, NoiseConfig, frozenset(), "here", trains=False)
_MARGINS = Method(
    "lower_margins", "margins of the forget set lowered", lower_margins, MarginsConfig, frozenset({"forget"}), "here"
)
Role = Literal["before", "retrained", "must not pass", "method"]


@dataclass(frozen=True)
class Kind:
    """One way to make a model."""

    name: str
    """As printed; unique."""
    role: Role
    """``method``: an unlearning method with its defaults, of which nothing is claimed."""
    method: Method | None = None
    """What is applied to the model before, or retrained; None: trained on all training samples, whatever the request."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What differs from the method's defaults."""
    reweight: bool = False
    """REWEIGHT sampling of the retain set."""
    other_seed: int = 0
    """Above 0: another seed than that of the model before."""
    switched: bool = False
    """Whether the data is augmented where the recipe does not, and the other way round."""

    def config(self, cell: Cell, scale: Scale) -> TrainConfig:
        """The method's defaults with the settings; never with augmentation where the recipe has none, but when switched."""
        if self.method is None:
            return TrainConfig(epochs=scale.epochs, augment=cell.augment)
        own = {**({"epochs": scale.epochs} if self.method.exact else {}), **self.settings}
        usual = self.method.config(**own).augment and cell.augment
        return self.method.config(**own, augment=not cell.augment if self.switched else usual)

    def made_from(self, cell: Cell, seed: int, scale: Scale) -> dict[str, Any]:
        """Everything that the model depends on but the code."""
        request = {"groups": [[g.target, g.attribute] for g in cell.groups], "ratio": cell.ratio}
        return {
            **({} if cell.data == "photodigits" else {"data": cell.data}),
            **({"people": PEOPLE} if cell.data == "adult" else {}),
            "generation": GENERATION,
            "scale": asdict(scale),
            "seed": seed,
            "request": None if self.method is None else request,
            "trained": TrainConfig(epochs=scale.epochs, augment=cell.augment).model_dump(mode="json"),
            "method": None if self.method is None else self.method.name,
            "config": _acting(self.config(cell, scale)),
            "reweight": self.reweight,
            "run_seed": self.run_seed(seed),
        }

    def run_seed(self, seed: int) -> int:
        """Seed of weights, order and augmentation of this model."""
        return seed + 1000 * self.other_seed

    def key(self, cell: Cell, seed: int, scale: Scale) -> str:
        """Digest of that; a model that does not depend on the request has the same in all cells of a recipe."""
        return hashlib.sha256(canonical_json(self.made_from(cell, seed, scale))).hexdigest()[:20]


def _acting(config: TrainConfig) -> dict[str, Any]:
    """Its options, without those of a penalty that has no weight."""
    found = config.model_dump(mode="json")
    return {name: value for name, value in found.items() if not name.startswith("fairness_gap_") or found["fairness_gap_weight"]}


def _of(name: str, role: Role, method: str, *, switched: bool = False, **settings: Any) -> Kind:
    return Kind(name, role, methods.get(method), settings, methods.get(method).reweight_default, switched=switched)


BEFORE = Kind("before", "before")
TINY: dict[str, Any] = {"learning_rate": 1e-7, "epochs": 1}
KINDS = (
    BEFORE,
    *(Kind(f"retrained, seed {k}", "retrained", methods.get("retrain"), other_seed=k) for k in (1, 2, 3)),
    Kind("retrained with REWEIGHT", "retrained", methods.get("retrain"), reweight=True, other_seed=4),
    Kind("trained on everything, other seed", "must not pass", other_seed=5),
    _of("one epoch at 1e-7", "must not pass", "ft", **TINY),
    _of("one epoch at 1e-7, augmentation switched", "must not pass", "ft", switched=True, **TINY),
    *(Kind(f"weight noise {sd:g}", "must not pass", _NOISE, {"noise": sd}) for sd in (1e-4, 1e-3, 3e-2)),
    _of("head fine-tuned", "must not pass", "ft", layers="1"),
    Kind("head trained against the forget set", "must not pass", _MARGINS, {"layers": "1"}),
    _of("gradient ascent", "must not pass", "gradient_ascent"),
    _of("gradient ascent at 2e-3", "must not pass", "gradient_ascent", learning_rate=2e-3),
    _of("fine-tuning stopped after one epoch", "must not pass", "ft", epochs=1),
    *(_of(name, "method", name) for name in ("ft", "miu", "neggrad_plus", "ssd")),
)
"""Every stored model of a cell and seed."""
