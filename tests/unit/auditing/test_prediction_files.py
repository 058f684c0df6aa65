"""Prediction files: what is read, and what is refused with its row."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.prediction_tables import table, written

from grmu_audit.auditing.prediction_files import read_predictions
from grmu_audit.auditing.scoring import score
from grmu_audit.errors import InputError
from grmu_audit.records import SPLITS
from grmu_audit.utils import notations


def test_logits_probabilities_and_labels_are_read(tmp_path):
    frame = table()
    p = read_predictions(written(tmp_path, frame))
    prob = np.exp(frame[["logit_0", "logit_1"]].to_numpy())
    prob /= prob.sum(axis=1, keepdims=True)
    q = read_predictions(
        written(tmp_path, frame.drop(columns=["logit_0", "logit_1"]).assign(prob_0=prob[:, 0], prob_1=prob[:, 1]))
    )
    r = read_predictions(written(tmp_path, frame.drop(columns=["logit_0", "logit_1"]).assign(prediction=p.prediction)))
    assert (p.classes, p.attributes, len(p)) == (2, 2, 120)
    assert np.array_equal(p.prediction, (frame["logit_1"] > 0).astype(int))
    assert np.exp(q.logits) == pytest.approx(prob)
    assert r.logits is None
    assert np.array_equal(p.prediction, q.prediction)
    assert np.array_equal(p.prediction, r.prediction)
    assert [SPLITS[c] for c in p.split] == frame["split"].tolist()


def test_several_attributes_are_crossed_and_subjects_are_numbered(tmp_path):
    frame = (
        table()
        .rename(columns={"attribute": "attribute_age"})
        .assign(attribute_sex=np.arange(120) % 3, subject=[f"x{i // 2}" for i in range(120)])
    )
    p = read_predictions(written(tmp_path, frame))
    assert p.attributes == 6
    assert p.attribute_names[5] == "age=1, sex=2"
    assert np.array_equal(p.attribute, frame["attribute_age"] * 3 + frame["attribute_sex"])
    assert np.array_equal(p.subject, np.arange(120) // 2)


def test_ids_that_look_like_numbers_stay_text(tmp_path):
    frame = table(3, id=["007", "7", "7.0"], split=["test"] * 3)
    assert read_predictions(written(tmp_path, frame)).ids.tolist() == ["007", "7", "7.0"]


@pytest.mark.parametrize("column", ["target", "attribute_sex", "logit_0", "note"])
def test_a_repeated_column_is_refused(tmp_path, column):
    frame = table().rename(columns={"attribute": "attribute_sex"}).assign(note="x")
    twice = pd.concat([frame, frame[[column]]], axis=1)
    arrays = [pa.array(twice.iloc[:, i]) for i in range(twice.shape[1])]
    pq.write_table(pa.Table.from_arrays(arrays, names=list(twice.columns)), tmp_path / "p.parquet")
    for path in (written(tmp_path, twice), tmp_path / "p.parquet"):
        with pytest.raises(InputError, match=f"column '{column}' occurs twice in the header"):
            score(path)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_ids_and_subjects_that_other_programs_write_for_missing_ones_are_text(tmp_path, suffix):
    odd = ["NA", "null", "nan", "None", "N/A", "-"]
    frame = table(6, id=odd, split=["test"] * 6, subject=[*odd[:5], "NA"])
    path = written(tmp_path, frame)
    if suffix == "parquet":
        path = tmp_path / "p.parquet"
        frame.to_parquet(path)
    p = read_predictions(path)
    assert p.ids.tolist() == odd
    assert p.subject.tolist() == [0, 1, 2, 3, 4, 0]


def test_a_row_of_too_few_cells_and_cells_between_semicolons_are_refused(tmp_path):
    lines = written(tmp_path, table(9)).read_text().splitlines()
    (tmp_path / "p.csv").write_text("\n".join([*lines[:4], lines[4].rsplit(",", 1)[0], *lines[5:]]))
    with pytest.raises(InputError, match="row 5 has 5 cells where 6 are expected"):
        read_predictions(tmp_path / "p.csv")
    (tmp_path / "p.csv").write_text("\n".join(lines).replace(",", ";"))
    with pytest.raises(InputError, match="the cells are separated by semicolons"):
        read_predictions(tmp_path / "p.csv")


def test_csv_and_parquet_give_the_same_predictions(tmp_path):
    frame = table().assign(loss=0.25, attribute=lambda f: f["attribute"] == 1, embedding=[[1.0, 2.0]] * 120)
    frame.to_parquet(tmp_path / "p.parquet")
    narrow = frame.astype({"target": "int8", "logit_0": "float32", "logit_1": "float64", "split": "category"})
    narrow.to_parquet(tmp_path / "q.parquet")
    first = read_predictions(written(tmp_path, frame))
    for name in ("p.parquet", "q.parquet"):
        other = read_predictions(tmp_path / name)
        for part in ("ids", "split", "target", "attribute", "prediction", "logits", "loss"):
            assert np.array_equal(getattr(first, part), getattr(other, part)), part
    assert first.attributes == 2


@pytest.mark.parametrize(
    ("column", "kind", "message"),
    [
        ("target", "Int64", "row 6: target is not a finite number (empty)"),
        ("attribute", "boolean", "row 6: attribute is not a finite number (empty)"),
        ("logit_1", "Float64", "row 6: logit_1 is not a finite number (empty)"),
        ("id", "string", "row 6: no id"),
        ("split", "string", "row 6: split is none of retain, forget, val, test (empty)"),
        ("subject", "string", "row 6: no subject"),
    ],
)
def test_a_missing_cell_of_a_nullable_column_is_refused_with_its_row(tmp_path, column, kind, message):
    frame = table(subject="x").astype({column: kind})
    frame.loc[5, column] = pd.NA
    frame.to_parquet(tmp_path / "p.parquet")
    with pytest.raises(InputError) as caught:
        read_predictions(tmp_path / "p.parquet")
    assert message in str(caught.value)


def test_a_small_parquet_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    ones = pa.array(np.zeros(1_000_000, dtype=np.int8))
    names = ["id", "split", "target", "attribute", *(f"logit_{i}" for i in range(97))]
    pq.write_table(pa.Table.from_arrays([ones] * 101, names=names), tmp_path / "p.parquet")
    with pytest.raises(InputError, match=r"1,000,000 rows of 101 columns are more than [\d,]+ cells"):
        read_predictions(tmp_path / "p.parquet")
    long = table(300, split="x" * 200_000)
    long.to_parquet(tmp_path / "p.parquet")
    assert (tmp_path / "p.parquet").stat().st_size < 50_000
    with pytest.raises(InputError, match="column 'split' holds a text of 200,000 characters"):
        read_predictions(tmp_path / "p.parquet")
    monkeypatch.setattr("grmu_audit.utils.parquet.MOST_BYTES", 1 << 17)
    with pytest.raises(InputError, match=r"its columns unpacked are 2\d\d,\d{3} bytes"):
        read_predictions(tmp_path / "p.parquet")
    monkeypatch.setattr("grmu_audit.utils.parquet.MOST_BYTES", 100)
    with pytest.raises(InputError, match=r"its columns are \d+,\d{3} bytes"):
        read_predictions(tmp_path / "p.parquet")


def test_every_defect_is_listed_with_its_row_and_never_an_id(tmp_path):
    frame = table().astype({"target": object, "attribute": object})
    frame.loc[3, "split"] = "tset"
    frame.loc[4, "target"] = 1.5
    frame.loc[5, "attribute"] = -1
    frame.loc[6, "logit_1"] = np.nan
    frame.loc[7, "logit_0"] = np.inf
    frame.loc[8, "id"] = "person-0000"
    frame.loc[9, "target"] = "cat"
    frame.loc[10, "target"] = 2
    frame.loc[11, "logit_1"] = -2e6
    with pytest.raises(InputError) as caught:
        read_predictions(written(tmp_path, frame))
    text = str(caught.value)
    wanted = {
        4: "split is none of",
        5: "target is not an index",
        6: "attribute is not an index",
        7: "logit_1 is not a finite number (empty)",
        8: "logit_0 is not a finite number (inf)",
        9: "an id that an earlier row has",
        10: "target is not a finite number",
        11: "target is no class of the 2 score columns",
        12: "logit_1 is beyond 1,000,000, which no working network gives (-2000000)",
    }
    for row, what in wanted.items():
        assert f"row {row}: {what}" in text
    assert "person-" not in text


def test_at_most_twenty_defects_are_listed(tmp_path):
    with pytest.raises(InputError) as caught:
        read_predictions(written(tmp_path, table(split=["test", *["x"] * 119])))
    assert str(caught.value).count("row ") == 20
    assert str(caught.value).endswith("\n  and 99 more")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="split").rename(columns={"target": "taget"}), "no column 'target' (did you mean 'taget'?)"),
        (lambda f: f.drop(columns=["logit_0", "logit_1"]), "no columns 'logit_0..', 'prob_0..' or 'prediction'"),
        (lambda f: f.drop(columns="attribute"), "no column 'attribute'"),
        (lambda f: f.rename(columns={"logit_1": "logit_2"}), "have gaps: found [0, 2]"),
        (lambda f: f.drop(columns="logit_1"), "one column of scores only"),
        (
            lambda f: f.rename(columns={"logit_0": "prob_0", "logit_1": "prob_1"}).assign(prob_0=0.5, prob_1=0.6),
            "do not sum to 1",
        ),
        (
            lambda f: f.rename(columns={"logit_0": "prob_0", "logit_1": "prob_1"}).assign(prob_0=-0.5, prob_1=1.5),
            "outside [0, 1]",
        ),
        (lambda f: f.head(0), "no rows at all"),
    ],
)
def test_files_of_another_shape_are_refused(tmp_path, change, message):
    with pytest.raises(InputError) as caught:
        read_predictions(written(tmp_path, change(table())))
    assert message in str(caught.value)


def _with_probabilities(frame: pd.DataFrame, cell: object) -> pd.DataFrame:
    """The probabilities of the logits, and this cell in place of one of them."""
    prob = np.exp(frame[["logit_0", "logit_1"]].to_numpy())
    prob /= prob.sum(axis=1, keepdims=True)
    frame = frame.assign(prob_0=prob[:, 0].astype(object), prob_1=prob[:, 1])
    frame.loc[3, "prob_0"] = cell
    return frame


@pytest.mark.parametrize("scores", ["both kinds", "probabilities"])
@pytest.mark.parametrize(("cell", "said"), [("many", "'many'"), ("", "empty")])
def test_a_probability_that_is_no_number_is_the_only_defect_of_its_row(tmp_path, scores, cell, said):
    frame = _with_probabilities(table(), cell)
    frame = frame if scores == "both kinds" else frame.drop(columns=["logit_0", "logit_1"])
    with pytest.raises(InputError) as caught:
        read_predictions(written(tmp_path, frame))
    assert str(caught.value).count("row ") == 1
    assert f"row 4: prob_0 is not a finite number ({said})" in str(caught.value)


def test_logits_beside_their_own_probabilities_are_read_and_beside_others_refused(tmp_path):
    frame = _with_probabilities(table(), 0.0)
    frame.loc[3, "prob_1"] = 1.0
    with pytest.raises(
        InputError, match=r"in 1 of 120 rows \(first: row 4\) prob_\* are other probabilities than those of logit_"
    ):
        read_predictions(written(tmp_path, frame))
    own = _with_probabilities(table(), 1 / (1 + np.exp(table().loc[3, "logit_1"])))
    assert read_predictions(written(tmp_path, own)).logits.tolist() == table()[["logit_0", "logit_1"]].to_numpy().tolist()


def test_missing_and_odd_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_predictions(tmp_path / "none.csv")
    written(tmp_path, table(), "x.txt")
    assert len(read_predictions(tmp_path / "x.txt")) == 120, "content decides, not the ending"
    for name in ("bad.parquet", "bad.csv"):
        (tmp_path / name).write_bytes(b"\xff\xfe\x00\x01" * 9)
        with pytest.raises(InputError):
            read_predictions(tmp_path / name)
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InputError, match="the file is empty: it needs a header line and rows"):
        read_predictions(tmp_path / "empty.csv")


def _one_value(rows: int) -> pa.Table:
    """Every column one value a million times: a few bytes on disk."""
    zeros = np.zeros(rows, dtype=np.int8)
    texts = {name: pa.array([cell]).take(pa.array(zeros)) for name, cell in (("id", "x"), ("split", "test"))}
    return pa.table(texts | dict.fromkeys(("target", "attribute", "prediction"), zeros))


def test_a_small_parquet_file_of_many_rows_is_refused_before_it_is_read(tmp_path):
    pq.write_table(_one_value(3_000_000), tmp_path / "bomb.parquet")
    assert (tmp_path / "bomb.parquet").stat().st_size < 100_000
    with pytest.raises(InputError, match=r"3,000,000 rows of 5 columns are more than [\d,]+ cells, the most for a file of"):
        read_predictions(tmp_path / "bomb.parquet")


def test_a_table_of_100_000_columns_is_refused(tmp_path):
    names = ["id", "split", "target", "attribute", *(f"c{i}" for i in range(100_000))]
    (tmp_path / "wide.csv").write_text(",".join(names) + "\n")
    with pytest.raises(InputError, match="100,004 columns, more than the 30,000"):
        read_predictions(tmp_path / "wide.csv")


@pytest.mark.parametrize(
    "odd",
    [
        pa.array([2**62] * 120, pa.int64()).cast(pa.timestamp("ns", "Mars/Olympus")),
        pa.array([2**62] * 120, pa.int64()).cast(pa.timestamp("us", "Europe/Paris")),
        pa.array([2**62] * 120, pa.int64()).cast(pa.duration("s")),
        pa.array([b"\xff"] * 120),
        pa.array([[1]] * 120),
    ],
    ids=["unknown time zone", "year 148,000", "long duration", "bytes", "lists"],
)
@pytest.mark.parametrize("name", ["id", "subject", "target"])
def test_a_column_that_python_has_no_value_for_is_one_error(tmp_path, odd, name):
    frame = pa.Table.from_pandas(table().assign(subject=0), preserve_index=False)
    pq.write_table(frame.set_column(frame.column_names.index(name), name, odd), tmp_path / "p.parquet")
    with pytest.raises(InputError):
        read_predictions(tmp_path / "p.parquet")


@pytest.mark.parametrize("metadata", [b"[]", b"{", b'{"index_columns": 3}', b"\xff"])
def test_metadata_of_pandas_that_is_none_is_no_crash(tmp_path, metadata):
    frame = pa.Table.from_pandas(table(), preserve_index=False).replace_schema_metadata({b"pandas": metadata})
    pq.write_table(frame, tmp_path / "p.parquet")
    if metadata == b"[]":
        assert len(read_predictions(tmp_path / "p.parquet")) == len(table())
    else:
        with pytest.raises(InputError, match="not a readable parquet file"):
            read_predictions(tmp_path / "p.parquet")


def test_a_pipe_and_a_device_are_no_prediction_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name, kind in (("pipe", "a pipe"), ("zero", "a device")):
        with pytest.raises(InputError, match=kind):
            read_predictions(tmp_path / name)


def _wide(path: Path, names: Sequence[str]) -> Path:
    """Four rows, one of each split, with 0 in further columns."""
    header = ["id", "split", "target", *names]
    rows = [[f"x{i}", split, "0", *("0" for _ in names)] for i, split in enumerate(SPLITS)]
    path.write_text("\n".join(map(",".join, [header, *rows])) + "\n")
    return path


def test_what_columns_are_called_is_looked_at_once_for_each(tmp_path, monkeypatch):
    """Not once for each pair, which takes hours with the 30,000 columns that a table may have."""
    looked_at = list[str]()

    def counted(cell: str, *, exact: bool = False) -> notations.Key:
        looked_at.append(cell)
        return before(cell, exact=exact)

    before = notations.notation_key
    monkeypatch.setattr(notations, "notation_key", counted)
    names = [f"x_{i}" for i in range(2_000)]
    read_predictions(_wide(tmp_path / "wide.csv", ["attribute", "prediction", *names]))
    assert 0 < len(looked_at) < 3 * len(names)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["prediction", *(f"attribute_{i}" for i in range(65))], r"65 columns 'attribute_\*', more than the 64"),
        (["attribute", "prob_0", "prob_" + "9" * 5_000], r"one column of scores only \(prob_0\)"),
        (
            ["attribute", *(f"prob_{2 * i}" for i in range(2_000))],
            r"gaps: found \[0, 2, 4, 6, 8, 10, 12, 14, 16, 18, and 1990 more",
        ),
        (["prediction", "attribute_sex", "attribute_Sex", "attribute_SEX"], "'attribute_SEX' and 'attribute_Sex' differ in"),
    ],
)
def test_columns_that_no_prediction_file_has_are_refused_in_one_sentence(tmp_path, names, message):
    with pytest.raises(InputError, match=message) as caught:
        read_predictions(_wide(tmp_path / "wide.csv", names))
    assert len(str(caught.value)) < 500


def test_64_attributes_of_one_value_are_crossed(tmp_path):
    found = read_predictions(_wide(tmp_path / "wide.csv", ["prediction", *(f"attribute_{i}" for i in range(64))]))
    assert (found.attributes, len(found.factors)) == (1, 64)


def test_more_than_a_million_groups_are_refused_without_naming_every_attribute(tmp_path):
    names = [f"attribute_{i}" for i in range(60)]
    path = _wide(tmp_path / "wide.csv", ["prediction", *names])
    path.write_text(path.read_text().replace("0,0,0", "1,1,1"))
    with pytest.raises(InputError, match="and 50 more combinations: over a million"):
        read_predictions(path)


def test_columns_are_refused_before_a_row_is_read(tmp_path: Path) -> None:
    """Millions of cells below a header that is refused take seconds."""
    path = tmp_path / "wide.csv"
    path.write_text(",".join(["id", "split", "target", *(f"attribute_{i}" for i in range(65))]) + "\none cell\n")
    with pytest.raises(InputError, match=r"65 columns 'attribute_\*', more than the 64"):
        read_predictions(path)
