"""Applies a method to a model: copy, layers, penalty, checks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from grmu_audit.errors import DivergedError, EnvironmentFailure, InputError
from grmu_audit.models.classifier import Classifier, copy_model, frozen_copy
from grmu_audit.models.normalisation import GapDefinition, choose_layers
from grmu_audit.training.loop import all_finite
from grmu_audit.training.plan import Phase
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.data import UnlearningData
from grmu_audit.unlearning.fairness_gap import FairnessGapPenalty
from grmu_audit.unlearning.layers import ALL, require_unchanged, train_only, unfreeze
from grmu_audit.unlearning.method import Method, MethodConfig


def apply_method(method: Method, model: Classifier, data: UnlearningData, config: MethodConfig, runtime: Runtime) -> Classifier:
    """Run a method on a copy of the model, with the restriction to layers and the fairness-gap penalty of its config.

    Raises:
        InputError: the forget set or a set that the method needs is empty, or an option does not fit method or network.
        DivergedError: the method produced a number that is not finite.
        EnvironmentFailure: a pass outside of training steps, which is not split, does not fit into the GPU's memory.
    """
    _require_sets(method, data)
    _require_composable(method, data, config)
    runtime.stage = 0
    student = copy_model(model)
    with train_only(student, config.layers) as held, _penalised(method, model, data, config, runtime):
        try:
            result = method.run(student, data, config, runtime)
        except torch.OutOfMemoryError:
            raise EnvironmentFailure(
                f"out of GPU memory in a pass of method {method.name!r} that is not split: set batch_size below "
                f"{config.batch_size}, free the device, or use --device cpu; nothing was registered"
            ) from None
    if not all_finite(result):
        raise DivergedError(f"method {method.name!r} produced a weight that is not finite; nothing was registered")
    require_unchanged(model, result, held, method.name)
    return unfreeze(result)


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
    """Add the fairness-gap penalty to every step while the context lasts, where the config requests it.

    Raises:
        InputError: the method took no step that the penalty could act on.
    """
    if not config.fairness_gap_weight:
        yield
        return
    layers = choose_layers(model, config.fairness_gap_layers)
    definition = GapDefinition(config.fairness_gap_stat, config.fairness_gap_point, config.fairness_gap_by)
    retain = data.mask_of(data.retain)
    penalty = FairnessGapPenalty(frozen_copy(model), config.fairness_gap_weight, layers, definition, retain, runtime)
    if "retain" not in method.needs:
        penalty.own = lambda epoch: _gap_pass(data, config, runtime, epoch)
    runtime.term = penalty
    try:
        yield
    finally:
        runtime.term = None
    if not runtime.notes.get("fairness_gap_steps"):
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
