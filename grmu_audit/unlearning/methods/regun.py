"""ReGUn: make the forget set look like held-out samples of the same group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch.nn import functional

from grmu_audit.data.batches import Batch
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.inference import infer
from grmu_audit.training.loop import repeat_batches, run_epochs
from grmu_audit.training.plan import Hooks, Phase
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.blocks.passes import forget_logits, forget_pass, soft_kl
from grmu_audit.unlearning.data import Rows, UnlearningData
from grmu_audit.unlearning.method import ForgetPassConfig, Method, register


class RegunConfig(ForgetPassConfig):
    """Whom a forget sample is to look like, and the recipe."""

    epochs: int = Field(60, ge=1, le=100_000)
    """Passes over the forget set, each beside as many retain samples; a small forget set needs many."""
    learning_rate: float = Field(0.01, gt=0, allow_inf_nan=False)
    """Peak learning rate."""
    weight_decay: float = Field(0.0, ge=0, allow_inf_nan=False)
    """L2 penalty."""
    condition: Literal["group", "class", "all"] = "group"
    """Held-out samples that the target of a sample is averaged over: of its group, of its class, or all."""
    held_out_share: float = Field(0.5, gt=0, le=1)
    """Share of the validation rows that targets are computed from; the rest stays unseen for choices by validation."""
    as_published: bool = False
    """One target per batch, averaged over a random held-out batch, and training mode on the forget set."""


def regun(model: Classifier, data: UnlearningData, config: RegunConfig, runtime: Runtime) -> Classifier:
    """Minimise KL(q || p_theta) / 2 over a forget batch + CE / 2 over a retain batch of the same size.

    q of a sample (y, s) = mean softmax of the trained network over held-out samples of the same (y, s); where a group
    has none, of the same class, else of all.  Test rows are never read.

    The gradient of KL(q || p) in the logits is p - q, so that a prediction drawn for each sample pulls like this mean; drawn once
    for each sample, it was tried in five recipes on one seed of PhotoDigits and forgot no more.  Both have the same limit:
    held-out samples are answered by a model that learned their group from the forget set, too, which a retrained model did not.
    """
    held = held_out(data, config.held_out_share, runtime)
    probabilities = functional.softmax(infer(model, data.source, held, runtime), 1)
    table = targets_by_group(probabilities, held, data, config.condition)

    def plan(epoch: int) -> list[Phase]:
        """One forget pass with retain batches beside it."""
        aim = shared_target(probabilities, runtime.generator("held out", epoch)) if config.as_published else by_group(table)
        logits = forget_logits(model, data, config, runtime, epoch)
        retain = repeat_batches(
            lambda turn: data.retain_batches(config.batch_size, runtime.generator("retain", epoch, turn), augment=config.augment)
        )

        def both(batch: Batch) -> torch.Tensor:
            """Towards the held-out prediction, and right on the retain set."""
            other = next(retain)
            size = max(2, len(batch.rows))
            other = Batch(other.pixels[:size], other.target[:size], other.group[:size], other.rows[:size])
            runtime.sample_gradients += len(other.rows)
            model.train()
            retain_loss = functional.cross_entropy(model(other.pixels), other.target)
            forget_loss = soft_kl(aim(batch), logits(batch.pixels))
            held = runtime.term.loss(model, other) if runtime.term is not None else None
            return 0.5 * forget_loss + 0.5 * retain_loss + (0.0 if held is None else held)

        return [forget_pass(data, config, runtime, epoch, both)]

    return run_epochs(model, plan, config, runtime, Hooks(validate=data.validator(runtime)))


def held_out(data: UnlearningData, share: float, runtime: Runtime) -> Rows:
    """round(share |D_v|) validation rows, at least one."""
    order = torch.randperm(len(data.val), generator=runtime.generator("held out rows"))
    rows: Rows = data.val[order[: max(1, round(share * len(data.val)))].numpy()]
    return rows


def targets_by_group(probabilities: torch.Tensor, rows: Rows, data: UnlearningData, condition: str) -> torch.Tensor:
    """[groups, c] mean probabilities for each group code, over held-out rows of the group, of its class, or all.

    Args:
        probabilities: [h, c] of the held-out rows.
        rows: [h] held-out rows.
        data: groups and classes of the rows.
        condition: ``group`` (falls back to the class, then to all), ``class`` (falls back to all) or ``all``.
    """
    index = torch.from_numpy(rows).to(data.source.device)
    group, target = data.source.group[index], data.source.target[index]
    table = []
    for code in range(data.source.groups):
        same = {"group": group == code, "class": target == code // data.source.attributes}
        order = {"group": ("group", "class"), "class": ("class",), "all": ()}[condition]
        found = next((same[name] for name in order if bool(same[name].any())), torch.ones_like(group, dtype=torch.bool))
        table.append(probabilities[found].mean(0))
    return torch.stack(table)


def by_group(table: torch.Tensor) -> Callable[[Batch], torch.Tensor]:
    """Each sample's own target."""
    return lambda batch: table[batch.group]


def shared_target(probabilities: torch.Tensor, generator: torch.Generator) -> Callable[[Batch], torch.Tensor]:
    """One target for a whole batch: the mean over as many random held-out samples."""

    def aim(batch: Batch) -> torch.Tensor:
        """[b, c], all rows alike."""
        chosen = torch.randint(len(probabilities), (len(batch.rows),), generator=generator).to(probabilities.device)
        return probabilities[chosen].mean(0).expand(len(batch.rows), -1)

    return aim


register(
    Method(
        name="regun",
        title="the forget set is trained to look like held-out samples of the same group",
        run=regun,
        config=RegunConfig,
        needs=frozenset({"retain", "forget", "val"}),
        reference="ReGUn (arXiv 2603.11210); targets per sample and group are this project's",
        cost="2 E F",
    )
)
