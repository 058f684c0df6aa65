"""How a tuning trial is scored: validation rows that it did not use, and an attack on the forget rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from grmu_audit.models.classifier import Classifier
    from grmu_audit.training.runtime import Runtime
    from grmu_audit.unlearning.data import UnlearningData

Rows = npt.NDArray[np.int64]


def split_validation(rows: Rows, groups: npt.NDArray[np.int64], seed: int) -> tuple[Rows, Rows]:
    """Split rows into two halves by group at random; the second gets the odd one out.

    >>> [len(half) for half in split_validation(np.arange(10), np.array([0] * 7 + [1] * 3), 0)]
    [4, 6]
    """
    rng = np.random.default_rng([seed, 7919])
    first: list[int] = []
    for code in np.unique(groups):
        mine = rng.permutation(rows[groups == code])
        first += mine[: len(mine) // 2].tolist()
    taken = np.isin(rows, first)
    return rows[taken], rows[~taken]


class TrialScorer:
    """Ranks a model by held-out validation rows and the forget rows, against the original model alone."""

    def __init__(self, original: Classifier, data: UnlearningData, rows: Rows, runtime: Runtime) -> None:
        self.data, self.rows, self.runtime = data, rows, runtime
        self.groups = data.groups_of(rows)
        self.before = self._accuracies(original)

    def score(self, model: Classifier) -> tuple[float, float]:
        """Accuracy loss and attack advantage, see ``Trial``."""
        now = self._accuracies(model)
        loss = float(np.mean([max(0.0, self.before[code] - now[code]) for code in self.before]))
        return loss, self._advantage(model)

    def _accuracies(self, model: Classifier) -> dict[int, float]:
        from grmu_audit.training.inference import accuracy

        codes = [int(code) for code in np.unique(self.groups)]
        return {code: accuracy(model, self.data.source, self.rows[self.groups == code], self.runtime) for code in codes}

    def _advantage(self, model: Classifier) -> float:
        """2 |AUC - 0.5|: how well does the loss distinguish forget rows from held-out rows of the same groups?"""
        from grmu_audit.metrics.scores import roc

        groups = self.data.groups_of(self.data.forget)
        forget = self.data.forget[np.isin(groups, self.groups)]
        shared = np.isin(self.groups, groups)
        if not len(forget):
            return math.nan
        codes = self.groups[shared]
        size = np.bincount(codes)
        weight = np.bincount(groups, minlength=len(size))[codes] / size[codes]
        area = roc(-self._losses(model, forget), -self._losses(model, self.rows[shared]), weight.astype(np.float64))
        return 2 * abs(area.value - 0.5)

    def _losses(self, model: Classifier, rows: Rows) -> npt.NDArray[np.float64]:
        import torch
        from torch.nn import functional

        from grmu_audit.training.inference import infer

        index = torch.from_numpy(rows).to(self.data.source.device)
        logits = infer(model, self.data.source, rows, self.runtime)
        found: npt.NDArray[np.float64] = (
            functional.cross_entropy(logits, self.data.source.target[index], reduction="none").double().cpu().numpy()
        )
        return found
