"""Predictions under attack: FGSM, PGD-20 and AutoAttack, in the space of pixels or columns, with parameters frozen."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from grmu_audit.data.batches import Batch, BatchSource
from grmu_audit.errors import InputError, NotFoundError
from grmu_audit.models.adversarial import answer_and_gradient, inside, unit
from grmu_audit.models.classifier import Classifier
from grmu_audit.models.normalisation import evaluating
from grmu_audit.records.white_box import RADII_OF, attack_name
from grmu_audit.training.runtime import Runtime, derive_seed

Ints = npt.NDArray[np.int64]
KINDS = ("FGSM", "PGD", "AA")
BATCH = 256
"""Most samples at a time."""
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


def stratified_rows(group: Ints, most: int | None, seed: int) -> Ints:
    """[k] sorted positions of a random sample in which every group has its share, to one sample.

    Shares are rounded down, and what is left goes to the largest remainders; so the plain mean over the sample estimates the mean
    over all, and an interval that ignores the groups is a little too wide rather than too narrow.

    Args:
        group: [n] group of each sample.
        most: size of the sample; None, or no fewer than there are: all positions.
        seed: seed of the draw.

    >>> rows = stratified_rows(np.repeat([0, 1], [75, 25]), 20, seed=0)
    >>> len(rows), int((rows >= 75).sum())
    (20, 5)
    """
    if most is None or most >= len(group):
        return np.arange(len(group), dtype=np.int64)
    rng, (codes, count) = np.random.default_rng([seed, 29]), np.unique(group, return_counts=True)
    exact = most * count / len(group)
    share = np.floor(exact).astype(np.int64)
    share[np.argsort(share - exact, kind="stable")[: most - int(share.sum())]] += 1
    drawn = [rng.permutation(np.flatnonzero(group == code))[:size] for code, size in zip(codes, share, strict=True)]
    return np.sort(np.concatenate(drawn)).astype(np.int64)


def attack_passes(tests: int, attacked: int) -> tuple[int, int]:
    """Samples that FGSM on ``tests`` and PGD on ``attacked`` samples send forward and backward at most, at an audit's radii.

    >>> attack_passes(100, 10)
    (1140, 700)
    """
    radii = len(RADII_OF["PGD"])
    forward = tests * (1 + len(RADII_OF["FGSM"])) + attacked * (1 + radii * (STEPS + 1))
    return forward, tests + attacked * radii * STEPS


def predict_adversarial(model: Classifier, source: BatchSource, rows: Ints, attack: Attack, runtime: Runtime) -> dict[str, Ints]:
    """Predicted class of each row under an attack at each radius.

    The attack moves each sample away from its true label within an L-infinity ball of pixels, cut to [0, 1], or of columns, in
    standard deviations of each.  ``FGSM`` is one step; all radii share one gradient.  ``PGD`` starts at a random point, takes
    20 steps, and keeps the first misclassified input; a sample that fell takes no further step, and one that fell at a smaller
    radius has fallen at a larger one, whose ball holds that point.  Each step is one forward and one backward pass: the
    answers at a point come with its gradient.  ``AA`` is AutoAttack.  Where the runtime's passes without gradients are in bf16,
    so are the gradients of FGSM and PGD; no sample counts as fallen unless its answer in fp32 is wrong.

    Args:
        model: on the source's device; parameters take no gradient while attacked, modes come back as they were.
        source: the data.
        rows: [n] rows.
        attack: kind and radii.
        runtime: precision, and seed of the starting points, which are drawn on the source's device.

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
    generator = torch.Generator(source.device).manual_seed(derive_seed(runtime.seed, "attack", kind))
    attacker = _Attacker(model, kind, generator, runtime.seed, runtime.without_gradients.precision == "bf16")
    with _without_gradients(model), evaluating(model):
        for batch in source.batches(rows, model.spec.batch_size(BATCH)) if len(rows) else ():
            for radius, answer in zip(radii, attacker.answers(batch, radii), strict=True):
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
    low: bool
    """Whether gradients are computed in bf16."""

    def answers(self, batch: Batch, radii: Sequence[float]) -> Iterator[torch.Tensor]:
        """Answers under the attack at each radius, which rise."""
        if self.kind == "FGSM":
            sign = answer_and_gradient(self.model, batch.pixels, batch.target, low=self.low)[1].sign()
            for radius in radii:
                yield _clean(self.model, inside(self.model, batch.pixels + radius * unit(self.model) * sign))
            return
        answer = _clean(self.model, batch.pixels)
        for radius in radii:
            answer = self._stronger(batch, radius, answer)
            yield answer

    def _stronger(self, batch: Batch, radius: float, before: torch.Tensor) -> torch.Tensor:
        """Answers under the attack; ``before`` are those at the next smaller radius."""
        answer = before.clone()
        open_ = torch.nonzero(before == batch.target).flatten()
        if len(open_):
            pixels, target = batch.pixels[open_], batch.target[open_]
            if self.kind == "PGD":
                answer[open_] = self._pgd(pixels, target, radius)
            else:
                answer[open_] = _auto(self.model, pixels, target, radius, self.seed)
        return answer

    def _pgd(self, pixels: torch.Tensor, target: torch.Tensor, radius: float) -> torch.Tensor:
        """The first wrong answer on the way, or the label; samples that fell take no further step."""
        model, reach = self.model, radius * unit(self.model)
        noise = torch.rand(pixels.shape, generator=self.generator, device=pixels.device)
        moved = inside(model, pixels + reach * (2 * noise - 1))
        answer, rest = target.clone(), torch.arange(len(target), device=target.device)
        for number in range(STEPS):
            found, gradient = answer_and_gradient(model, moved[rest], target[rest], low=self.low)
            if number:  # the starting point is no result: the attack's first is that after one step
                answer[rest] = found = self._exact(found, moved[rest], target[rest])
                stands = found == target[rest]
                rest, gradient = rest[stands], gradient[stands]
                if not len(rest):
                    return answer
            step = STEP_SHARE / STEPS * reach * gradient.sign()
            offset = ((moved[rest] + step - pixels[rest]) / reach).clamp(-1.0, 1.0) * reach
            moved[rest] = inside(model, pixels[rest] + offset)
        answer[rest] = _clean(model, moved[rest])
        return answer

    def _exact(self, found: torch.Tensor, pixels: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The answers, of which the wrong ones are those of fp32."""
        wrong = torch.nonzero(found != target).flatten() if self.low else target[:0]
        if len(wrong):
            found[wrong] = _clean(self.model, pixels[wrong])
        return found


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
        tracer = sys.gettrace()  # a debugger's, for example: AutoAttack's check of the network sets its own, and leaves none
        try:
            moved = attack.run_standard_evaluation(pixels, target, batch_size=len(pixels))
        finally:
            sys.settrace(tracer)
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
