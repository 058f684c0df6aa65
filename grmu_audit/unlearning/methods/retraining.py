"""Back to the start of training, then training on the retain set: whole (exact), in the last stages, or part of the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal

import torch
from pydantic import Field

from grmu_audit.errors import InputError
from grmu_audit.models.catalog import reinitialised
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.fit import TrainingRows, fit
from grmu_audit.training.loop import run_epochs
from grmu_audit.training.plan import Hooks, Loss, Phase
from grmu_audit.training.runtime import Runtime, derive_seed, move_to
from grmu_audit.unlearning.blocks.group_dro import GroupDro, balanced, worst_group_accuracy
from grmu_audit.unlearning.blocks.passes import cross_entropy_loss, fine_tune_on_retain
from grmu_audit.unlearning.data import UnlearningData
from grmu_audit.unlearning.layers import last_stages, train_only
from grmu_audit.unlearning.method import Method, MethodConfig, register


class RetrainConfig(MethodConfig):
    """The training recipe, on the retain set."""

    keep_best: bool = True
    """As in pretraining: the best validation epoch."""
    keep_best_by: Literal["average", "worst_group"] = "average"
    """Validation accuracy that the best epoch is chosen by."""
    group_dro: bool = False
    """Minimise the loss of the groups that are served worst (Group-DRO) instead of the mean."""
    dro_step_size: float = Field(0.01, gt=0, allow_inf_nan=False)
    """eta: step size of the group weights."""
    dro_adjustment: float = Field(0.0, ge=0, allow_inf_nan=False)
    """C: generalisation adjustment C / sqrt(n_g)."""
    dro_balanced: bool = True
    """Draw every group equally often with Group-DRO; REWEIGHT sampling takes its place where it is on."""


def retrain(model: Classifier, data: UnlearningData, config: RetrainConfig, runtime: Runtime) -> Classifier:
    """Fresh weights in every layer, full recipe on D_r: mean cross-entropy, or Group-DRO's worst groups.

    Where pretraining started from given weights, this training starts from them again.  Of the model only the architecture
    and the start weights are read, of the data never the forget set; the initialisation is sampled from ``runtime.seed``.

    Raises:
        InputError: pretraining started from weights that are not at hand.
    """
    start = reinitialised(model, derive_seed(runtime.seed, "init"))
    move_to(start, runtime.device)
    if not config.group_dro and config.keep_best_by == "average":
        return fit(start, data.source, TrainingRows(data.retain, data.val, data.retain_weights), config, runtime)
    return fit_group_wise(start, data, config, runtime)


def fit_group_wise(start: Classifier, data: UnlearningData, config: RetrainConfig, runtime: Runtime) -> Classifier:
    """Train on the retain set with Group-DRO, or with the epoch chosen by the worst group.

    Args:
        start: where training starts from, changed in place.
        data: its retain set is what is learned.
        config: the recipe.
        runtime: device, seed, notes.

    Raises:
        InputError: Group-DRO on several processes.
    """
    counts = torch.bincount(torch.from_numpy(data.groups_of(data.retain)), minlength=data.source.groups)
    if config.group_dro and runtime.world.size > 1:
        raise InputError("group_dro: the weights of the groups follow whole batches, so that it runs on one process only")
    dro = GroupDro(counts.to(runtime.device), config.dro_step_size, config.dro_adjustment) if config.group_dro else None
    weights = data.retain_weights
    if weights is None and config.group_dro and config.dro_balanced:
        weights = balanced(data.groups_of(data.retain))
    loss: Loss = cross_entropy_loss(start) if dro is None else partial(dro, start)

    def plan(epoch: int) -> list[Phase]:
        """One pass over the retain set."""
        order = runtime.generator("train", epoch)
        return [
            Phase(
                "train",
                lambda: data.source.batches(data.retain, config.batch_size, order, weights=weights, augment=config.augment),
                loss,
                data.retain_steps(config.batch_size),
            )
        ]

    chosen = config.keep_best and len(data.val) > 0
    runtime.notes["epoch_kept_by"] = f"{config.keep_best_by} validation accuracy" if chosen else "last"
    result = run_epochs(start, plan, config, runtime, Hooks(validate=_validator(data, config, runtime), state=dro))
    if dro is not None:
        runtime.notes["group_weights"] = [round(float(q), 6) for q in dro.q]
    return result


def _validator(data: UnlearningData, config: RetrainConfig, runtime: Runtime) -> Callable[[Classifier], float] | None:
    if config.keep_best_by == "average" or not len(data.val):
        return data.validator(runtime)
    return lambda model: worst_group_accuracy(model, data, runtime)


register(
    Method(
        name="retrain",
        title="train again from fresh weights without the forget set",
        run=retrain,
        config=RetrainConfig,
        exact=True,
        needs=frozenset({"retain"}),
        reference="by definition; REWEIGHT: De Min et al., Group-robust Machine Unlearning; Group-DRO: Sagawa et al. 2020",
        cost="E R",
    )
)


class EuKConfig(MethodConfig):
    """Number of trained stages, and their training options."""

    last: int = Field(2, ge=1)
    """k: how many of the last stages move, the head among them."""
    epochs: int = Field(15, ge=1, le=100_000)
    """Passes over the retain set."""
    learning_rate: float = Field(0.05, gt=0, allow_inf_nan=False)
    """Peak learning rate, that of training."""


def eu_k(model: Classifier, data: UnlearningData, config: EuKConfig, runtime: Runtime) -> Classifier:
    """Give the last k stages what pretraining started with (reinitialised, or start weights), then minimise CE on D_r over them.

    Every parameter and running statistic of the k stages is reinitialised, in nested layers too; the head is among
    them.  The other stages are frozen, their running statistics too, and still know the forget set: the method is not exact.

    Raises:
        InputError: the network has fewer than k stages.
    """
    with train_only(model, str(config.last)):
        reset(model, config.last, derive_seed(runtime.seed, "init"))
        return fine_tune_on_retain(model, data, config, runtime)


def reset(model: Classifier, last: int, seed: int) -> None:
    """Give the last stages, in place, what the architecture starts with; frozen modules are not changed."""
    inside = {id(module) for stage in last_stages(model, last) for root in stage.modules for module in root.modules()}
    with torch.no_grad():
        for module, value, initial in _with_start(model, seed):
            if id(module) in inside:
                value.copy_(initial)


def _with_start(model: Classifier, seed: int) -> Iterator[tuple[torch.nn.Module, torch.Tensor, torch.Tensor]]:
    """Parameters and running statistics of modules that are not frozen, each once, with what the architecture starts with."""
    start, seen = reinitialised(model, seed).state_dict(), set[int]()
    for path, module in model.named_modules():
        own = dict(module.named_parameters(recurse=False))
        if all(parameter.requires_grad for parameter in own.values()):
            for name, value in (*own.items(), *module.named_buffers(recurse=False)):
                key = f"{path}.{name}" if path else name
                if key in start and id(value) not in seen:  # tied weights have several names
                    seen.add(id(value))
                    yield module, value, start[key]


register(
    Method(
        name="eu_k",
        title="the last k stages trained again from fresh weights",
        run=eu_k,
        config=EuKConfig,
        needs=frozenset({"retain"}),
        reference="Goel et al. 2022 (arXiv 2201.06640)",
        cost="E R, backward through k stages only",
    )
)


class ShrinkConfig(MethodConfig):
    """How far the weights go back, and the training after it."""

    keep: float = Field(0.25, ge=0, lt=1, allow_inf_nan=False)
    """Share of what training changed in every weight that is kept."""
    start_seed: int | None = Field(None, ge=0)
    """Seed of the training that the model comes from, which its start weights follow from; None: the run's own seed."""
    epochs: int = Field(10, ge=1, le=100_000)
    """Passes over the retain set."""
    learning_rate: float = Field(0.05, gt=0, allow_inf_nan=False)
    """Peak learning rate, that of training."""


