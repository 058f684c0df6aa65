"""Does what was forgotten come back?  Answers after harmless changes of the weights, none of which reads the forget set.

Fine-tuning on the retain set, rounding to 8 and 4 bits, magnitude pruning: where the forget set's accuracy rises again, the
weights still held it.  Two cheap predictors stand beside them: how far the weights have moved from the version before, and
whether a straight line between the two crosses a ridge of the error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from grmu_audit.data.batches import BatchSource
from grmu_audit.errors import DivergedError, InputError
from grmu_audit.metrics.scores import margins
from grmu_audit.models.classifier import Classifier, copy_model
from grmu_audit.records.white_box import (
    FINE_TUNING,
    MIXING,
    MIXTURES,
    PRUNED,
    RETURN_EPOCHS,
    ROUNDINGS,
    Answers,
    Missing,
    MissingCode,
    WhiteBoxOutputs,
    epoch_name,
    mixture_name,
)
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.inference import infer
from grmu_audit.training.loop import run_epochs, steps_of
from grmu_audit.training.plan import Hooks, Phase
from grmu_audit.training.runtime import Runtime, derive_seed

Rows = npt.NDArray[np.int64]
Ids = npt.NDArray[np.str_]
RATE_SHARE = 0.2
"""Constant learning rate of the fine-tuning, as a share of the peak rate of training."""
PRUNED_SHARE = 0.5
"""Share of the weights that pruning sets to zero."""


@dataclass(frozen=True)
class FineTuning:
    """Fine-tuning on the retain set alone."""

    retain: Rows
    """Rows that it reads; no row of the forget set."""
    recipe: TrainConfig = field(default_factory=TrainConfig)
    """How the lineage's first version was trained."""
    epochs: int = RETURN_EPOCHS
    """Passes over the retain set."""
    precision: str = "fp32"
    """Precision of its passes with gradients: that of the training of the lineage's first version."""

    @property
    def config(self) -> TrainConfig:
        """The recipe at a fifth of its peak learning rate, constant, last epoch."""
        changed = {"epochs": self.epochs, "learning_rate": RATE_SHARE * self.recipe.learning_rate, "schedule": "constant"}
        return self.recipe.model_copy(update={**changed, "warmup": 0.0, "keep_best": False})


def fine_tune(model: Classifier, source: BatchSource, tuning: FineTuning, runtime: Runtime) -> dict[str, Answers]:
    """Answers of a model as it is and after each epoch of fine-tuning on the retain set.

    Args:
        model: on the source's device; not changed.
        source: the data.
        tuning: rows, recipe, epochs.
        runtime: seed and precision.

    Returns:
        ``epoch_name`` to answers, from 0 on.

    Raises:
        DivergedError: a loss or a weight is not finite.

    Source: Siddiqui et al. (2025, arXiv 2505.22310): retain-only fine-tuning recovers the forget set of many methods.
    """
    student, config = copy_model(model), tuning.config
    own = Runtime(runtime.device, derive_seed(runtime.seed, "return"), tuning.precision)
    found = {epoch_name(0): answers(student, source, runtime)}

    def plan(epoch: int) -> list[Phase]:
        """One pass over the retain set."""
        order = own.generator("train", epoch)
        return [
            Phase(
                "retain",
                lambda: source.batches(tuning.retain, config.batch_size, order, augment=config.augment),
                lambda batch: functional.cross_entropy(student(batch.pixels), batch.target),
                steps_of(tuning.retain, config.batch_size),
            )
        ]

    def keep(epoch: int) -> None:
        """Answers after an epoch."""
        found[epoch_name(epoch + 1)] = answers(student, source, runtime)

    run_epochs(student, plan, config, own, Hooks(after_epoch=keep))
    return found


def answers(model: Classifier, source: BatchSource, runtime: Runtime) -> Answers:
    """One forward pass over all samples."""
    rows = np.arange(len(source.dataset), dtype=np.int64)
    logits = infer(model, source, rows, runtime).double().cpu().numpy()
    return Answers(logits.argmax(axis=1), margins(logits, source.target.cpu().numpy()).astype(np.float32))


