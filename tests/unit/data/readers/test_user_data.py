from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from support import layouts

from grmu_audit.data.batches import BatchSource
from grmu_audit.data.catalog import DataSpec, load_dataset, read_listing
from grmu_audit.data.dataset import Dataset
from grmu_audit.data.import_table import ImportOptions, import_data
from grmu_audit.data.readers.tabular import MOST_CATEGORIES
from grmu_audit.errors import InputError
from grmu_audit.utils.notations import described_clash
from grmu_audit.utils.table_files import read_table

HEADER = ["id", "split", "age", "job", "sex", "income"]
ROWS = [
    ["a", "train", "20", "clerk", "f", "low"],
    ["b", "train", "30", "cook", "m", "high"],
    ["c", "train", "40", "clerk", "m", "low"],
    ["d", "train", "50", "cook", "f", "high"],
    ["e", "val", "60", "pilot", "f", "low"],
    ["f", "test", "70", "clerk", "m", "high"],
]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRMU_AUDIT_CACHE", str(tmp_path / "cache"))


def tabular(tmp_path: Path, rows: list[list[str]] = ROWS, **options: object) -> Dataset:
    layouts.table(tmp_path / "people.csv", HEADER, rows)
    import_data(ImportOptions(tmp_path / "people.csv", "income", ("sex",), **options), tmp_path / "m.yaml")  # type: ignore[arg-type]
    return load_dataset(DataSpec(str(tmp_path / "m.yaml")))


def test_numbers_and_categories_with_training_statistics(tmp_path: Path) -> None:
    data = tabular(tmp_path)
    header = data.header
    assert header.kind == "table"
    assert header.features == ("age", "job=clerk", "job=cook", "sex=f", "sex=m")
    assert header.input_shape == (5,)
    assert header.class_names == ("high", "low")
    assert header.attribute_names == ("f", "m")
    ages = np.array([20.0, 30.0, 40.0, 50.0])
    assert header.mean == (pytest.approx(ages.mean()), 0.0, 0.0, 0.0, 0.0)
    assert header.std == (pytest.approx(ages.std()), 1.0, 1.0, 1.0, 1.0)
    assert np.asarray(data.pixels).tolist()[1] == [30.0, 0.0, 1.0, 0.0, 1.0]
    assert np.asarray(data.pixels).tolist()[4] == [60.0, 0.0, 0.0, 1.0, 0.0]  # a pilot is no category of training


def test_batches_of_a_table_are_raw_floats(tmp_path: Path) -> None:
    data = tabular(tmp_path)
    source = BatchSource(data, torch.device("cpu"))
    batch = next(source.batches(data.rows("train"), 4, torch.Generator().manual_seed(0), augment=True))
    assert batch.pixels.shape == (4, 5)
    assert sorted(batch.pixels[:, 0].tolist()) == [20.0, 30.0, 40.0, 50.0]
    assert source.groups == 4


def test_parquet_gives_the_same_dataset(tmp_path: Path) -> None:
    first = tabular(tmp_path)
    frame = pd.DataFrame(ROWS, columns=HEADER).astype({"age": int})
    frame.to_parquet(tmp_path / "people.parquet")
    import_data(ImportOptions(tmp_path / "people.parquet", "income", ("sex",)), tmp_path / "p.yaml")
    again = load_dataset(DataSpec(str(tmp_path / "p.yaml")))
    assert again.digest == first.digest


def test_numbers_may_be_categories_and_features_may_be_chosen(tmp_path: Path) -> None:
    tabular(tmp_path)
    text = (tmp_path / "m.yaml").read_text()
    (tmp_path / "m.yaml").write_text(text + "features: [age]\ncategorical: [age]\n")
    data = load_dataset(DataSpec(str(tmp_path / "m.yaml")))
    assert data.header.features == ("age=20", "age=30", "age=40", "age=50")


def test_missing_labels_and_features_are_counted_never_guessed(tmp_path: Path) -> None:
    rows = [row.copy() for row in ROWS]
    rows[0][4], rows[1][5], rows[2][2] = "", "", ""
    data = tabular(tmp_path, rows)
    assert data.excluded == {"age": 1, "income": 1, "sex": 1}
    assert data.frame["id"].tolist() == ["d", "e", "f"]


