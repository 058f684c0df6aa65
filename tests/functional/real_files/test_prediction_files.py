"""``score`` on files as people have them: columns that contradict each other, forms, kinds of columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.prediction_tables import table

from grmu_audit.auditing.prediction_files import from_frame, read_predictions
from grmu_audit.cli.app import execute
from grmu_audit.errors import InputError

CASES = Path(__file__).parents[2] / "cases"
NEEDS_LARGEST = """
schema: grmu-audit/policy/v1
name: strict
predictions: largest_score
rules: [{id: a, metric: TA, min: 0.01, evidence: point, allow_incomplete: true}]
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)


def scored(capsys: Any, path: Path | str, *more: str) -> tuple[int, str]:
    code = execute(["score", "--predictions", str(path), *more])
    output = capsys.readouterr()
    return code, output.out + output.err


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("contradictory-columns/prob_against_logit.csv", 2, "in 200 of 200 rows (first: row 1) prob_* are other probabilities"),
        (
            "contradictory-columns/attribute_and_attribute_sex.csv",
            2,
            "columns 'attribute' and 'attribute_sex' stand side by side",
        ),
        (
            "contradictory-columns/prediction_against_logits.csv",
            3,
            "in 200 of 200 rows (100.0%) the prediction is not the class with",
        ),
        ("score-messages/semicolons.csv", 2, "the cells are separated by semicolons"),
        ("score-messages/one_probability_column.csv", 2, "one column of scores only (prob_0): give one per class"),
        ("score-messages/trailing_comma.csv", 2, "row 2 has 7 cells where 6 are expected: a comma stands at its end"),
        ("parquet-nullable-na/predictions.parquet", 2, "row 5: target is not a finite number (empty)"),
    ],
)
def test_cases(name: str, code: int, says: str, capsys: Any) -> None:
    found, text = scored(capsys, CASES / name)
    assert says in text
    assert found == code
    assert text.count("probabilities that do not sum to 1") == 0


def softmax(frame: pd.DataFrame) -> pd.DataFrame:
    scores = np.exp(frame[["logit_0", "logit_1"]].to_numpy())
    return pd.DataFrame(scores / scores.sum(axis=1, keepdims=True), columns=["prob_0", "prob_1"])


def beside(frame: pd.DataFrame, *more: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame, *more], axis=1)


def one_row_swapped(frame: pd.DataFrame) -> pd.DataFrame:
    other = softmax(frame)
    other.loc[0] = other.loc[0].to_numpy()[::-1]
    return beside(frame, other)


def in_another_order(frame: pd.DataFrame) -> pd.DataFrame:
    return beside(frame, softmax(frame)[["prob_1", "prob_0"]].set_axis(["prob_0", "prob_1"], axis=1))