def shrink(model: Classifier, data: UnlearningData, config: ShrinkConfig, runtime: Runtime) -> Classifier:
    """Move every weight back towards the start of training, theta <- theta_0 + keep (theta - theta_0), then minimise CE on D_r.

    theta_0 are the weights that the model's training started from (``start_seed``, or stored start weights); running statistics
    go back too.  On the way back a network loses more of what it memorised of single samples than of what it learned of the
    task, so that it needs fewer passes than retraining.  Where the start is not known, as for a model that was trained
    elsewhere, fresh random weights take its place, which costs more of what it learned.

    Raises:
        InputError: pretraining started from weights that are not at hand.
    """
    seed = runtime.seed if config.start_seed is None else config.start_seed
    frozen = not all(parameter.requires_grad for parameter in model.parameters())
    with torch.no_grad():
        for module, value, start in _with_start(model, derive_seed(seed, "init")):
            own = next(module.parameters(recurse=False), None) is not None  # else nothing says whether it may move
            if value.is_floating_point() and (own or not frozen):
                value.lerp_(start.to(value), 1 - config.keep)
    return fine_tune_on_retain(model, data, config, runtime)


register(
    Method(
        name="shrink",
        title="every weight moved back towards the start of training, then training on the retain set",
        run=shrink,
        config=ShrinkConfig,
        needs=frozenset({"retain"}),
        reference="this project; after Ash and Adams 2020, On Warm-Starting Neural Network Training (shrink and perturb)",
        cost="E R",
        reweight_default=True,
        search={"keep": (0.1, 0.25, 0.4, 0.6)},
        gentler=("keep", (0.6, 0.9)),
    )
)
