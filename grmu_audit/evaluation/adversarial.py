"""Predictions under attack: FGSM, PGD-20 and AutoAttack, in the space of pixels or columns, with parameters frozen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from grmu_audit.data.batches import Batch, BatchSource
from grmu_audit.errors import InputError, NotFoundError
from grmu_audit.models.adversarial import fgsm, input_gradient, inside, unit
from grmu_audit.models.classifier import Classifier
from grmu_audit.models.normalisation import evaluating
from grmu_audit.records.white_box import attack_name
from grmu_audit.training.runtime import Runtime

Ints = npt.NDArray[np.int64]
KINDS = ("FGSM", "PGD", "AA")
BATCH = 256
"""Samples at a time."""
STEPS = 20
"""Steps of PGD."""
STEP_SHARE = 2.5
"""Length of all PGD steps together, in radii (Madry et al. 2018)."""
EXTRA = "grmu-audit[autoattack]"


@dataclass(frozen=True)
class Attack:
    """One kind of attack at several radii."""

    kind: str
    """One of ``KINDS``."""
    radii: Sequence[float]
    """L-infinity radii in (0, 1]: of pixels, or of columns in standard deviations."""


def predict_adversarial(model: Classifier, source: BatchSource, rows: Ints, attack: Attack, runtime: Runtime) -> dict[str, Ints]:
    """Predicted class of each row under an attack at each radius.

    The attack moves each sample away from its true label within an L-infinity ball of pixels, cut to [0, 1], or of columns, in
    standard deviations of each.  ``FGSM``
    is one step.  ``PGD`` starts at a random point, takes 20 steps, and keeps the first misclassified input; a sample
    that fell at a smaller radius has fallen at a larger one, whose ball holds that point.  ``AA`` is AutoAttack.

    Args:
        model: on the source's device; parameters take no gradient while attacked, modes come back as they were.
        source: the data.
        rows: [n] rows.
        attack: kind and radii.
        runtime: seed of the starting points.

    Returns:
        ``attack_name`` to [n] class indices.

    Raises:
        InputError: another kind, or a radius outside (0, 1].
        NotFoundError: AutoAttack's library is not installed.
    """
    kind, radii = attack.kind, sorted(attack.radii)
    if kind not in KINDS or not all(0 < radius <= 1 for radius in radii):
        raise InputError(f"attack {kind} at {radii}: known are {', '.join(KINDS)}, at radii in (0, 1] of the pixel range")
    found: dict[str, list[torch.Tensor]] = {attack_name(kind, radius): [] for radius in radii}
    attacker = _Attacker(model, kind, runtime.generator("attack", kind), runtime.seed)
    with _without_gradients(model), evaluating(model):
        for batch in source.batches(rows, BATCH) if len(rows) else ():
            answer = _clean(model, batch.pixels)
            for radius in radii:
                answer = attacker.answers(batch, radius, answer)
                found[attack_name(kind, radius)].append(answer)
    return {
        name: torch.cat(parts).cpu().numpy().astype(np.int64) if parts else np.zeros(0, np.int64) for name, parts in found.items()
    }


@dataclass(frozen=True)
class _Attacker:
    model: Classifier
    kind: str
    generator: torch.Generator
    seed: int

    def answers(self, batch: Batch, radius: float, before: torch.Tensor) -> torch.Tensor:
        """Answers under the attack; ``before`` are those at the next smaller radius."""
        if self.kind == "FGSM":
            return _clean(self.model, fgsm(self.model, batch.pixels, batch.target, radius))
        answer = before.clone()
        open_ = torch.nonzero(before == batch.target).flatten()
        if len(open_):
            pixels, target = batch.pixels[open_], batch.target[open_]
            if self.kind == "PGD":
                answer[open_] = _pgd(self.model, pixels, target, radius, self.generator)
            else:
                answer[open_] = _auto(self.model, pixels, target, radius, self.seed)
        return answer


def _pgd(
    model: Classifier, pixels: torch.Tensor, target: torch.Tensor, radius: float, generator: torch.Generator
) -> torch.Tensor:
    """The first wrong answer on the way, or the label; samples that fell take no further step."""
    noise = torch.rand(pixels.shape, generator=generator).to(pixels.device)
    reach = radius * unit(model)
    moved = inside(model, pixels + reach * (2 * noise - 1))
    answer, rest = target.clone(), torch.arange(len(target), device=target.device)
    for _ in range(STEPS):
        step = STEP_SHARE / STEPS * reach * input_gradient(model, moved[rest], target[rest]).sign()
        offset = ((moved[rest] + step - pixels[rest]) / reach).clamp(-1.0, 1.0) * reach
        moved[rest] = inside(model, pixels[rest] + offset)
        answer[rest] = _clean(model, moved[rest])
        rest = torch.nonzero(answer == target).flatten()
        if not len(rest):
            break
    return answer


def _auto(model: Classifier, inputs: torch.Tensor, target: torch.Tensor, radius: float, seed: int) -> torch.Tensor:
    """AutoAttack's standard version; for two or three classes, which its targeted losses cannot take, the rest of it."""
    if model.spec.kind == "table":
        pictures = _TableAsPictures(model, inputs)
        moved = pictures.columns(_run_auto(pictures, (pictures.draw(inputs), target), radius / pictures.span, seed))
    else:
        moved = _run_auto(model, (inputs, target), radius, seed)
    return _clean(model, moved)


