"""NegGrad+: descend on the retain set and ascend on the forget set in every step."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import Field
from torch.nn import functional

from grmu_audit.data.source import Batch
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.loop import Phase, endless, run_epochs
from grmu_audit.training.runtime import Runtime
from grmu_audit.training.steps import parts
from grmu_audit.unlearning.base import Method, MethodConfig, UnlearningData, methods
from grmu_audit.unlearning.passes import at_rest, retain_pass


class NegGradPlusConfig(MethodConfig):
    """The balance of the two terms."""

    epochs: int = Field(10, ge=1, le=100_000)
    """Passes over the retain set."""
    learning_rate: float = Field(0.02, gt=0, allow_inf_nan=False)
    """Peak learning rate."""
    balance: float = Field(0.99, gt=0, le=1)
    """a: weight of the retain term; the forget term has 1 - a.  Published: 0.95 for small data, 0.9999 for large."""
    as_published: bool = False
    """Forget batches in training mode, so that running statistics see them."""


def neggrad_plus(model: Classifier, data: UnlearningData, config: NegGradPlusConfig, runtime: Runtime) -> Classifier:
    """Minimise a CE(retain batch) - (1 - a) CE(forget batch); the forget set is cycled through along the retain pass.

    Args:
        model: a copy that is changed.
        data: retain and forget rows.
        config: a and the recipe.
        runtime: device and seed.

    Raises:
        DivergedError: the ascent won.
    """

    def plan(epoch: int) -> list[Phase]:
        """One retain pass with forget batches beside it."""
        forget = endless(lambda turn: forget_parts(data, config, runtime, (epoch, turn)))

        def both(batch: Batch) -> torch.Tensor:
            """Descent and ascent."""
            other = next(forget)
            runtime.sample_gradients += len(other.rows)
            model.train()
            stay = functional.cross_entropy(model(batch.pixels), batch.target)
            leave = functional.cross_entropy(at_rest(model, other.pixels, published=config.as_published), other.target)
            return config.balance * stay - (1.0 - config.balance) * leave

        return [retain_pass(data, config, runtime, epoch, both)]

    return run_epochs(model, plan, config, runtime, validate=data.validator(runtime))


def forget_parts(data: UnlearningData, config: NegGradPlusConfig, runtime: Runtime, names: tuple[int, int]) -> Iterator[Batch]:
    """One shuffled forget pass; where memory is short, in parts as small as those of the retain batches beside them."""
    for batch in data.forget_batches(config.batch_size, runtime.generator("forget", *names), augment=config.augment):
        yield from parts(batch, runtime.micro_batch)


methods.add(
    "neggrad_plus",
    Method(
        name="neggrad_plus",
        title="descent on the retain set and ascent on the forget set in every step",
        run=neggrad_plus,
        config=NegGradPlusConfig,
        exact=False,
        needs=frozenset({"retain", "forget"}),
        reference="Kurmanji et al. 2023, Towards Unbounded Machine Unlearning",
        cost="E (R + b ceil(R / b)), b = batch size, at most F",
        search={"balance": (0.95, 0.99, 0.995, 0.999)},
    ),
)
