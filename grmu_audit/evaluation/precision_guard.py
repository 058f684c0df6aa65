"""Whether a faster way of computing logits gives the verdicts of the exact one, checked on a sample of the rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

    from grmu_audit.data.batches import BatchSource
    from grmu_audit.models.classifier import Classifier
    from grmu_audit.training.runtime import Runtime

MOST_DIFFERENCE = 0.05
"""Largest difference of a logit, as a share of the largest logit, or of 1 where all are smaller."""
MOST_FLIPS = 0.001
"""Largest share of rows whose predicted class is another one."""
MOST_ACCURACY = 0.001
"""Largest difference of a group's accuracy."""
MARGIN = 4.0
"""How many times the largest difference of a logit in the sample is near a tie: twice can turn a class, the rest is a margin."""
MOST_TIES = 0.2
"""Largest share of rows near a tie: with more, fp32 alone is hardly slower."""
SHARE, FEWEST, MOST = 0.05, 256, 1024
"""Rows of the sample: a share of all rows, within limits."""


@dataclass(frozen=True)
class GuardResult:
    """What a faster way changes on the sample."""

    rows: int
    """Rows compared."""
    difference: float
    """Largest difference of a logit, as a share of the largest one."""
    flips: float
    """Share of rows whose predicted class is another one."""
    accuracy: float
    """Largest difference of a group's accuracy; 0 without rows."""

    @property
    def holds(self) -> bool:
        """Whether all three are within their limits; a NaN is not."""
        return self.difference <= MOST_DIFFERENCE and self.flips <= MOST_FLIPS and self.accuracy <= MOST_ACCURACY


def sample_rows(count: int) -> npt.NDArray[np.int64]:
    """Sorted rows of the sample of ``count`` rows, the same ones each time."""
    size = min(count, max(FEWEST, min(MOST, round(SHARE * count))))
    return np.sort(np.random.default_rng([count, 15485863]).choice(count, size, replace=False)).astype(np.int64)


def compare(exact: torch.Tensor, fast: torch.Tensor, target: torch.Tensor, group: torch.Tensor) -> GuardResult:
    """What [n, classes] logits of a faster way change, for [n] classes and group codes."""
    scale = max(1.0, float(exact.abs().max())) if len(exact) else 1.0
    before, after = exact.argmax(1), fast.argmax(1)
    gaps = [
        abs(float((before[mine] == target[mine]).float().mean() - (after[mine] == target[mine]).float().mean()))
        for mine in (group == code for code in sorted(set(group.tolist())))
    ]
    difference = float((exact - fast).abs().max()) / scale if len(exact) else 0.0
    return GuardResult(len(exact), difference, float((before != after).float().mean()), max(gaps, default=0.0))


def settle_inference(model: Classifier, source: BatchSource, runtime: Runtime) -> None:
    """Fall back to passes in fp32 where the runtime's faster way would change a verdict of this network.

    Rows near a tie, by ``MARGIN`` times the largest difference in the sample, are from then on computed in fp32 in any case;
    what is judged is what is left then.  The comparison is noted in the runtime's notes; a runtime in fp32, or whose precision
    somebody chose, is left alone.

    Args:
        model: trained, on the device.
        source: the data.
        runtime: its way without gradients may be changed.
    """
    import torch

    from grmu_audit.training.inference import infer, near_ties
    from grmu_audit.training.runtime import Inference

    way = runtime.inference
    if way is None or way.precision == "fp32":
        return
    rows = sample_rows(len(source.dataset))
    index = torch.from_numpy(rows).to(source.device)
    form = replace(way, compile_from=None).for_rows(len(source.dataset)).form  # that all rows will have
    runtime.inference = replace(way, form=form, compile_from=None, fold_from=0)
    fast = infer(model, source, rows, runtime)
    runtime.inference = Inference("fp32", form)
    exact = infer(model, source, rows, runtime)
    raw = compare(exact, fast, source.target[index], source.group[index])
    distance = MARGIN * float((exact - fast).abs().max())
    near = near_ties(fast, distance)
    found = compare(exact, torch.where(near[:, None], exact, fast), source.target[index], source.group[index])
    ties = float(near.float().mean())
    holds = found.holds and raw.difference <= MOST_DIFFERENCE and ties <= MOST_TIES
    runtime.notes["precision_guard"] = {"rows": found.rows, "difference": raw.difference, "near_ties": ties,
                                        "flips": found.flips, "group_accuracy": found.accuracy, "holds": holds}  # fmt: skip
    if holds:
        runtime.inference = replace(way, near_tie=distance)
        return
    runtime.inference = Inference("fp32", way.form, fold_from=way.fold_from)
    runtime.observer.note(
        f"predictions are computed in fp32: bf16 changes the class of {raw.flips:.2%} of {raw.rows} rows, a group's accuracy by "
        f"{raw.accuracy:.2%}, and logits by up to {raw.difference:.2%} of the largest"
    )
