"""The protocol of an unlearning method, and what it may see."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from grmu_audit.data.source import Batch, BatchSource
from grmu_audit.errors import DivergedError, EnvironmentFailure, InputError
from grmu_audit.models.classifier import Classifier
from grmu_audit.plugins import Registry
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.loop import Phase, accuracy, steps_of
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.fairness_gap import FairnessGapPenalty, GapDefinition, choose_layers
from grmu_audit.unlearning.layers import ALL, release, require_unmoved, restricted

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class UnlearningData:
    """What a method may read: never the test split, never a retrained model."""

    source: BatchSource
    """Pixels, targets and groups."""
    retain: Rows
    """Training rows that stay (D_r)."""
    forget: Rows
    """Training rows that must go (D_f)."""
    val: Rows
    """Validation rows (D_v)."""
    retain_weights: npt.NDArray[np.float64] | None = None
    """[len(retain)] REWEIGHT sampling weights; None samples uniformly without replacement."""

    def reweighted(self) -> UnlearningData:
        """The same data with REWEIGHT sampling of the retain set: w_g = N_train(g) / N_retain(g)."""
        return replace(self, retain_weights=reweight(self.groups_of(self.retain), self.groups_of(self.forget)))

    def groups_of(self, rows: Rows) -> npt.NDArray[np.int64]:
        """[len(rows)] group codes."""
        return self._groups[rows]

    @cached_property
    def _groups(self) -> npt.NDArray[np.int64]:
        return self.source.group.cpu().numpy()

    def retain_batches(self, size: int, generator: torch.Generator, *, augment: bool) -> Iterator[Batch]:
        """One pass over the retain set, by its sampling weights where there are any."""
        return self.source.batches(self.retain, size, generator, weights=self.retain_weights, augment=augment)

    def forget_batches(self, size: int, generator: torch.Generator, *, augment: bool) -> Iterator[Batch]:
        """One shuffled pass over the forget set."""
        return self.source.batches(self.forget, size, generator, augment=augment)

    def retain_steps(self, size: int) -> int:
        """Batches of one retain pass."""
        return steps_of(self.retain, size)

    def forget_steps(self, size: int) -> int:
        """Batches of one forget pass."""
        return steps_of(self.forget, size)

    def validator(self, runtime: Runtime) -> Callable[[Classifier], float] | None:
        """Validation accuracy of a model, or None where there is no validation split."""
        return (lambda model: accuracy(model, self.source, self.val, runtime)) if len(self.val) else None


def reweight(retain_groups: npt.NDArray[np.int64], forget_groups: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """REWEIGHT: sampling weight of each retain sample, so that the expected group mix is the one before the request.

    w_i = N_train(g_i) / N_retain(g_i), at least 1; groups that lost nobody get 1 (De Min et al., group-robust unlearning).

    Args:
        retain_groups: [n_r] group codes of the retain set.
        forget_groups: [n_f] group codes of the forget set.

    Returns:
        [n_r] weights, not normalised.

    >>> reweight(np.array([0, 0, 1]), np.array([1])).tolist()
    [1.0, 1.0, 2.0]
    """
    size = int(max(retain_groups.max(initial=-1), forget_groups.max(initial=-1))) + 1
    stay = np.bincount(retain_groups, minlength=size).astype(np.float64)
    gone = np.bincount(forget_groups, minlength=size).astype(np.float64)
    weights = np.divide(stay + gone, stay, out=np.ones_like(stay), where=stay > 0)
    return weights[retain_groups]


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
    fairness_gap_point: Literal["input", "output"] = "input"
    """Activations before or after the normalisation layer."""
    fairness_gap_by: Literal["class", "group"] = "class"
    """Whether spread is over classes or over groups."""


@dataclass(frozen=True)
class Log:
    """A range to be searched with equal chances for each order of magnitude."""

    low: float
    """Smallest value, above 0."""
    high: float
    """Largest value."""


Search = Mapping[str, Log | tuple[object, ...]]
"""Option to the range or the choices that ``--tune`` draws from."""


Run = Callable[[Classifier, UnlearningData, Any, Runtime], Classifier]


@dataclass(frozen=True)
class Method:
    """One unlearning method as the catalogue lists it."""

    name: str
    """Name on the command line."""
    title: str
    """What it does, in one line."""
    run: Run
    """method(model, data, config, runtime) -> new model; the input model is never changed."""
    config: type[MethodConfig]
    """Typed options with defaults that work."""
    exact: bool
    """True when the result never saw the forget set."""
    needs: frozenset[str]
    """Which of ``retain``, ``forget`` and ``val`` it reads; validation rows that only watch a run are not meant."""
    reference: str
    """Where it is described."""
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
    trains: bool = True
    """Whether it takes steps by the options of training; where it does not, only ``batch_size`` of them has an effect."""

    @property
    def idle(self) -> frozenset[str]:
        """Options that have no effect: those of training, batch size apart, in a method that does not train."""
        return frozenset() if self.trains else frozenset(TrainConfig.model_fields) - {"batch_size"}


methods: Registry[Method] = Registry("method", "grmu_audit.methods")
"""All methods by name."""


def unlearn(method: Method, model: Classifier, data: UnlearningData, config: MethodConfig, runtime: Runtime) -> Classifier:
    """Run a method on a copy of the model, with the restriction to layers and the fairness-gap penalty of its config.

    Raises:
        InputError: the forget set or a set that the method needs is empty, or an option does not fit method or network.
        DivergedError: the method produced a number that is not finite.
        EnvironmentFailure: a pass outside of training steps, which is not split, does not fit into the GPU's memory.
    """
    _require_sets(method, data)
    _require_composable(method, data, config)
    runtime.stage = 0
    student = duplicate(model)
    with restricted(student, config.layers) as held, _penalised(method, model, data, config, runtime):
        try:
            result = method.run(student, data, config, runtime)
        except torch.OutOfMemoryError:
            raise EnvironmentFailure(
                f"out of GPU memory in a pass of method {method.name!r} that is not split: set batch_size below "
                f"{config.batch_size}, free the device, or use --device cpu; nothing was registered"
            ) from None
    if not all(bool(torch.isfinite(value).all()) for value in result.state_dict().values()):
        raise DivergedError(f"method {method.name!r} produced a weight that is not finite; nothing was registered")
    require_unmoved(model, result, held, method.name)
    return release(result)


def _require_sets(method: Method, data: UnlearningData) -> None:
    if not len(data.forget):
        raise InputError("the forget set is empty: there is nothing to unlearn")
    if "retain" in method.needs and not len(data.retain):
        raise InputError(f"method {method.name!r} needs retain data, and the request leaves none")
    if "val" in method.needs and not len(data.val):
        raise InputError(f"method {method.name!r} needs held-out rows, and the dataset has no validation split")


def _require_composable(method: Method, data: UnlearningData, config: MethodConfig) -> None:
    if data.retain_weights is not None and "retain" not in method.needs:
        raise InputError(f"method {method.name!r} reads no retain data, which is what REWEIGHT samples: leave REWEIGHT off")
    if method.exact and config.layers != ALL:
        raise InputError(f"method {method.name!r} is exact: it takes fresh weights in every layer, so layers must be 'all'")
    if method.exact and config.fairness_gap_weight:
        raise InputError(f"method {method.name!r} is exact: a penalty towards the original model would end that")
    if config.fairness_gap_weight and not len(data.retain):
        raise InputError("fairness_gap_weight: the penalty is measured on retain data, and the request leaves none")


@contextmanager
def _penalised(method: Method, model: Classifier, data: UnlearningData, config: MethodConfig, runtime: Runtime) -> Iterator[None]:
    """Add the fairness-gap penalty to every step while the context lasts, where the config asks for it.

    Raises:
        InputError: the method took no step that the penalty could act on.
    """
    if not config.fairness_gap_weight:
        yield
        return
    layers = choose_layers(model, config.fairness_gap_layers)
    definition = GapDefinition(config.fairness_gap_stat, config.fairness_gap_point, config.fairness_gap_by)
    retain = torch.zeros(len(data.source.target), dtype=torch.bool, device=data.source.device)
    retain[torch.from_numpy(data.retain).to(data.source.device)] = True
    penalty = FairnessGapPenalty(frozen(model), config.fairness_gap_weight, layers, definition, retain, runtime)
    if "retain" not in method.needs:
        penalty.own = lambda epoch: _gap_pass(data, config, runtime, epoch)
    runtime.term = penalty
    try:
        yield
    finally:
        runtime.term = None
    if not runtime.facts.get("fairness_gap_steps"):
        raise InputError(
            f"fairness_gap_weight: method {method.name!r} takes no gradient step on retain samples that it could act on"
        )


def _gap_pass(data: UnlearningData, config: MethodConfig, runtime: Runtime, epoch: int) -> Phase:
    """One pass over the retain set whose loss is the penalty alone."""
    generator = runtime.generator("fairness gap", epoch)
    return Phase(
        "fairness_gap",
        lambda: data.retain_batches(config.batch_size, generator, augment=config.augment),
        lambda batch: torch.zeros((), device=batch.pixels.device),
        data.retain_steps(config.batch_size),
    )


def duplicate(model: Classifier) -> Classifier:
    """A deep copy: no parameter or buffer is shared."""
    return copy.deepcopy(model)


def frozen(model: Classifier) -> Classifier:
    """A deep copy in eval mode whose parameters take no gradient: a teacher that cannot move."""
    teacher = duplicate(model).eval()
    for parameter in teacher.parameters():
        parameter.requires_grad_(False)
    return teacher