@pytest.mark.parametrize("cell", ["NaN", "nan", "NA", "null", "<NA>"])
@pytest.mark.parametrize("column", [4, 5])
def test_a_label_that_may_mean_missing_is_no_class(tmp_path: Path, cell: str, column: int) -> None:
    rows = [row.copy() for row in ROWS]
    rows[3][column] = cell
    with pytest.raises(InputError, match=f"people.csv: row 5: {HEADER[column]} is '{cell}': leave the cell empty"):
        tabular(tmp_path, rows)


def test_a_manifest_never_replaces_its_table(tmp_path: Path) -> None:
    layouts.table(tmp_path / "people.csv", HEADER, ROWS)
    before = (tmp_path / "people.csv").read_bytes()
    with pytest.raises(InputError, match="is the table itself: give the manifest a name of its own"):
        import_data(ImportOptions(tmp_path / "people.csv", "income", ("sex",)), tmp_path / "." / "people.csv")
    assert (tmp_path / "people.csv").read_bytes() == before


def test_a_column_without_any_value_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no row has a value for every feature \(lacking: age in 6\)"):
        tabular(tmp_path, [[*row[:2], "", *row[3:]] for row in ROWS])


def test_a_number_beyond_single_precision_is_left_out_and_counted(tmp_path: Path) -> None:
    rows = [row.copy() for row in ROWS]
    rows[0][2] = "1e300"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tabular(tmp_path, rows).excluded == {"age": 1}


@pytest.mark.parametrize(
    ("value", "kind"), [(b"abc", pa.binary()), (b"abc", pa.large_binary()), (b"abc", pa.binary(3)), ([1], None), ({"x": 1}, None)]
)
def test_parquet_columns_that_are_no_plain_values_are_refused(tmp_path: Path, value: object, kind: pa.DataType | None) -> None:
    column = pa.array([value], kind)
    pq.write_table(pa.table({"id": ["a"], "photo": column}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"column 'photo' of type .* holds no plain values"):
        read_table(tmp_path / "t.parquet")


def test_parquet_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["age", "age"]), tmp_path / "t.parquet")
    with pytest.raises(InputError, match="column 'age' occurs twice in the header"):
        read_table(tmp_path / "t.parquet")


def test_a_small_parquet_file_of_endless_rows_is_refused_before_it_is_read(tmp_path: Path) -> None:
    column = pa.array(np.zeros(1_000_000, dtype=np.int8))
    pq.write_table(pa.Table.from_arrays([column] * 101, names=[f"c{i}" for i in range(101)]), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"1,000,000 rows of 101 columns are more than [\d,]+ cells"):
        read_table(tmp_path / "t.parquet")


def test_missing_labels_reach_the_quality_report_and_the_audit(tmp_path: Path) -> None:
    from grmu_audit.workflows.audits.collection import data_record
    from grmu_audit.workflows.datasets import check_data

    rows = [row.copy() for row in ROWS]
    rows[0][4] = ""
    data = tabular(tmp_path, rows)
    assert data_record(data, ()).excluded == 1
    report = check_data(DataSpec(str(tmp_path / "m.yaml")), None, 1)
    result = next(r for r in report.results if r.expectation == "no sample is left out")
    assert (result.passed, result.severity) == (False, "warning")
    assert "1 samples left out (sex: 1)" in result.observed


