"""AMUN: fine-tune on adversarial neighbours of the forget set, so that the boundary moves only there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import Field
from torch.nn import functional

from grmu_audit.data.source import Batch
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.loop import Phase, run_epochs
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.adversarial import pgd_l2
from grmu_audit.unlearning.base import Method, MethodConfig, UnlearningData, frozen, methods
from grmu_audit.unlearning.passes import retain_pass


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

    Args:
        model: a copy that is changed.
        data: retain and forget rows.
        config: search and recipe.
        runtime: device and seed.

    Raises:
        DivergedError: see ``run_epochs``.
    """
    beside = neighbours(frozen(model), data, config, runtime)
    runtime.facts["forget_samples_without_neighbour"] = beside.failed

    def plan(epoch: int) -> list[Phase]:
        """One retain pass, the neighbours spread over its batches."""
        order = torch.randperm(len(beside.target), generator=runtime.generator("neighbours", epoch))
        steps = data.retain_steps(config.batch_size)
        pieces = iter([order[number::steps] for number in range(steps)])

        def together(batch: Batch) -> torch.Tensor:
            """Mean cross-entropy over retain samples and this step's neighbours."""
            piece = next(pieces).to(beside.target.device)
            runtime.sample_gradients += len(piece)
            return joint_loss(model, batch, beside.pixels[piece], beside.target[piece], mixed=config.as_published)

        return [retain_pass(data, config, runtime, epoch, together)]

    return run_epochs(model, plan, config, runtime, validate=data.validator(runtime))


def joint_loss(model: Classifier, batch: Batch, pixels: torch.Tensor, target: torch.Tensor, *, mixed: bool) -> torch.Tensor:
    """Mean cross-entropy over a retain batch and extra samples.

    With ``mixed`` both go through the network as one batch in training mode; otherwise the extra samples go through in
    eval mode, so that running statistics do not see them.
    """
    model.train()
    if not len(target):
        return functional.cross_entropy(model(batch.pixels), batch.target)
    if mixed:
        return functional.cross_entropy(model(torch.cat([batch.pixels, pixels])), torch.cat([batch.target, target]))
    stay = functional.cross_entropy(model(batch.pixels), batch.target, reduction="sum")
    beside = functional.cross_entropy(model.eval()(pixels), target, reduction="sum")
    return (stay + beside) / (len(batch.target) + len(target))


@dataclass(frozen=True)
class Neighbours:
    """Samples that are trained on beside the retain set."""

    pixels: torch.Tensor
    """[k, c, h, w] in [0, 1]."""
    target: torch.Tensor
    """[k] labels."""
    failed: int
    """Forget samples whose label no radius changed."""


def neighbours(original: Classifier, data: UnlearningData, config: AmunConfig, runtime: Runtime) -> Neighbours:
    """Adversarial neighbours of all forget samples, and the samples themselves where the config asks for them."""
    pixels, target = [], []
    failed = 0
    for batch in data.source.batches(data.forget, config.batch_size):
        found, label, changed = search(original, batch, config, runtime)
        failed += int((~changed).sum())
        pixels.append(found[changed])
        target.append(label[changed])
        if config.with_forget:
            pixels.append(batch.pixels)
            target.append(batch.target)
    return Neighbours(torch.cat(pixels), torch.cat(target), failed)


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


methods.add(
    "amun",
    Method(
        name="amun",
        title="fine-tuning on adversarial neighbours of the forget set and on the retain set",
        run=amun,
        config=AmunConfig,
        exact=False,
        needs=frozenset({"retain", "forget"}),
        reference="AMUN, ICML 2025",
        cost="E (R + F) + 50 to 500 F for the search",
    ),
)
