"""Cost of a suite before it starts: sample-gradients and forward passes of each model, and the speed of this machine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from grmu_audit.models.classifier import Classifier
    from grmu_audit.training.config import TrainConfig
    from grmu_audit.unlearning.method import Method

GRADIENT_SECONDS, FORWARD_SECONDS = 12.0, 5.0
"""How long gradients and forward passes are timed."""
AMUN_SEARCH = 150
"""Gradients per forget sample of AMUN's search for neighbours, which takes between 50 and 500."""


@dataclass(frozen=True)
class Sizes:
    """Rows that a run reads."""

    retain: int
    """Retain set."""
    forget: int
    """Forget set."""
    val: int
    """Validation rows."""
    total: int
    """All rows of all splits."""


@dataclass(frozen=True)
class Cost:
    """Samples that go through a network."""

    gradients: int = 0
    """With gradients."""
    forwards: int = 0
    """Without."""

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.gradients + other.gradients, self.forwards + other.forwards)


@dataclass(frozen=True)
class Rates:
    """Samples per second of this machine; of processor time on a CPU, of all its threads together."""

    gradients: float
    """With gradients."""
    forwards: float
    """Without."""

    def seconds(self, cost: Cost) -> float:
        """How long a cost takes."""
        return cost.gradients / self.gradients + cost.forwards / self.forwards


def training_cost(config: TrainConfig, sizes: Sizes) -> Cost:
    """Training on all training rows: E passes over them and over the validation rows, and one forward pass over everything."""
    return Cost(config.epochs * (sizes.retain + sizes.forget), config.epochs * sizes.val + sizes.total)


def method_cost(method: Method, config: Any, sizes: Sizes) -> Cost:
    """Cost of a method by its formula (``Method.cost``); without a formula here, E passes over the rows that it reads.

    Args:
        method: the method.
        config: its options.
        sizes: rows of the request.
    """
    formula = _FORMULAS.get(method.name)
    epochs = config.epochs if method.trains else 1
    read = {"retain": sizes.retain, "forget": sizes.forget}
    plain = epochs * sum(count for name, count in read.items() if name in method.needs)
    gradients = plain if formula is None else round(formula(config, sizes))
    validated = sizes.val if method.trains and "retain" in method.needs else 0
    return Cost(gradients, epochs * validated + sizes.total)


def _random_labels(config: Any, sizes: Sizes) -> float:
    """E (R + 2 F), as for a network with batch normalisation; without it E (R + F), so that the cost is estimated too high."""
    return float(config.epochs * (sizes.retain + 2 * sizes.forget))


def _neggrad(config: Any, sizes: Sizes) -> float:
    """E (R + b ceil(R / b)), at most F a batch."""
    size = min(config.batch_size, sizes.forget)
    return float(config.epochs * (sizes.retain + size * math.ceil(sizes.retain / config.batch_size)))


def _miu(config: Any, sizes: Sizes) -> float:
    """E R + E_f F, and E_f b where the unlearning term is clipped to a retain batch's gradient."""
    acting = min(config.forget_epochs, config.epochs) if config.unlearning_term else 0
    batch = 0 if config.clip else min(config.batch_size, sizes.retain)
    retain = sizes.retain if config.retaining_term or config.calibration_term else 0
    return float(config.epochs * retain + acting * (sizes.forget + batch))


_FORMULAS: dict[str, Callable[[Any, Sizes], float]] = {
    "amun": lambda c, s: c.epochs * (s.retain + 2 * s.forget) + AMUN_SEARCH * s.forget,
    "bad_teacher": lambda c, s: c.epochs * (0.3 * s.retain + s.forget),
    "boundary_shrink": lambda c, s: 2 * c.epochs * s.forget,
    "influence": lambda c, s: s.retain + s.forget + min(s.retain, 1000),
    "miu": _miu,
    "msg": lambda c, s: 2 * s.forget + c.epochs * s.retain,
    "neggrad_plus": _neggrad,
    "regun": lambda c, s: 2 * c.epochs * s.forget,
    "rl": _random_labels,
    "salun": lambda c, s: s.forget + _random_labels(c, s),
    "scrub": lambda c, s: c.epochs * s.retain + min(c.forget_epochs, c.epochs) * s.forget,
    "ssd": lambda c, s: s.retain + s.forget,
}


def extras_cost(sizes: Sizes, test: int, return_epochs: int, white_box: bool) -> Cost:
    """Fine-tuning on the retain set with a forward pass an epoch; layers, FGSM at every radius."""
    tuned = Cost(return_epochs * sizes.retain, (return_epochs + 4) * sizes.total if return_epochs else 0)
    return tuned + (Cost(test, 6 * test) if white_box else Cost())


def calibrate(model: Classifier, batch: int, device: torch.device, seconds: float = 1.0) -> Rates:
    """Time steps of a network on random inputs.

    Args:
        model: of the suite; not changed.
        batch: samples a step.
        device: where it will run.
        seconds: share of ``GRADIENT_SECONDS`` and ``FORWARD_SECONDS`` to spend, such as 0.1.
    """
    import torch
    from torch.nn import functional

    from grmu_audit.models.classifier import copy_model
    from grmu_audit.training.calibration import random_inputs

    student, inputs = copy_model(model).to(device).train(), random_inputs(model, batch, device)
    target = torch.arange(batch, device=device) % model.spec.classes
    step = torch.optim.SGD(student.parameters(), lr=1e-6, momentum=0.9)

    def gradient() -> None:
        """One step."""
        step.zero_grad(set_to_none=True)
        functional.cross_entropy(student(inputs), target).backward()  # type: ignore[no-untyped-call]
        step.step()

    @torch.no_grad()
    def forward() -> None:
        """One pass."""
        student(inputs)

    gradients = _rate(gradient, batch, seconds * GRADIENT_SECONDS, device)
    student.eval()
    return Rates(gradients, _rate(forward, batch, seconds * FORWARD_SECONDS, device))


def _rate(work: Callable[[], None], batch: int, seconds: float, device: torch.device) -> float:
    """Samples per second of the device, after one round that is not counted; on a CPU other work does not count."""
    import torch

    def now() -> float:
        """A clock that waits for the device."""
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() if device.type == "cuda" else time.process_time()

    work()
    start, began, done = now(), time.monotonic(), 0
    while done == 0 or time.monotonic() - began < seconds:
        work()
        done += 1
    return batch * done / max(now() - start, 1e-9)