def collect_fine_tuning(
    model: Classifier, source: BatchSource, ids: Ids, runtime: Runtime, tuning: FineTuning
) -> WhiteBoxOutputs:
    """What ``fine_tune`` finds, or why it has no end.

    Args:
        model: on the source's device; not changed.
        source: the data.
        ids: [n] names of all samples.
        runtime: seed and precision.
        tuning: rows, recipe, epochs.
    """
    low = {} if tuning.precision == "fp32" else {"precision": tuning.precision}
    settings = {"return": {**tuning.config.model_dump(mode="json"), "retain": len(tuning.retain), **low}}
    try:
        return WhiteBoxOutputs(ids, changed=fine_tune(model, source, tuning, runtime), settings=settings)
    except DivergedError as error:
        missing = {FINE_TUNING: Missing(MissingCode.NOT_APPLICABLE, f"fine-tuning on the retain set diverged: {error}")}
        return WhiteBoxOutputs(ids, missing=missing, settings=settings)


def collect_changes(
    model: Classifier, source: BatchSource, ids: Ids, runtime: Runtime, before: Classifier | None
) -> WhiteBoxOutputs:
    """Answers of rounded and pruned weights, and of mixtures with the version before; distance to that version.

    Args:
        model: on the source's device; not changed.
        source: the data.
        ids: [n] names of all samples.
        runtime: seed and precision.
        before: the version before unlearning, of the same architecture; None: there is nothing to mix with.
    """
    missing = {}
    if before is not None and before.spec.to_json() != model.spec.to_json():
        missing[MIXING] = Missing(MissingCode.NOT_APPLICABLE, "the version before has another architecture: weights do not mix")
        before = None
    found = {name: answers(changed, source, runtime) for name, changed in _changed(model, before)}
    distance = None if before is None else relative_distance(model, before)
    settings = {"pruned_share": PRUNED_SHARE}
    return WhiteBoxOutputs(ids, changed=found, distance=distance, missing=missing, settings=settings)


def _changed(model: Classifier, before: Classifier | None) -> Iterator[tuple[str, Classifier]]:
    for name in ROUNDINGS:
        yield name, rounded(model, int(name.removeprefix("int")))
    yield PRUNED, pruned(model, PRUNED_SHARE)
    for share in MIXTURES if before is not None else ():
        assert before is not None
        yield mixture_name(share), mixed(model, before, share)


def rounded(model: Classifier, bits: int) -> Classifier:
    """A copy whose weights are rounded to signed integers of that many bits, with one scale per output channel.

    w' = s round(w / s), s = max|w| / (2^(bits-1) - 1) over a channel; vectors (biases, normalisation) stay as they are.

    Args:
        model: not changed.
        bits: 2 or more.

    Raises:
        InputError: fewer than 2 bits.
    """
    if bits < 2:
        raise InputError(f"weights cannot be rounded to {bits} bit: use 2 or more")
    top, result = 2 ** (bits - 1) - 1, copy_model(model)
    with torch.no_grad():
        for weight in _matrices(result):
            largest = weight.abs().amax(dim=tuple(range(1, weight.ndim)), keepdim=True)
            scale = largest.clamp_min(top * torch.finfo(weight.dtype).tiny)  # top / scale is finite in a channel of zeros too
            weight.copy_((weight * (top / scale)).round() * (scale / top))
    return result.eval()


def pruned(model: Classifier, share: float) -> Classifier:
    """A copy whose smallest weights over all matrices and kernels together, by absolute value, are zero.

    Args:
        model: not changed.
        share: how many, in [0, 1).

    Source: magnitude pruning (Han et al. 2015).
    """
    result = copy_model(model)
    with torch.no_grad():
        sizes = torch.cat([weight.abs().flatten() for weight in _matrices(result)])
        count = int(share * len(sizes))
        if count:
            limit = torch.kthvalue(sizes.float().cpu(), count).values.item()
            for weight in _matrices(result):
                weight.mul_(weight.abs() > limit)
    return result.eval()


def mixed(model: Classifier, before: Classifier, share: float) -> Classifier:
    """A copy with weights share x model + (1 - share) x before, running statistics too; counters are the model's."""
    result, other = copy_model(model), before.state_dict()
    state = {
        name: torch.lerp(other[name].to(value), value, share) if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    result.load_state_dict(state)
    return result.eval()


def relative_distance(model: Classifier, before: Classifier) -> float:
    """Euclidean distance of all parameters, over the length of those of the version before; 0 where nothing has moved."""
    other = dict(before.named_parameters())
    with torch.no_grad():
        moved = sum(float((p.double() - other[name].double()).square().sum()) for name, p in model.named_parameters())
        length = sum(float(p.double().square().sum()) for p in before.parameters())
    return float(np.sqrt(moved / length)) if length > 0 else float("nan")


def _matrices(model: Classifier) -> list[torch.nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.ndim > 1]
