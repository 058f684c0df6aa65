"""What an unlearning method is, and the registry of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from grmu_audit.models.classifier import Classifier
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.data import UnlearningData
from grmu_audit.unlearning.layers import ALL
from grmu_audit.utils.plugins import Registry


class MethodConfig(TrainConfig):
    """Options that every method has; a method adds its own."""

    keep_best: bool = False
    """Unlearning returns its last epoch: the best validation epoch may be one that has not forgotten yet."""
    layers: str = Field(ALL, coerce_numbers_to_str=True)
    """Which layers move: ``all``, a number (the last k stages with the head), or a layer's name (it and all after it)."""
    fairness_gap_weight: float = Field(0.0, ge=0, allow_inf_nan=False)
    """Weight of the penalty on the change of the fairness-gap against the original; 0 leaves it out."""
    fairness_gap_layers: tuple[str, ...] = ()
    """Names of the normalisation layers that it is measured at; empty: all of them."""
    fairness_gap_stat: Literal["var", "std"] = "var"
    """Whether spread is of variances or of standard deviations."""
    fairness_gap_point: Literal["input", "output"] = "output"
    """Activations before or after the normalisation layer."""
    fairness_gap_by: Literal["class", "group"] = "class"
    """Whether spread is over classes or over groups."""


class ForgetPassConfig(MethodConfig):
    """Options of methods that pass over the forget set and read the retain set, too."""

    forget_statistics: Literal["mixed", "own", "frozen"] = "own"
    """What batch normalisation takes on forget batches: statistics of the batch mixed with as many retain samples, of the batch
    alone, or the running ones.  None of them updates a running statistic."""
    as_published: bool = False
    """The authors' code, where it differs."""


@dataclass(frozen=True)
class LogRange:
    """A range to be searched with equal chances for each order of magnitude."""

    low: float
    """Smallest value, above 0."""
    high: float
    """Largest value."""


Search = Mapping[str, LogRange | tuple[object, ...]]
"""Option to the range or the choices that ``--tune`` samples from."""
Run = Callable[[Classifier, UnlearningData, Any, Runtime], Classifier]
"""A method in code: changes the model it is given (``apply_method`` hands it a copy) or makes a new one, reads the rows that it
``needs``, takes its own config, device and seed, and raises ``DivergedError`` where a loss or a weight is not finite."""


@dataclass(frozen=True)
class Method:
    """One unlearning method as the catalogue lists it."""

    name: str
    """Name on the command line."""
    title: str
    """What it does, in one line."""
    run: Run
    """method(model, data, config, runtime) -> model without the forget set; it may change the one that it is given."""
    config: type[MethodConfig]
    """Typed options with defaults that work."""
    needs: frozenset[str]
    """Which of ``retain``, ``forget`` and ``val`` it reads; validation rows that only watch a run are not meant."""
    reference: str
    """Where it is described."""
    exact: bool = False
    """True when the result never saw the forget set."""
    certified: bool = False
    """True when it proves how near its result is to one that never saw the forget set."""
    cost: str = ""
    """Sample-gradients as a formula: R, F = retain and forget samples, E = epochs."""
    moves_statistics: frozenset[str] = frozenset({"retain"})
    """Which of ``retain`` and ``forget`` may move the running statistics of batch normalisation."""
    seeded: bool = True
    """Whether the result depends on the seed when all rows are used as they are."""
    reweight_default: bool = False
    """Whether REWEIGHT is on unless it is switched off."""
    search: Search = field(default_factory=dict)
    """What ``--tune`` varies, beside the learning rate and the number of epochs where the method trains."""
    gentler: tuple[str, tuple[float, ...]] | None = None
    """An option and its ascending values for further attempts where a run costs too much accuracy; None: lower learning rates."""
    trains: bool = True
    """Whether it takes steps by the options of training; where it does not, only ``batch_size`` of them has an effect."""
    requires: str = ""
    """Architecture that a network must have; empty: any."""

    @property
    def unused_options(self) -> frozenset[str]:
        """Options that have no effect: those of training, batch size apart, in a method that does not train."""
        return frozenset() if self.trains else frozenset(TrainConfig.model_fields) - {"batch_size"}


def register(method: Method) -> None:
    """Add a method of the package to the catalogue, under its name."""
    methods.add(method.name, method)


methods: Registry[Method] = Registry("method", "grmu_audit.methods")
"""All methods by name."""
