"""SCRUB: stay near the teacher on the retain set, move away from it on the forget set; optionally rewind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional

from grmu_audit.data.batches import Batch
from grmu_audit.errors import InputError
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.inference import accuracy
from grmu_audit.training.loop import run_epochs
from grmu_audit.training.plan import Hooks, Phase
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.blocks.passes import distillation, forget_logits, forget_pass, forget_width, retain_pass
from grmu_audit.unlearning.blocks.teacher import Teacher
from grmu_audit.unlearning.data import Rows, UnlearningData
from grmu_audit.unlearning.method import ForgetPassConfig, LogRange, Method, register


class ScrubConfig(ForgetPassConfig):
    """The two passes, their weights, and rewinding."""

    epochs: int = Field(10, ge=1, le=100_000)
    """E: retain passes."""
    learning_rate: float = Field(0.01, gt=0, allow_inf_nan=False)
    """Peak learning rate."""
    forget_epochs: int = Field(3, ge=0)
    """M: the first M epochs begin with a forget pass."""
    gamma: float = Field(0.99, ge=0, allow_inf_nan=False)
    """Weight of the cross-entropy on the retain set."""
    alpha: float = Field(0.1, ge=0, allow_inf_nan=False)
    """Weight of the distance to the teacher on the retain set."""
    temperature: float = Field(4.0, gt=0, allow_inf_nan=False)
    """T of both distances."""
    retain_batch_size: int | None = Field(None, ge=2)
    """Samples per step of the retain passes, where they are not those of the forget passes (``batch_size``)."""
    rewind: bool = False
    """Return the epoch whose forget-set error is nearest to that of validation samples of the same groups."""
    as_published: bool = False
    """Forget passes in training mode, and rewinding by validation samples of the same classes instead of groups."""


def scrub(model: Classifier, data: UnlearningData, config: ScrubConfig, runtime: Runtime) -> Classifier:
    """Epochs 1 to M: minimise -KL_T(teacher || student) over D_f; every epoch: gamma CE + alpha KL_T over D_r.

    KL_T(a || b) = T^2 KL(softmax(a / T) || softmax(b / T)), summed over classes, averaged over the batch.  The teacher
    is a frozen copy of the trained network in eval mode; the student's running statistics rest while it passes
    over D_f (``forget_statistics``).  With ``rewind`` (SCRUB+R)
    the original and every epoch are stored, the error of the last one on held-out samples like those to forget is the
    target, and the one whose error on the forget set is nearest to it is returned.

    Raises:
        InputError: rewinding without validation samples of the forget set's groups.
    """
    teacher = Teacher(model, data, np.concatenate([data.retain, data.forget]), config, runtime)
    rewind = Rewind(model, data, config.as_published, runtime) if config.rewind else None
    on_retain = config.model_copy(update={"batch_size": config.retain_batch_size or config.batch_size})

    def forget(epoch: int) -> Phase:
        """Away from the teacher."""
        logits = forget_logits(model, data, config, runtime, epoch)
        loss = lambda batch: -distillation(teacher(batch), logits(batch.pixels), config.temperature)  # noqa: E731
        return replace(forget_pass(data, config, runtime, epoch, loss), width=forget_width(model, config))

    def retain_loss(batch: Batch) -> torch.Tensor:
        """Right labels, near the teacher."""
        logits = model(batch.pixels)
        near = distillation(teacher(batch), logits, config.temperature)
        return config.gamma * functional.cross_entropy(logits, batch.target) + config.alpha * near

    def plan(epoch: int) -> list[Phase]:
        """Forget pass in the first epochs, then retain pass."""
        first = [forget(epoch)] if epoch < config.forget_epochs else []
        return [*first, retain_pass(data, on_retain, runtime, epoch, retain_loss)]

    run_epochs(
        model,
        plan,
        config,
        runtime,
        Hooks(
            validate=data.validator(runtime),
            state=rewind,
            after_epoch=(lambda epoch: rewind.store(epoch + 1)) if rewind else None,
        ),
    )
    return rewind.apply() if rewind else model


class Rewind:
    """Keeps every epoch and finds the one that forgot as much as unseen samples suggest, and no more.

    Args:
        model: the student; its state now is number 0, the original.
        data: forget rows, and validation rows to take the target from.
        by_class: target from validation samples of the same classes; otherwise of the same groups.
        runtime: for the passes over the rows.

    Raises:
        InputError: there are no such validation samples.
    """

    def __init__(self, model: Classifier, data: UnlearningData, by_class: bool, runtime: Runtime) -> None:
        self.model, self.data, self.runtime = model, data, runtime
        self.like = same_distribution(data, by_class)
        self.states: dict[int, dict[str, torch.Tensor]] = {}
        self.store(0)

    def store(self, number: int) -> None:
        """Remember the student as it is now."""
        self.states[number] = {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def state_dict(self) -> dict[str, torch.Tensor]:
        """All stored states, for a checkpoint."""
        return {f"{number}.{name}": value for number, state in self.states.items() for name, value in state.items()}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Continue from a checkpoint."""
        self.states = {}
        for key, value in state.items():
            number, _, name = key.partition(".")
            self.states.setdefault(int(number), {})[name] = value.to(self.data.source.device)

    def apply(self) -> Classifier:
        """Put the nearest state into the student; ties go to the earlier one."""
        self.model.load_state_dict(self.states[max(self.states)])
        target = 1.0 - accuracy(self.model, self.data.source, self.like, self.runtime)
        errors = {}
        for number, state in self.states.items():
            self.model.load_state_dict(state)
            errors[number] = 1.0 - accuracy(self.model, self.data.source, self.data.forget, self.runtime)
        chosen = nearest(errors, target)
        self.model.load_state_dict(self.states[chosen])
        self.runtime.notes["rewound_to_epoch"] = chosen
        self.runtime.notes["rewind_target_error"] = target
        return self.model.eval()


def nearest(errors: Mapping[int, float], target: float) -> int:
    """The number whose error is nearest to the target, the smaller one on a tie.

    >>> nearest({0: 0.0, 1: 0.25, 2: 0.5}, 0.3)
    1
    """
    return min(errors, key=lambda number: (abs(errors[number] - target), number))


def same_distribution(data: UnlearningData, by_class: bool) -> Rows:
    """Validation rows of the classes or groups that the forget set has.

    Raises:
        InputError: there are none.
    """
    key = data.source.target.cpu().numpy() if by_class else data.source.group.cpu().numpy()
    rows: Rows = data.val[np.isin(key[data.val], key[data.forget])]
    if not len(rows):
        kind = "classes" if by_class else "groups"
        raise InputError(f"scrub with rewind: the validation split has no sample of the forget set's {kind}: switch rewind off")
    return rows


register(
    Method(
        name="scrub",
        title="away from the teacher on the forget set, near it on the retain set; optionally rewound",
        run=scrub,
        config=ScrubConfig,
        needs=frozenset({"retain", "forget"}),
        reference="Kurmanji et al. 2023, Towards Unbounded Machine Unlearning (SCRUB, SCRUB+R)",
        cost="E R + M F, and as many forward passes of the teacher (R + F where nothing is augmented)",
        search={"alpha": LogRange(0.01, 1.0), "forget_epochs": (1, 2, 3, 5)},
    )
)