def test_sampled_splits_do_not_separate_subjects(tmp_path: Path) -> None:
    lines = [[f"s{i}", str(i), str(i % 7), ("x", "y")[i % 2], ("f", "m")[i // 2 % 2], f"p{i // 4}"] for i in range(200)]
    layouts.table(tmp_path / "t.csv", ["id", "v", "w", "target", "sex", "person"], lines)
    wanted = ImportOptions(tmp_path / "t.csv", "target", ("sex",), subject="person", features=("v", "w"), seed=3)
    import_data(wanted, tmp_path / "m.yaml")
    data = load_dataset(DataSpec(str(tmp_path / "m.yaml")))
    assert data.frame.groupby("subject")["split"].nunique().max() == 1
    assert {s: len(data.rows(s)) for s in ("train", "val", "test")} == {"train": 140, "val": 20, "test": 40}
    assert data.header.subject_name == "person"


def test_image_folder_by_manifest(tmp_path: Path) -> None:
    layouts.folder(tmp_path)
    wanted = ImportOptions(tmp_path / "labels.csv", "hired", ("sex",), images=tmp_path / "images", subject="person", size=32)
    import_data(wanted, tmp_path / "m.yaml")
    data = load_dataset(DataSpec(str(tmp_path / "m.yaml")))
    expected = {(s, t, a): n for s, cells in layouts.GROUPS.items() for t, a, n in cells}
    found = data.frame.groupby(["split", "target", "attribute"]).size().to_dict()
    assert found == expected
    assert data.header.input_shape == (3, 32, 32)
    assert data.header.class_names == ("no", "yes")


def test_stated_size_fails_the_quality_checks(tmp_path: Path) -> None:
    from grmu_audit.data.quality.input_checks import has_stated_size

    layouts.folder(tmp_path)
    import_data(
        ImportOptions(tmp_path / "labels.csv", "hired", ("sex",), images=tmp_path / "images", size=32), tmp_path / "m.yaml"
    )
    text = (tmp_path / "m.yaml").read_text()
    layouts.save(layouts.piece(0, 1, (40, 41)), tmp_path / "images" / "train" / "000.jpg")
    (tmp_path / "m.yaml").write_text(text + "stated_size: [40, 40]\n")
    flags = has_stated_size(load_dataset(DataSpec(str(tmp_path / "m.yaml"))))
    assert flags is not None
    assert flags.count(False) == 1
    assert flags[0] is False


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("features: [income]\n", "the target 'income' is among the features"),
        ("features: [agee]\n", r"no column 'agee' \(did you mean 'age'\?\)"),
        ("colour: red\n", "colour"),
        ("held_out: {val: 0.5, test: 0.5}\n", "either split"),
    ],
)
def test_wrong_manifests_are_named(tmp_path: Path, change: str, message: str) -> None:
    tabular(tmp_path)
    path = tmp_path / "m.yaml"
    path.write_text(path.read_text() + change)
    with pytest.raises(InputError, match=message):
        read_listing(DataSpec(str(path)))


def test_a_positive_class_that_is_none_is_named(tmp_path: Path) -> None:
    tabular(tmp_path)
    path = tmp_path / "m.yaml"
    path.write_text(path.read_text().replace("positive_class: 1", "positive_class: 2"))
    with pytest.raises(InputError, match="positive_class is 2, target has 2 values"):
        read_listing(DataSpec(str(path)))


def test_yaml_truth_values_have_to_be_quoted(tmp_path: Path) -> None:
    tabular(tmp_path)
    path = tmp_path / "m.yaml"
    path.write_text(path.read_text().replace("- high", "- yes"))
    with pytest.raises(InputError, match="in quotes"):
        read_listing(DataSpec(str(path)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "id"}, "'id' holds 300 values"),
        ({"target": "incme"}, "did you mean 'income'"),
        ({"target": "same"}, "one value only"),
        ({"positive": "hgh"}, "--positive .hgh. .did you mean .high.+: column .income. holds high, low"),
        ({"split": "sex"}, "'sex' holds 'f'"),
    ],
)
def test_import_refuses_what_is_no_label(tmp_path: Path, options: dict[str, object], message: str) -> None:
    lines = [[f"s{i}", ("low", "high")[i % 2], ("f", "m")[i % 3 % 2], "1"] for i in range(300)]
    layouts.table(tmp_path / "t.csv", ["id", "income", "sex", "same"], lines)
    wanted = {"table": tmp_path / "t.csv", "target": "income", "attributes": ("sex",), **options}
    with pytest.raises(InputError, match=message):
        import_data(ImportOptions(**wanted), tmp_path / "m.yaml")  # type: ignore[arg-type]
    assert not (tmp_path / "m.yaml").exists()


def test_a_table_with_a_header_alone_is_refused_by_the_import_and_by_the_reader(tmp_path: Path) -> None:
    tabular(tmp_path)
    layouts.table(tmp_path / "people.csv", HEADER, [])
    with pytest.raises(InputError, match=r"people\.csv: the table has a header and no rows: add samples"):
        import_data(ImportOptions(tmp_path / "people.csv", "income", ("sex",)), tmp_path / "other.yaml")
    with pytest.raises(InputError, match=r"people\.csv: the table has a header and no rows: add samples"):
        read_listing(DataSpec(str(tmp_path / "m.yaml")))


