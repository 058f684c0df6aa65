"""Stored tables of predictions: what was written comes back, and what is no such table is refused."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from support.judged_audits import DATA, predictions

from grmu_audit.auditing.stored_predictions import from_parquet, order_of_data, predictions_sha256, to_parquet
from grmu_audit.errors import IntegrityError
from grmu_audit.records import DataRecord
from grmu_audit.records.predictions import by_appearance

RECORD = DataRecord(DATA, {}, "imagined", class_names=("no", "yes"), attribute_names=("a", "b"))
NAME = "predictions/candidate.parquet"


@pytest.mark.parametrize("subject", [True, False])
@pytest.mark.parametrize("loss", [True, False])
@pytest.mark.parametrize("logits", [True, False])
def test_what_was_stored_comes_back_with_the_columns_that_it_had(subject: bool, loss: bool, logits: bool) -> None:
    table = predictions(100)
    table = replace(
        table,
        subject=table.subject if subject else None,
        loss=np.linspace(0.0, 3.0, len(table)) if loss else None,
        logits=table.logits if logits else None,
    )
    content = to_parquet(table)
    columns = set(pd.read_parquet(io.BytesIO(content)).columns) - {"id", "split", "target", "attribute", "prediction"}
    assert columns == {*["subject"] * subject, *["loss"] * loss, *["logit_0", "logit_1"] * logits}
    read = from_parquet(content, NAME, RECORD)
    assert predictions_sha256(read) == predictions_sha256(table)
    assert (read.class_names, read.attribute_names) == (("no", "yes"), ("a", "b"))


def test_a_table_without_rows_is_refused() -> None:
    buffer = io.BytesIO()
    pd.read_parquet(io.BytesIO(to_parquet(predictions(100)))).head(0).to_parquet(buffer, index=False)
    with pytest.raises(IntegrityError, match=r"predictions/candidate\.parquet has no rows"):
        from_parquet(buffer.getvalue(), NAME, RECORD)


def test_what_of_a_table_is_in_the_order_of_the_data() -> None:
    frame = pd.read_parquet(io.BytesIO(to_parquet(predictions(100))))
    assert by_appearance(frame["subject"].to_numpy()).tolist() == frame["subject"].tolist()
    moved = frame.iloc[[1, 0, *range(2, len(frame))]]
    found = {}
    for name, table in {
        "as stored": frame,
        "other numbers": frame.assign(subject=frame["subject"].max() - frame["subject"]),
        "other rows": moved,
        "other rows, no people": moved.drop(columns="subject"),
        "no people": frame.drop(columns="subject"),
    }.items():
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False)
        found[name] = order_of_data(buffer.getvalue(), NAME)
    assert found == {
        "as stored": "", "other numbers": "people", "other rows": "rows", "other rows, no people": "rows", "no people": "",
    }  # fmt: skip
