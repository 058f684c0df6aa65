"""The protocol of an unlearning method, and what it may see."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from grmu_audit.data.source import Batch, BatchSource
from grmu_audit.errors import InputError
from grmu_audit.models.classifier import Classifier
from grmu_audit.plugins import Registry
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.loop import accuracy, steps_of
from grmu_audit.training.runtime import Runtime

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
    reweight_default: bool = False
    """Whether REWEIGHT is on unless it is switched off."""


methods: Registry[Method] = Registry("method", "grmu_audit.methods")
"""All methods by name."""


def unlearn(method: Method, model: Classifier, data: UnlearningData, config: MethodConfig, runtime: Runtime) -> Classifier:
    """Run a method on a copy of the model.

    Raises:
        InputError: the forget set or a set that the method needs is empty.
        DivergedError: the method produced a number that is not finite.
    """
    if not len(data.forget):
        raise InputError("the forget set is empty: there is nothing to unlearn")
    if "retain" in method.needs and not len(data.retain):
        raise InputError(f"method {method.name!r} needs retain data, and the request leaves none")
    if "val" in method.needs and not len(data.val):
        raise InputError(f"method {method.name!r} needs held-out rows, and the dataset has no validation split")
    return method.run(duplicate(model), data, config, runtime)


def duplicate(model: Classifier) -> Classifier:
    """A deep copy: no parameter or buffer is shared."""
    return copy.deepcopy(model)


def frozen(model: Classifier) -> Classifier:
    """A deep copy in eval mode whose parameters take no gradient: a teacher that cannot move."""
    teacher = duplicate(model).eval()
    for parameter in teacher.parameters():
        parameter.requires_grad_(False)
    return teacher
