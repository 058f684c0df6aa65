"""Models that were purged: what their outputs of the rows that stayed still show, and what they no longer do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from grmu_audit.metrics.catalog import spec
from grmu_audit.metrics.changes import ModelResult, changes
from grmu_audit.metrics.checked_predictions import CheckedPredictions, check_kept, restricted
from grmu_audit.metrics.outcome import NEEDS_BEFORE, NO_BASELINE, Outcome
from grmu_audit.records import Predictions
from grmu_audit.records.audit import PURGED_REASON


@dataclass(frozen=True, eq=False)
class KeptModel:
    """A purged model on the rows that stayed of it, which are test rows; every metric of other rows is undefined."""

    result: ModelResult
    """Its metrics on these rows."""
    measure: Callable[[CheckedPredictions], ModelResult]
    """Measures another model."""
    why: str
    """Why the other rows are gone."""

    @classmethod
    def of(
        cls, first: CheckedPredictions, kept: Predictions, measure: Callable[[CheckedPredictions], ModelResult], why: str
    ) -> KeptModel:
        """The model with its kept predictions.

        Raises:
            InputError: they hold rows that the first model does not have.
        """
        return cls(measure(check_kept(first, kept)), measure, why)

    @property
    def outcomes(self) -> Iterator[Outcome]:
        """Its metrics; those of rows that are gone say why."""
        return map(self._explained, self.result.outcomes)

    def changes_of(self, other: ModelResult) -> Iterator[Outcome]:
        """Another model minus this one, on the rows that stayed."""
        rows = np.isin(other.checked.predictions.ids, self.result.checked.predictions.ids)
        return map(self._explained, changes(self.measure(restricted(other.checked, rows)), self.result))

    def _explained(self, outcome: Outcome) -> Outcome:
        if outcome.statistic is not None or spec(outcome.metric).part == "test":
            return outcome
        return replace(outcome, reason=f"{PURGED_REASON}{self.why}")


def without_before(outcome: Outcome, why: str) -> Outcome:
    """An outcome that there is none of because the model before was purged, with that reason."""
    missing = outcome.statistic is None and outcome.reason in (NEEDS_BEFORE, NO_BASELINE)
    return replace(outcome, reason=f"{PURGED_REASON}{why}") if missing else outcome
