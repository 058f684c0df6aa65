"""AMUN: fine-tune on adversarial neighbours of the forget set, so that the boundary moves only there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from pydantic import Field
from torch.nn import functional

from grmu_audit.data.batches import Batch
from grmu_audit.models.adversarial import pgd_l2
from grmu_audit.models.classifier import Classifier, frozen_copy
from grmu_audit.training.loop import run_epochs
from grmu_audit.training.plan import Hooks, Phase
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.blocks.passes import retain_pass
from grmu_audit.unlearning.data import UnlearningData
from grmu_audit.unlearning.method import Method, MethodConfig, register


class AmunConfig(MethodConfig):
    """The search for neighbours, and the fine-tuning."""

    epochs: int = Field(10, ge=1, le=100_000)
    """Passes over the retain set with the neighbours beside it."""
    learning_rate: float = Field(0.02, gt=0, allow_inf_nan=False)
    """Peak learning rate."""
    radius: float = Field(0.04, gt=0, allow_inf_nan=False)
    """First L2 radius of the search in pixel units (tables: standard deviations); doubled until the label changes."""
    doublings: int = Field(9, ge=0, le=20)
    """Most doublings; a sample whose label never changes gets no neighbour."""
    attack_steps: int = Field(50, ge=1)
    """Steps of the search at each radius."""
    with_forget: bool = True
    """Whether the forget samples themselves are trained on too, with their true labels: the boundary then moves between
    each of them and its neighbour."""
    as_published: bool = False
    """Forget samples and neighbours in training mode, so that running statistics see them."""


def amun(model: Classifier, data: UnlearningData, config: AmunConfig, runtime: Runtime) -> Classifier:
    """Minimise CE over D_r, D_A and D_f with its true labels.

    D_A holds for each forget sample the adversarial example that the trained network gets wrong within the smallest of
    the radii radius 2^k (L2, projected gradient, step radius / 10), labelled as the network sees it.  Running statistics
    see retain samples only, unless ``as_published``.
    """
    beside = neighbours(frozen_copy(model), data, config, runtime)
    runtime.notes["forget_samples_without_neighbour"] = beside.failed
    is_forget = data.mask_of(data.forget)

    def together(batch: Batch) -> torch.Tensor:
        """Mean cross-entropy over retain samples and this step's neighbours."""
        return joint_loss(model, batch, is_forget[batch.rows], mixed=config.as_published)

    def plan(epoch: int) -> list[Phase]:
        """One retain pass, the neighbours spread over its batches."""
        phase = retain_pass(data, config, runtime, epoch, together)
        order = torch.randperm(len(beside.batch.rows), generator=runtime.generator("neighbours", epoch))
        return [replace(phase, batches=lambda: spread(phase, beside.batch, order))]

    return run_epochs(model, plan, config, runtime, Hooks(validate=data.validator(runtime)))


def spread(phase: Phase, extra: Batch, order: torch.Tensor) -> Iterator[Batch]:
    """The batches of a pass, each followed by its part of the extra samples.

    Args:
        phase: n batches.
        extra: [k] samples.
        order: [k] permutation of them; batch i gets the entries i, i + n, i + 2 n and so on.
    """
    for number, batch in enumerate(phase.batches()):
        piece = order[number :: phase.steps].to(extra.rows.device)
        yield join_batches([batch, Batch(extra.pixels[piece], extra.target[piece], extra.group[piece], extra.rows[piece])])


def joint_loss(model: Classifier, batch: Batch, extra: torch.Tensor, *, mixed: bool) -> torch.Tensor:
    """Mean cross-entropy over a batch of retain samples and extra samples.

    With ``mixed`` all go through the network as one batch in training mode; otherwise the extra samples go through in
    eval mode, so that running statistics do not see them.

    Args:
        model: the student.
        batch: [b] samples, the extra ones last.
        extra: [b] True for the extra samples.
        mixed: see above.
    """
    if mixed or not bool(extra.any()):
        return functional.cross_entropy(model.train()(batch.pixels), batch.target)
    retained = int((~extra).sum())
    total = torch.zeros((), device=batch.pixels.device)
    if retained:
        model.train(retained > 1)
        total = functional.cross_entropy(model(batch.pixels[:retained]), batch.target[:retained], reduction="sum")
    beside = functional.cross_entropy(model.eval()(batch.pixels[retained:]), batch.target[retained:], reduction="sum")
    return (total + beside) / len(batch.target)


@dataclass(frozen=True)
class Neighbours:
    """Samples that are trained on beside the retain set."""

    batch: Batch
    """[k] samples with the labels to fit; ``rows`` and ``group`` are those of the forget sample that each belongs to."""
    failed: int
    """Forget samples whose label no radius changed."""


def neighbours(original: Classifier, data: UnlearningData, config: AmunConfig, runtime: Runtime) -> Neighbours:
    """Adversarial neighbours of all forget samples, and the samples themselves where the config requests them."""
    found, failed = [], 0
    for batch in data.source.batches(data.forget, config.batch_size):
        moved, label, changed = search(original, batch, config, runtime)
        failed += int((~changed).sum())
        found.append(Batch(moved[changed], label[changed], batch.group[changed], batch.rows[changed]))
        if config.with_forget:
            found.append(batch)
    return Neighbours(join_batches(found), failed)


def join_batches(batches: Sequence[Batch]) -> Batch:
    """All samples of the batches as one."""
    return Batch(
        torch.cat([batch.pixels for batch in batches]),
        torch.cat([batch.target for batch in batches]),
        torch.cat([batch.group for batch in batches]),
        torch.cat([batch.rows for batch in batches]),
    )


def search(
    original: Classifier, batch: Batch, config: AmunConfig, runtime: Runtime
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Adversarial examples by doubling the radius.

    Returns:
        [b, c, h, w] examples, [b] the original's label of them, and [b] whether it differs from the true one.
    """
    found = batch.pixels.clone()
    label = original(found).argmax(1)
    changed = label != batch.target
    radius = torch.full((len(found),), config.radius, device=found.device)
    for _ in range(config.doublings + 1):
        open_ = torch.nonzero(~changed).flatten()
        if not len(open_):
            break
        moved = pgd_l2(original, batch.pixels[open_], batch.target[open_], radius[open_], config.attack_steps)
        runtime.sample_gradients += len(open_) * config.attack_steps
        found[open_] = moved
        label[open_] = original(moved).argmax(1)
        changed = label != batch.target
        radius = radius * 2.0
    return found, label, changed


register(
    Method(
        name="amun",
        title="fine-tuning on adversarial neighbours of the forget set and on the retain set",
        run=amun,
        config=AmunConfig,
        needs=frozenset({"retain", "forget"}),
        reference="AMUN, ICML 2025",
        cost="E (R + 2 F) + 50 to 500 F for the search",
    )
)
