"""Bad teaching: learn the forget set from a network that knows nothing, the rest from the original."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional

from grmu_audit.data.batches import Batch
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.loop import run_epochs, steps_of
from grmu_audit.training.plan import Hooks, Phase
from grmu_audit.training.runtime import Runtime, derive_seed, move_to
from grmu_audit.unlearning.blocks.passes import forward_frozen_batchnorm, soft_kl, train_on_forget
from grmu_audit.unlearning.blocks.teacher import Teacher
from grmu_audit.unlearning.data import Rows, UnlearningData
from grmu_audit.unlearning.method import Method, MethodConfig, register


class BadTeacherConfig(MethodConfig):
    """The mix of samples and the distillation."""

    epochs: int = Field(5, ge=1, le=100_000)
    """Passes over the mix."""
    optimizer: Literal["sgd", "adam", "adamw"] = "adam"
    """Adam, as published."""
    learning_rate: float = Field(1e-4, gt=0, allow_inf_nan=False)
    """Peak learning rate."""
    weight_decay: float = Field(0.0, ge=0, allow_inf_nan=False)
    """L2 penalty."""
    retain_share: float = Field(0.3, gt=0, le=1)
    """Share of the retain set in the mix, sampled once, by REWEIGHT where it is on."""
    as_published: bool = False
    """Average the distance over classes too, which weakens it by their number, and distil in training mode."""


def bad_teacher(model: Classifier, data: UnlearningData, config: BadTeacherConfig, runtime: Runtime) -> Classifier:
    """Minimise KL(q || student) over D_f and a part of D_r: q = a random network's output on D_f, the original's on D_r.

    Distance at temperature 1, summed over classes, averaged over samples; one shuffled pass over the mix per epoch, in
    training mode with frozen running statistics, which stay those of the original.  The random network and the part have
    seeds of their own.
    """
    random = build(model.spec, derive_seed(runtime.seed, "bad teacher"))
    move_to(random, runtime.device)
    rows = np.concatenate([data.forget, retain_subset(data, config.retain_share, runtime)])
    good, bad = (Teacher(network, data, rows, config, runtime) for network in (model, random))
    is_forget = data.mask_of(data.forget)

    def imitate(batch: Batch) -> torch.Tensor:
        """Distance to the teacher of each sample."""
        target = torch.where(is_forget[batch.rows][:, None], bad(batch), good(batch))
        logits = forward_frozen_batchnorm(model, batch.pixels, published=config.as_published)
        distance = soft_kl(functional.softmax(target, 1), logits)
        return distance / model.spec.classes if config.as_published else distance

    def plan(epoch: int) -> list[Phase]:
        """One pass over the mix."""
        order = runtime.generator("mix", epoch)
        return [
            Phase(
                "mix",
                lambda: data.source.batches(rows, config.batch_size, order, augment=config.augment),
                imitate,
                steps_of(rows, config.batch_size),
            )
        ]

    return run_epochs(model, plan, config, runtime, Hooks(validate=data.validator(runtime)))


def retain_subset(data: UnlearningData, share: float, runtime: Runtime) -> Rows:
    """round(share |D_r|) retain rows without repetition, at least one, by the sampling weights where there are any."""
    count = max(1, round(share * len(data.retain)))
    weights = torch.ones(len(data.retain), dtype=torch.float64)
    if data.retain_weights is not None:
        weights = torch.from_numpy(data.retain_weights)
    chosen = torch.multinomial(weights, count, replacement=False, generator=runtime.generator("part of retain"))
    rows: Rows = data.retain[chosen.numpy()]
    return rows


register(
    Method(
        name="bad_teacher",
        title="a random network teaches the forget set, the original a part of the retain set",
        run=bad_teacher,
        config=BadTeacherConfig,
        needs=frozenset({"retain", "forget"}),
        reference="Chundawat et al. 2023, Can Bad Teaching Induce Forgetting?",
        cost="E (0.3 R + F), and twice as many forward passes of the teachers",
        moves_statistics=frozenset(),
    )
)


class DeleteConfig(MethodConfig):
    """The distillation."""

    epochs: int = Field(10, ge=1, le=100_000)
    """Passes over the forget set."""
    learning_rate: float = Field(3e-5, gt=0, allow_inf_nan=False)
    """Peak learning rate; there is no retain pass that would repair a rate too high."""
    weight_decay: float = Field(0.0, ge=0, allow_inf_nan=False)
    """None: the distillation is the only force."""
    augment: bool = False
    """Distil the samples as they are."""


def delete(model: Classifier, data: UnlearningData, config: DeleteConfig, runtime: Runtime) -> Classifier:
    """Minimise KL(q || p_theta) over D_f, q = softmax of the original's logits without the true class.

    Made for whole classes; with two classes q is the other class for certain.  Running statistics are frozen.
    """
    original = Teacher(model, data, data.forget, config, runtime)

    def distil(batch: Batch) -> torch.Tensor:
        """Distance to the original without the true class."""
        return soft_kl(without_class(original(batch), batch.target), model.eval()(batch.pixels))

    return train_on_forget(model, data, config, runtime, distil)


def without_class(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """[b, c] probabilities of [b, c] logits after the true class is taken out; each row sums to 1.

    >>> without_class(torch.tensor([[5.0, 0.0, 0.0]]), torch.tensor([0])).tolist()
    [[0.0, 0.5, 0.5]]
    """
    return functional.softmax(logits.float().scatter(1, target[:, None], -torch.inf), 1)


register(
    Method(
        name="delete",
        title="forget samples keep the original's probabilities of all classes but their own",
        run=delete,
        config=DeleteConfig,
        needs=frozenset({"forget"}),
        reference="Zhou et al. 2025, Decoupled Distillation to Erase (DELETE)",
        cost="E F",
        moves_statistics=frozenset(),
    )
)