@pytest.mark.parametrize(
    ("header", "options", "wanted"),
    [
        ("id", {}, "id"),
        ("id", {"id": "age"}, "age"),
        ("person", {"id": "person"}, "person"),
    ],
)
def test_the_column_of_ids_is_the_named_one_else_the_one_called_id(
    tmp_path: Path, header: str, options: dict[str, str], wanted: str
) -> None:
    layouts.table(tmp_path / "people.csv", [header, *HEADER[1:]], ROWS)
    found = import_data(ImportOptions(tmp_path / "people.csv", "income", ("sex",), **options), tmp_path / "m.yaml")  # type: ignore[arg-type]
    assert found.manifest.id == wanted


def test_a_table_without_ids_is_refused_and_images_are_named_by_their_paths(tmp_path: Path) -> None:
    layouts.table(tmp_path / "people.csv", ["Id", *HEADER[1:]], ROWS)
    with pytest.raises(InputError, match=r"people.csv: no column 'id' \(did you mean 'Id'\?\): name the column of sample ids"):
        import_data(ImportOptions(tmp_path / "people.csv", "income", ("sex",)), tmp_path / "m.yaml")
    layouts.table(tmp_path / "labels.csv", ["path", "hired", "sex"], [["a.jpg", "no", "f"], ["b.jpg", "yes", "m"]])
    wanted = ImportOptions(tmp_path / "labels.csv", "hired", ("sex",), images=tmp_path)
    assert import_data(wanted, tmp_path / "i.yaml").manifest.id == "path"


def test_one_person_in_two_notations_is_said_at_import(tmp_path: Path) -> None:
    rows = [[*row, person] for row, person in zip(ROWS, ["p 1", "p  1", "P 1", "", "", "p2"], strict=True)]
    layouts.table(tmp_path / "people.csv", [*HEADER, "person"], rows)
    wanted = ImportOptions(tmp_path / "people.csv", "income", ("sex",), subject="person", positive="high")
    found = import_data(wanted, tmp_path / "m.yaml").warnings
    assert found == (f"people.csv: column 'person': {described_clash(['p 1', 'p  1'])}: they count as different subjects",)


def test_no_row_in_training_and_too_many_categories_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"people\.csv: no complete row is in the training split: correct the split or the labels"
    ):
        tabular(tmp_path, [[row[0], "test", *row[2:]] for row in ROWS])
    many = [[f"s{i}", "train", "20", f"job {i:04d}", "fm"[i % 2], ("low", "high")[i % 2]] for i in range(MOST_CATEGORIES + 1)]
    with pytest.raises(
        InputError, match=f"column 'job' has {MOST_CATEGORIES + 1} categories, more than {MOST_CATEGORIES}: leave"
    ):
        tabular(tmp_path, many)
    assert len(tabular(tmp_path, many[1:]).header.features) == 1 + MOST_CATEGORIES + 2


IMAGES = {"held_out": {"val": 0.1, "test": 0.2}, "split": None}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": {"column": "y", "values": [0, 1, 0]}}, "target: .*values holds a cell twice"),
        ({"target": {"column": "y", "values": [0, 1], "names": ["a"]}}, "target: .*names has 1 entries for 2 values"),
        ({"target": {"column": "y", "values": ["1", "1.0"]}}, "write each label in one way"),
        ({"target": {"column": "y", "values": [0, 1], "names": ["a b", "a  b"]}}, "write each label in one way"),
        ({**IMAGES, "held_out": {"val": 0.5, "test": 0.5}}, "held_out leaves nothing to train on"),
        ({"mean": [0.5]}, "mean and std need three numbers each, std above 0"),
        ({"std": [0.5, 0.5]}, "mean and std need three numbers each, std above 0"),
        ({"std": [0.5, 0.0, 0.5]}, "mean and std need three numbers each, std above 0"),
        ({"std": [0.5, float("nan"), 0.5]}, r"std\[1\]: Input should be a finite number"),
        ({"mean": [0.5, 0.5, float("inf")]}, r"mean\[2\]: Input should be a finite number"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    sound = {"name": "x", "kind": "image", "rows": "t.csv", "target": {"column": "y", "values": [0, 1]}}
    (tmp_path / "m.yaml").write_text(yaml.safe_dump({**sound, **change}))
    with pytest.raises(InputError, match=message):
        read_listing(DataSpec(str(tmp_path / "m.yaml")))