def _run_auto(network: torch.nn.Module, samples: tuple[torch.Tensor, torch.Tensor], radius: float, seed: int) -> torch.Tensor:
    try:
        from pyautoattack import AutoAttack
    except ModuleNotFoundError:
        raise NotFoundError(f"AutoAttack is not installed: pip install '{EXTRA}'") from None
    pixels, target = samples
    with torch.random.fork_rng(devices=[pixels.device] if pixels.device.type == "cuda" else []):
        options = {"norm": "Linf", "eps": radius, "seed": seed, "device": pixels.device}
        classes = network(pixels[:1]).shape[1]
        attack = AutoAttack(network, version="custom", attacks=["apgd-ce", "fab", "square"], **options)
        if classes > 3:
            attack = AutoAttack(network, version="standard", **options)
            attack.apgd_targeted.n_target_classes = attack.fab.n_target_classes = min(9, classes - 1)
        attack.verbose = False
        moved = attack.run_standard_evaluation(pixels, target, batch_size=len(pixels))
    result: torch.Tensor = moved[0] if isinstance(moved, tuple) else moved
    return result


class _TableAsPictures(torch.nn.Module):
    """A table's columns as grey pixels in [0, 1], since AutoAttack takes pictures only.

    Every column is scaled by its own standard deviation and all by the same span, so that one radius is one length of pixels.

    Args:
        model: of a table.
        inputs: [b, columns] what is attacked; no pixel of it is nearer to 0 or 1 than one standard deviation.
    """

    def __init__(self, model: Classifier, inputs: torch.Tensor) -> None:
        super().__init__()
        self.model, self.width = model, inputs.shape[1]
        self.side = math.ceil(math.sqrt(self.width))
        self.span = 2 * float(((inputs - model.mean) / model.std).abs().max()) + 2

    def draw(self, inputs: torch.Tensor) -> torch.Tensor:
        """[b, columns] -> [b, 1, side, side]; pixels of no column are grey and change nothing."""
        pixels = ((inputs - self.model.mean) / self.model.std) / self.span + 0.5
        padded = functional.pad(pixels, (0, self.side**2 - self.width), value=0.5)
        return padded.view(-1, 1, self.side, self.side)

    def columns(self, pictures: torch.Tensor) -> torch.Tensor:
        """[b, 1, side, side] -> [b, columns]."""
        return (pictures.flatten(1)[:, : self.width] - 0.5) * self.span * self.model.std + self.model.mean

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """[b, 1, side, side] -> [b, classes] logits."""
        result: torch.Tensor = self.model(self.columns(pictures))
        return result


@torch.no_grad()
def _clean(model: Classifier, pixels: torch.Tensor) -> torch.Tensor:
    return model(pixels).argmax(1)  # type: ignore[no-any-return]


@contextmanager
def _without_gradients(model: Classifier) -> Iterator[None]:
    """Parameters take no gradient while the context lasts: less work, and none of it can reach them."""
    wanted = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    for parameter, _ in wanted:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, before in wanted:
            parameter.requires_grad_(before)
