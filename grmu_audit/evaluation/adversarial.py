"""Predictions under attack: FGSM, PGD-20 and AutoAttack, in pixel space, with parameters frozen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch

from grmu_audit.data.batches import Batch, BatchSource
from grmu_audit.errors import InputError, NotFoundError
from grmu_audit.models.adversarial import fgsm, input_gradient, inside, unit
from grmu_audit.models.classifier import Classifier
from grmu_audit.models.normalisation import evaluating
from grmu_audit.records.white_box import attack_name
from grmu_audit.training.runtime import Runtime

Ints = npt.NDArray[np.int64]
KINDS = ("FGSM", "PGD", "AA")
STEPS = 20
"""Steps of PGD."""
STEP_SHARE = 2.5
"""Length of all PGD steps together, in radii (Madry et al. 2018)."""
EXTRA = "grmu-audit[autoattack]"


def predictions_under(
    model: Classifier, source: BatchSource, rows: Ints, kind: str, radii: Sequence[float], runtime: Runtime, *, size: int = 256
) -> dict[str, Ints]:
    """Predicted class of each row under one kind of attack at each radius.

    The attack moves each sample away from its true label within an L-infinity ball of pixels, cut to [0, 1].  ``FGSM``
    is one step.  ``PGD`` starts at a random point, takes 20 steps, and keeps the first wrong answer it meets; a sample
    that fell at a smaller radius has fallen at a larger one, whose ball holds that point.  ``AA`` is AutoAttack.

    Args:
        model: on the source's device; parameters take no gradient while attacked, modes come back as they were.
        source: the data.
        rows: [n] rows.
        kind: one of ``KINDS``.
        radii: radii in pixel units, in (0, 1].
        runtime: seed of the starting points.
        size: batch size.

    Returns:
        ``attack_name`` to [n] class indices.

    Raises:
        InputError: another kind, or a radius outside (0, 1].
        NotFoundError: AutoAttack's library is not installed.
    """
    if kind not in KINDS or not all(0 < radius <= 1 for radius in radii):
        raise InputError(f"attack {kind} at {list(radii)}: known are {', '.join(KINDS)}, at radii in (0, 1] of the pixel range")
    ordered = sorted(radii)
    found: dict[str, list[torch.Tensor]] = {attack_name(kind, radius): [] for radius in ordered}
    generator = runtime.generator("attack", kind)
    with _still(model), evaluating(model):
        for batch in source.batches(rows, size) if len(rows) else ():
            answer = _clean(model, batch.pixels)
            for radius in ordered:
                answer = _attack(model, batch, kind, radius, answer, generator, runtime.seed)
                found[attack_name(kind, radius)].append(answer)
    return {
        name: torch.cat(parts).cpu().numpy().astype(np.int64) if parts else np.zeros(0, np.int64) for name, parts in found.items()
    }


def _attack(
    model: Classifier, batch: Batch, kind: str, radius: float, before: torch.Tensor, generator: torch.Generator, seed: int
) -> torch.Tensor:
    """Answers under the attack; ``before`` are those at the next smaller radius."""
    if kind == "FGSM":
        return _clean(model, fgsm(model, batch.pixels, batch.target, radius))
    answer = before.clone()
    open_ = torch.nonzero(before == batch.target).flatten()
    if len(open_):
        pixels, target = batch.pixels[open_], batch.target[open_]
        run = _pgd(model, pixels, target, radius, generator) if kind == "PGD" else _auto(model, pixels, target, radius, seed)
        answer[open_] = run
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


def _auto(model: Classifier, pixels: torch.Tensor, target: torch.Tensor, radius: float, seed: int) -> torch.Tensor:
    """AutoAttack's standard version; for two or three classes, which its targeted losses cannot take, the rest of it."""
    try:
        from pyautoattack import AutoAttack
    except ModuleNotFoundError:
        raise NotFoundError(f"AutoAttack is not installed: pip install '{EXTRA}'") from None
    classes = model.spec.classes
    with torch.random.fork_rng(devices=[pixels.device] if pixels.device.type == "cuda" else []):
        options = {"norm": "Linf", "eps": radius, "seed": seed, "device": pixels.device}
        attack = AutoAttack(model, version="custom", attacks=["apgd-ce", "fab", "square"], **options)
        if classes > 3:
            attack = AutoAttack(model, version="standard", **options)
            attack.apgd_targeted.n_target_classes = attack.fab.n_target_classes = min(9, classes - 1)
        attack.verbose = False
        moved = attack.run_standard_evaluation(pixels, target, batch_size=len(pixels))
    return _clean(model, moved[0] if isinstance(moved, tuple) else moved)


@torch.no_grad()
def _clean(model: Classifier, pixels: torch.Tensor) -> torch.Tensor:
    return model(pixels).argmax(1)  # type: ignore[no-any-return]


@contextmanager
def _still(model: Classifier) -> Iterator[None]:
    """Parameters take no gradient while the context lasts: less work, and none of it can reach them."""
    wanted = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    for parameter, _ in wanted:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, before in wanted:
            parameter.requires_grad_(before)
