"""Whether a model is still good after a run, and which learning rate it survives, by rows that nobody asked to forget."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from grmu_audit.errors import CollapsedError, DivergedError
from grmu_audit.models.classifier import Classifier, copy_model
from grmu_audit.training.distributed import World
from grmu_audit.training.inference import infer
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.blocks.passes import fine_tune_on_retain
from grmu_audit.unlearning.data import Rows, UnlearningData
from grmu_audit.unlearning.method import MethodConfig

LARGEST_FALL = 0.15
"""How much accuracy a version may lose against its parent, in [0, 1], before it counts as collapsed."""
SAFE_FALL = LARGEST_FALL / 2
"""How much the probe of a learning rate may lose: a run is longer than its probe."""
FEWEST_ROWS = 100
"""Validation rows below which retain rows are watched too."""
STEPS = 20
"""Steps of the probe of one learning rate."""
RATES = 8
"""Learning rates that are probed at most, each ``FACTOR`` below the one before."""
FACTOR = math.sqrt(10.0)


@dataclass(frozen=True)
class Accuracies:
    """How often a model is right on the watched rows, in [0, 1]; NaN where a logit is not finite."""

    plain: float
    """Share of all rows."""
    balanced: float
    """Mean over classes of the share of each: a model that names one class only falls to 1 / classes."""


@dataclass(frozen=True)
class Fall:
    """What a run cost."""

    rows: int
    """Watched rows."""
    before: Accuracies
    """Of the parent."""
    after: Accuracies
    """Of the result."""

    @property
    def worst(self) -> float:
        """The larger of both losses, at least 0; NaN where one is undefined."""
        losses = [max(0.0, before - after) if math.isfinite(before - after) else math.nan for before, after in self._pairs]
        return math.nan if any(map(math.isnan, losses)) else max(losses)

    @property
    def _pairs(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Plain and balanced accuracy, each before and after."""
        return (self.before.plain, self.after.plain), (self.before.balanced, self.after.balanced)

    @property
    def collapsed(self) -> bool:
        """Whether more than ``LARGEST_FALL`` is lost, or the loss is undefined."""
        return not self.worst <= LARGEST_FALL

    def to_json(self) -> dict[str, Any]:
        """For the version's record."""
        return {**asdict(self), "largest_fall": LARGEST_FALL, "collapsed": self.collapsed}

    def __str__(self) -> str:
        """Sentence for people.

        >>> one = Fall(100, Accuracies(0.98, 0.97), Accuracies(0.55, 0.5))
        >>> str(one)
        'accuracy fell from 98.0 % to 55.0 % (mean over classes: from 97.0 % to 50.0 %) on 100 rows that are not to be forgotten'
        """
        if math.isnan(self.worst):
            return f"the outputs on {self.rows} rows that are not to be forgotten are not finite"
        plain, balanced = (f"{100 * before:.1f} % to {100 * after:.1f} %" for before, after in self._pairs)
        return f"accuracy fell from {plain} (mean over classes: from {balanced}) on {self.rows} rows that are not to be forgotten"


class Watch:
    """Compares models with their parent on rows that a request does not aim at.

    Validation rows of the groups that the request takes less than half of, since the others are meant to lose; all validation
    rows where that leaves none; with fewer than ``FEWEST_ROWS`` of them, retain rows too.

    Args:
        parent: the model before; it is not changed.
        data: the request's rows.
        runtime: device and seed.
    """

    def __init__(self, parent: Classifier, data: UnlearningData, runtime: Runtime) -> None:
        self.data, self.runtime = data, replace(runtime, world=World())  # the other processes of a training do not follow
        self.rows = watched_rows(data, runtime.generator("watch"))
        self.before = self.accuracies(parent)

    def fall(self, model: Classifier) -> Fall:
        """What the model lost."""
        return Fall(len(self.rows), self.before, self.accuracies(model))

    def accuracies(self, model: Classifier) -> Accuracies:
        """How often a model is right on the watched rows."""
        source = self.data.source
        logits = infer(model, source, self.rows, self.runtime)
        if not len(logits) or not bool(torch.isfinite(logits).all()):
            return Accuracies(math.nan, math.nan)
        target = source.target[torch.from_numpy(self.rows).to(source.device)]
        right = (logits.argmax(1) == target).double()
        classes = [right[target == code].mean() for code in torch.unique(target)]
        return Accuracies(float(right.mean()), float(torch.stack(classes).mean()))


