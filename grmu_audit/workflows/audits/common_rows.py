"""The rows that all models of an audit have outputs of, where forgotten rows were deleted from the data in between."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from grmu_audit.errors import IntegrityError
from grmu_audit.records import ModelRef, NotMeasured, suppressed

if TYPE_CHECKING:
    from grmu_audit.evaluation.predict import ModelOutputs
    from grmu_audit.tracking.requests import StoredRequest


@dataclass(frozen=True)
class CommonOutputs:
    """Outputs of the same rows."""

    outputs: tuple[ModelOutputs, ...]
    """One table a model."""
    request: StoredRequest
    """The request without forgotten rows that are not in the tables."""
    not_measured: tuple[NotMeasured, ...] = ()
    """Why forgetting of rows that are not in the tables is not measured."""


def common_outputs(
    tables: Sequence[tuple[ModelRef, ModelOutputs]], names: Collection[str], request: StoredRequest, *, stored: bool = True
) -> CommonOutputs:
    """The tables over their common rows; tables of whole data come back as they are.

    A forgotten row that was deleted from the data is measured while every model has a stored output of it.

    Args:
        tables: each model with its outputs.
        names: pseudonyms of the data as it is now.
        request: the audited request.
        stored: whether stored outputs are enough; otherwise only rows of the present data count, since networks are run on them.

    Raises:
        IntegrityError: the tables differ from each other or from the data in rows that the request does not name.
    """
    outputs = tuple(table for _, table in tables)
    present, named = set(names), request.pseudonyms | request.withheld
    if named <= present and all(len(table.ids) == len(present) for table in outputs):
        return CommonOutputs(outputs, request)
    sets = [set(table.ids.tolist()) for table in outputs]
    for (ref, _), found in zip(tables, sets, strict=True):
        if odd := (found ^ present) - named:
            raise IntegrityError(
                f"stored predictions of {ref.label} differ from the data in {len(odd)} rows that no request named"
            )
    common = set.intersection(*sets, *([] if stored else [present]))
    left = request.pseudonyms - common
    kept = tuple(_restricted(table, common) for table in outputs)
    return CommonOutputs(kept, replace(request, pseudonyms=request.pseudonyms & common), _deleted(len(left)))


def _restricted(table: ModelOutputs, rows: Collection[str]) -> ModelOutputs:
    return table.only(np.fromiter((name in rows for name in table.ids.tolist()), dtype=bool, count=len(table.ids)))


def _deleted(count: int) -> tuple[NotMeasured, ...]:
    if not count:
        return ()
    many = "a few" if suppressed(count) else f"{count:,}"
    reason = "they were deleted from the data, and not every model in the audit has a stored output of them"
    return (NotMeasured(f"forgetting of {many} deleted rows", reason),)