def own_loss(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(loss=-np.log(softmax(frame).to_numpy()[np.arange(120), frame["target"]]))


CODES = ["a", "A", "1.1", "1.10", "0e12", "0e13", *map(str, range(2, 116))]
CONTRADICTIONS: dict[str, tuple[Any, int, str]] = {
    "probabilities of the logits, rounded": (lambda f: beside(f, softmax(f).round(2)), 3, ""),
    "one row of other probabilities": (one_row_swapped, 2, "in 1 of 120 rows (first: row 1)"),
    "classes in another order": (in_another_order, 2, "prob_* are other"),
    "three logits, two probabilities": (lambda f: beside(f.assign(logit_2=0.0), softmax(f)), 2, "3 columns of logits and 2 of"),
    "logits from 1": (lambda f: f.rename(columns={"logit_0": "logit_2"}), 2, "columns logit_0..logit_2 have gaps: found [1, 2]"),
    "thresholded predictions": (lambda f: f.assign(prediction=(f["logit_1"] > 1).astype(int)), 3, "not the class with the"),
    "predictions of the largest score": (lambda f: f.assign(prediction=(f["logit_1"] > 0).astype(int)), 3, ""),
    "another loss": (lambda f: f.assign(loss=0.5), 3, "the loss is not the cross-entropy of the scores"),
    "its own loss": (own_loss, 3, ""),
    "attribute beside two others": (lambda f: f.assign(attribute_sex=0, attribute_age=1), 2, "stand side by side"),
    "probabilities called logits": (
        lambda f: f.drop(columns=["logit_0", "logit_1"]).assign(logit_0=softmax(f)["prob_0"], logit_1=softmax(f)["prob_1"]),
        3,
        "in 120 of 120 rows (100.0%) the logits lie between 0 and 1 and sum to 1, as probabilities do",
    ),
    "logits between 0 and 1": (lambda f: f.assign(logit_0=0.25, logit_1=f["target"] * 0.5), 3, ""),
    "attribute beside Attribute": (lambda f: f.assign(Attribute=0), 2, "columns 'attribute' and 'Attribute' differ in notation"),
    "target beside Target": (lambda f: f.assign(Target=0), 2, "columns 'target' and 'Target' differ in notation only: keep one"),
    "prediction twice": (lambda f: f.assign(prediction=0, Prediction=1), 2, "'prediction' and 'Prediction' differ in notation"),
    "one attribute in two cases": (
        lambda f: f.rename(columns={"attribute": "attribute_sex"}).assign(attribute_Sex=0),
        2,
        "columns 'attribute_Sex' and 'attribute_sex' differ in notation only",
    ),
    "an attribute without a name": (lambda f: f.rename(columns={"attribute": "attribute_"}), 2, "'attribute_' has no name"),
    "other columns": (lambda f: f.assign(label=0, Label=1, note="x"), 3, ""),
    "a subject in two notations": (lambda f: f.assign(subject=["1.0", "01", *map(str, range(2, 120))]), 2, "one subject in two"),
    "subjects that are codes": (lambda f: f.assign(subject=CODES), 3, ""),
}  # fmt: skip


@pytest.mark.parametrize(("change", "code", "says"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_columns_that_say_the_same_thing_twice_are_compared(change: Any, code: int, says: str, capsys: Any) -> None:
    change(table()).to_csv("p.csv", index=False)
    found, text = scored(capsys, "p.csv")
    assert says in text
    assert found == code
    assert ("warning:" in text) == (says != "" and code == 3)


def test_a_policy_can_forbid_predictions_without_the_largest_score(capsys: Any) -> None:
    Path("strict.yaml").write_text(NEEDS_LARGEST)
    frame = table()
    frame.assign(prediction=(frame["logit_1"] > 0).astype(int)).to_csv("same.csv", index=False)
    assert scored(capsys, "same.csv", "--policy", "strict.yaml")[0] == 0
    other = CASES / "contradictory-columns" / "prediction_against_logits.csv"
    code, text = scored(capsys, other, "--policy", "strict.yaml", "--out", "audit.json")
    assert code == 1
    assert "Every prediction must be the class with the largest score; 200 rows have one" in " ".join(text.split())
    assert json.loads(Path("audit.json").read_text())["record"]["prediction_not_largest"] == {"candidate": 200}
    assert execute(["gate", "--audit", "audit.json", "--policy", "strict.yaml"]) == 1
    for kind in ("html", "markdown", "model-card", "junit", "sarif", "github", "json"):
        assert execute(["report", "--audit", "audit.json", "--format", kind, "--out", f"report.{kind}"]) == 0
        assert "Every prediction must be the class with the largest score" in Path(f"report.{kind}").read_text()


FORMS: dict[str, tuple[Any, str]] = {
    "names of values": (
        lambda f: f.assign(attribute=["F", "M"] * 60),
        "in all 120 rows attribute is not a finite number, and names",
    ),
    "names of classes": (lambda f: f.assign(target=["no", "yes"] * 60), "give the index of the class or value (row 1:"),
    "decimal commas": (
        lambda f: f.assign(logit_0="0,5"),
        "logit_0 is not a finite number: write numbers with a decimal point (row 1: '0,5')",
    ),
    "thousands": (
        lambda f: f.assign(logit_0="1,000.5"),
        "not a finite number: write numbers without signs between the thousands",
    ),
    "another minus": (
        lambda f: f.assign(logit_0="\u22120.5"),
        "write numbers with the digits 0 to 9, a decimal point and the sign",
    ),
    "formulas": (lambda f: f.assign(target='="1"'), "target is not a finite number: write numbers without quotes"),
    "negative numbers in brackets": (lambda f: f.assign(logit_0="(1)"), "write negative numbers with a minus in front"),
    "scores numbered with zeros": (
        lambda f: f.rename(columns={"logit_0": "logit_00", "logit_1": "logit_01"}),
        "found 'logit_00', 'logit_01': give scores per class",
    ),
    "scores numbered in other digits": (
        lambda f: f.rename(columns={"logit_0": "logit_\u0660", "logit_1": "logit_\u0661"}),
        "no columns 'logit_0..', 'prob_0..' or 'prediction'",
    ),
    "training rows": (
        lambda f: f.assign(split=f["split"].replace("retain", "train")),
        "training rows are retain or forget",
    ),
    "the positive class": (
        lambda f: positive(f, "prob_1"),
        "one column of scores only (prob_1): give one per class",
    ),
    "a score of another name": (
        lambda f: positive(f, "y_score"),
        "found 'y_score': give scores per class",
    ),
    "per cent": (
        lambda f: f.drop(columns=["logit_0", "logit_1"]).assign(prob_0=30, prob_1=70),
        "in all 120 rows a probability outside",
    ),
    "one id": (lambda f: f.assign(id="x"), "row 2: an id that an earlier row has"),
    "no split": (lambda f: f.drop(columns="split"), "no column 'split'\n"),
}


def positive(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    return frame.drop(columns=["logit_0", "logit_1"]).assign(**{name: 0.7})


@pytest.mark.parametrize(("change", "says"), FORMS.values(), ids=FORMS)
def test_the_message_names_the_cause(change: Any, says: str, capsys: Any) -> None:
    change(table()).to_csv("p.csv", index=False)
    code, text = scored(capsys, "p.csv")
    assert says in text
    assert len(text.splitlines()) <= 23
    assert code == 2


MISSPELT: dict[str, tuple[dict[str, str], str]] = {
    "ID": ({"id": "ID"}, "no column 'id' (did you mean 'ID'?)"),
    "label": ({"target": "Target"}, "no column 'target' (did you mean 'Target'?)"),
    "group": ({"attribute": "Attribute"}, "(did you mean 'Attribute'?)"),
    "scores": (
        {"logit_0": "logits_0", "logit_1": "logits_1"},
        "found 'logits_0', 'logits_1': give scores per class",
    ),
    "Split": ({"split": "Split"}, "no column 'split' (did you mean 'Split'?)"),
}


@pytest.mark.parametrize(("names", "says"), MISSPELT.values(), ids=MISSPELT)
def test_misspelt_columns_are_named(names: dict[str, str], says: str, capsys: Any) -> None:
    table().rename(columns=names).to_csv("p.csv", index=False)
    code, text = scored(capsys, "p.csv")
    assert says in text
    assert code == 2


@pytest.mark.parametrize(
    ("word", "near"), [("Test", "test"), ("TEST", "test"), (" test", ""), ("te\u200bst", "test"), ("training", "")]
)
def test_splits_in_another_notation_are_named(word: str, near: str, capsys: Any) -> None:
    table().assign(split=word).to_csv("p.csv", index=False)
    code, text = scored(capsys, "p.csv")
    if word == " test":
        assert code == 3, "blanks around a cell do not count"
        return
    assert code == 2
    hint = f" (only the notation differs from {near!r})" if near else ", training rows are retain or forget"
    assert f"in all 120 rows split is none of retain, forget, val, test{hint} (row 1: " in text


@pytest.mark.parametrize(
    ("one", "other"), [("{}", "{:03d}"), ("{}", "{}.0"), ("a{}", "A{}"), ("{}", "\uff11{}"), ("x {}", "x  {}")]
)
def test_ids_of_two_files_that_differ_in_notation_only(one: str, other: str, capsys: Any) -> None:
    frame = table(9)
    frame.assign(id=[one.format(i) for i in range(9)]).to_csv("a.csv", index=False)
    frame.assign(id=[other.format(i) for i in range(9)]).to_csv("b.csv", index=False)
    code, text = scored(capsys, "a.csv", "--baseline", "b.csv")
    assert code == 2
    assert ("only the notation of the ids differs" in text) == ("\uff11" not in other)


MISSING: dict[str, pa.Array] = {
    "Int64": pa.array([0, None, 1], pa.int64()),
    "boolean": pa.array([True, None, False]),
    "Float64": pa.array([0.0, None, 1.0]),
    "NaN": pa.array([0.0, float("nan"), 1.0]),
    "categories of numbers": pa.array([0, None, 1], pa.int32()).dictionary_encode(),
    "categories of texts": pa.array(["0", None, "1"]).dictionary_encode(),
    "Arrow text": pa.array(["0", None, "1"], pa.large_string()),
    "text view": pa.array(["0", None, "1"], pa.string_view()),
    "decimal": pa.array([0, None, 1], pa.decimal128(5, 2)),
    "small integers": pa.array([0, None, 1], pa.uint8()),
    "half": pa.array(np.array([0, np.nan, 1], np.float16)),
    "nothing": pa.array([None, None, None], pa.null()),
}


@pytest.mark.parametrize("column", ["target", "attribute", "logit_0", "prediction"])
@pytest.mark.parametrize("kind", MISSING)
def test_a_missing_cell_of_any_kind_of_column_is_refused_with_its_row(kind: str, column: str, capsys: Any) -> None:
    content = table(3, prediction=0)
    arrays = {name: pa.array(content[name]) for name in content.columns} | {column: MISSING[kind]}
    pq.write_table(pa.table(arrays), "p.parquet")
    code, text = scored(capsys, "p.parquet")
    everywhere = f"in all 3 rows {column} is not a finite number (row 1: empty)"
    assert (everywhere if kind == "nothing" else f"row 2: {column} is not a finite number (empty)") in text
    assert code == 2


@pytest.mark.parametrize("column", ["id", "split", "subject"])
@pytest.mark.parametrize("kind", [k for k in MISSING if k not in ("NaN", "half")])
def test_a_missing_name_of_any_kind_of_column_is_refused_with_its_row(kind: str, column: str, capsys: Any) -> None:
    content = table(3, subject="x")
    arrays = {name: pa.array(content[name]) for name in content.columns} | {column: MISSING[kind]}
    pq.write_table(pa.table(arrays), "p.parquet")
    code, text = scored(capsys, "p.parquet")
    assert {"id": "no id", "split": "split is none of", "subject": "no subject"}[column] in text
    assert code == 2


@pytest.mark.parametrize("kind", [pa.date32(), pa.timestamp("ms"), pa.time64("us"), pa.duration("s")])
def test_dates_are_no_classes(kind: pa.DataType, capsys: Any) -> None:
    content = table(3)
    dates = pa.array([1, None, 2], pa.int32() if kind == pa.date32() else pa.int64()).cast(kind)
    pq.write_table(pa.table({name: pa.array(content[name]) for name in content.columns} | {"target": dates}), "p.parquet")
    code, text = scored(capsys, "p.parquet")
    assert "target is not a finite number" in text
    assert code == 2


@pytest.mark.parametrize("dtype", ["Int64", "boolean", "Float64", "category", "string", "int64[pyarrow]", "double[pyarrow]"])
def test_frames_of_any_dtype_are_read_as_the_file_would_be(dtype: str) -> None:
    frame = table(6)
    whole = from_frame(frame, Path("frame"))
    changed = frame.assign(target=frame["target"].astype(dtype), split=frame["split"].astype("category"))
    assert np.array_equal(from_frame(changed, Path("frame")).target, whole.target)
    changed.loc[2, "target"] = None
    with pytest.raises(InputError, match=r"row 3: target is not a finite number \(empty\)"):
        from_frame(changed, Path("frame"))


WHOLE = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint64(), pa.float32(), pa.float64(), pa.decimal128(22, 3)]


@given(st.sampled_from(WHOLE), st.booleans(), st.integers(0, 11), st.sampled_from(["target", "attribute", "prediction", "loss"]))
def test_the_row_of_a_missing_cell_is_named_for_every_type(
    tmp_path_factory: pytest.TempPathFactory, kind: pa.DataType, categories: bool, row: int, column: str
) -> None:
    content = table(12, prediction=0, loss=1)
    cells = [None if i == row else int(value) for i, value in enumerate(content[column])]
    values = pa.array(cells, pa.int64()).cast(kind)
    arrays = {name: pa.array(content[name]) for name in content.columns}
    path = tmp_path_factory.mktemp("types") / "p.parquet"
    pq.write_table(pa.table(arrays | {column: values.dictionary_encode() if categories else values}), path)
    with pytest.raises(InputError) as caught:
        read_predictions(path)
    assert f"row {row + 1}: {column} is not a finite number (empty)" in str(caught.value)