def watched_rows(data: UnlearningData, generator: torch.Generator) -> Rows:
    """Rows of ``Watch``."""
    forget, retain = (np.bincount(data.groups_of(rows), minlength=data.source.groups) for rows in (data.forget, data.retain))
    aimed_at = forget >= np.maximum(retain, 1)
    found = []
    for rows in (data.val, data.retain):
        spared = rows[~aimed_at[data.groups_of(rows)]]
        found.append(spared if len(spared) else rows)
    missing = max(0, FEWEST_ROWS - len(found[0]))
    order = torch.randperm(len(found[1]), generator=generator).numpy()
    return np.concatenate([found[0], np.sort(found[1][order[:missing]])])


@dataclass(frozen=True)
class RateProbe:
    """Learning rates that were tried on a model, the largest first."""

    tried: tuple[tuple[float, float | None], ...]
    """Rate, and what it cost (``Fall.worst``); None where the outputs were not finite."""

    @property
    def rate(self) -> float:
        """The largest safe one; where none is, the one that cost least, if a version may lose that much.

        Raises:
            CollapsedError: every rate cost more.
        """
        finite = [(rate, cost) for rate, cost in self.tried if cost is not None]
        safe = [rate for rate, cost in finite if cost <= SAFE_FALL]
        least = min(finite, key=lambda one: one[1], default=None)
        if not safe and least is not None and least[1] <= LARGEST_FALL:
            return least[0]
        if not safe:
            shown = f"{self.tried[0][0]:.2g} down to {self.tried[-1][0]:.2g}"
            raise CollapsedError(
                f"no safe learning rate was found: a few steps on the retain set cost over {100 * LARGEST_FALL:.0f} points "
                f"of accuracy at every rate from {shown}; nothing was registered. Give the recipe that it was trained with to "
                "'register --set learning_rate=...', or a rate with --set learning_rate=..."
            )
        return max(safe)

    def to_json(self) -> list[dict[str, float | None]]:
        """For the version's record."""
        return [{"learning_rate": rate, "fall": cost} for rate, cost in self.tried]


def probe_rates(parent: Classifier, data: UnlearningData, config: MethodConfig, make: Callable[[], Runtime]) -> RateProbe:
    """Fine-tune copies on the retain set for a few steps, from the config's learning rate downwards, until one does no harm.

    Args:
        parent: the model; it is not changed.
        data: the request's rows.
        config: its optimiser, batch size and augmentation are used; its learning rate is the largest that is tried.
        make: a fresh runtime for each rate.
    """
    watch = Watch(parent, data, make())
    epochs = max(1, round(STEPS / max(1, data.retain_steps(config.batch_size))))
    wanted = STEPS * config.batch_size
    order = torch.randperm(len(data.retain), generator=make().generator("probe")).numpy()[:wanted]
    few = UnlearningData(data.source, np.sort(data.retain[order]), data.forget, np.zeros(0, dtype=np.int64))
    tried: list[tuple[float, float | None]] = []
    for number in range(RATES):
        rate = float(f"{config.learning_rate / FACTOR**number:.3g}")
        settings = {"learning_rate": rate, "epochs": epochs, "schedule": "constant", "warmup": 0.0, "keep_best": False}
        student = copy_model(parent)
        try:
            fine_tune_on_retain(student, few, config.model_copy(update=settings), make())
            cost = watch.fall(student).worst
        except DivergedError:
            cost = math.nan
        tried.append((rate, cost if math.isfinite(cost) else None))
        if cost <= SAFE_FALL:
            break
    return RateProbe(tuple(tried))
