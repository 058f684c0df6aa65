"""Row names of one model: what an audit gives away of two models cannot be joined by the names of their rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from grmu_audit.evidence import model_row_names
from grmu_audit.records import AuditedModel, AuditInputs, Predictions
from grmu_audit.records.inputs import EarlierRequest
from grmu_audit.records.predictions import by_appearance, with_shared_columns


def with_model_names(inputs: AuditInputs, model: str) -> AuditInputs:
    """The inputs of an audit with the model's names in place of pseudonyms, rows sorted by them, people numbered in that order.

    Args:
        inputs: named by pseudonyms.
        model: name of the registered model.
    """
    names = _Names(model)
    return replace(
        inputs,
        candidate=names.of_model(inputs.candidate),
        baseline=names.of_model(inputs.baseline) if inputs.baseline else None,
        references=tuple(map(names.of_model, inputs.references)),
        shadows=replace(inputs.shadows, ids=names.of(inputs.shadows.ids)) if inputs.shadows else None,
        earlier=tuple(map(names.of_request, inputs.earlier)),
        own=tuple(replace(one, ids=names.of_set(one.ids)) for one in inputs.own),
        root=names.of_model(inputs.root) if inputs.root else None,
    )


class _Names:
    """The names of a model; each is computed once."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.known: dict[str, str] = {}
        self.first: Predictions | None = None

    def of(self, ids: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Names in place of pseudonyms."""
        given: list[str] = ids.tolist()
        new = [name for name in given if name not in self.known]
        self.known |= zip(new, model_row_names(self.model, new), strict=True)
        return np.array([self.known[name] for name in given], dtype=np.str_)

    def of_set(self, ids: frozenset[str]) -> frozenset[str]:
        """Names of a set of rows."""
        return frozenset(self.of(np.array(sorted(ids), dtype=np.str_)).tolist())

    def of_model(self, one: AuditedModel) -> AuditedModel:
        """A model with everything that was collected of it."""
        white_box = replace(one.white_box, ids=self.of(one.white_box.ids)) if one.white_box else None
        return replace(one, predictions=self.of_predictions(one.predictions), white_box=white_box)

    def of_predictions(self, p: Predictions) -> Predictions:
        """Predictions, sorted by the new names."""
        ids = self.of(p.ids)
        order = np.argsort(ids, kind="stable")
        columns = ("split", "target", "attribute", "prediction", "logits", "loss", "subject")
        moved: dict[str, Any] = {name: None if getattr(p, name) is None else getattr(p, name)[order] for name in columns}
        if moved["subject"] is not None:
            moved["subject"] = by_appearance(moved["subject"])
        named = with_shared_columns(replace(p, ids=ids[order], **moved), self.first)
        self.first = self.first or named
        return named

    def of_request(self, one: EarlierRequest) -> EarlierRequest:
        """An earlier request with the predictions that it is measured by."""
        before, served = (None if table is None else self.of_predictions(table) for table in (one.before, one.served))
        return replace(one, ids=self.of_set(one.ids), before=before, served=served)
