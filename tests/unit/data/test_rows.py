"""The record of rows: the same data but for forgotten rows is recognised, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grmu_audit.data.catalog import DataSpec, load_dataset
from grmu_audit.data.dataset import COLUMNS, Dataset, Header
from grmu_audit.data.import_table import ImportOptions, import_data
from grmu_audit.data.rows import RowTable, row_table, without_deleted
from grmu_audit.errors import IntegrityError
from grmu_audit.evidence import pseudonym, pseudonyms
from grmu_audit.utils.array_files import DamagedFileError, pack_arrays, unpack_arrays

KEY = bytes(range(32))
N = 12
SPLIT = ["train"] * 8 + ["val"] * 2 + ["test"] * 2


def small(rows: list[int] | None = None) -> Dataset:
    """Rows of a table with a person each."""
    kept = list(range(N)) if rows is None else rows
    columns = [[f"id-{i}" for i in kept], [SPLIT[i] for i in kept], [i % 2 for i in kept], [i // 2 % 2 for i in kept],
               [f"person-{i}" for i in kept]]  # fmt: skip
    header = Header("t", "1", ("a", "b"), ("c", "d"), kind="table", features=("x",), mean=(0.0,), std=(1.0,), subject_name="who")
    values = np.array([[float(i)] for i in kept], dtype=np.float32)
    return Dataset(header, pd.DataFrame(dict(zip(COLUMNS, columns, strict=True))), values)


TABLE = row_table(small(), KEY)


@given(st.sets(st.integers(0, N - 1), max_size=8), st.sets(st.integers(0, N - 1)))
def test_rows_may_be_gone_exactly_where_they_were_forgotten(gone: set[int], forgotten: set[int]) -> None:
    now = small([i for i in range(N) if i not in gone])
    names = pseudonyms(KEY, [f"id-{i}" for i in forgotten])
    if gone <= forgotten:
        found = without_deleted(now, TABLE, KEY, names, "m/1")
        assert sorted(row.name for row in found.deleted) == sorted(pseudonyms(KEY, [f"id-{i}" for i in gone]))
        assert sorted(row.group.target for row in found.deleted) == sorted(i % 2 for i in gone)
        assert {row.name: row.split for row in found.deleted} == {pseudonym(KEY, f"id-{i}"): SPLIT[i] for i in gone}
        assert len(found.deleted_training) == sum(i < 8 for i in gone)
        assert row_table(found, KEY, TABLE).names == TABLE.names
    else:
        with pytest.raises(IntegrityError, match=f"rows: {len(gone - forgotten)} gone that no request"):
            without_deleted(now, TABLE, KEY, names, "m/1")


def test_rows_without_a_person_stay_the_same_when_rows_before_them_are_deleted(tmp_path: Path) -> None:
    table, manifest = tmp_path / "people.csv", tmp_path / "people.yaml"
    lines = ["id,split,label,x,who", *(f"id-{i},{SPLIT[i]},{i % 2},{i}.5,{'ab'[i % 2] if i < 4 else ''}" for i in range(N))]
    table.write_text("\n".join(lines))
    import_data(ImportOptions(table, "label", (), subject="who"), manifest)
    spec = DataSpec(str(manifest))
    recorded = row_table(load_dataset(spec), KEY)
    table.write_text("\n".join(line for line in lines if not line.startswith("id-0,")))
    found = without_deleted(load_dataset(spec), recorded, KEY, pseudonyms(KEY, ["id-0"]), "m/1")
    assert [row.name for row in found.deleted] == [pseudonym(KEY, "id-0")]
    table.write_text("\n".join(line + "c" if line.startswith("id-5,") else line for line in lines))
    with pytest.raises(IntegrityError, match="rows: 1 changed"):
        without_deleted(load_dataset(spec), recorded, KEY, (), "m/1")


@given(st.integers(0, N - 1), st.sampled_from(["id", "target", "attribute", "subject", "input"]))
def test_any_changed_cell_is_found(row: int, cell: str) -> None:
    data = small()
    frame = data.frame.copy()
    if cell == "input":
        pixels = np.array(data.pixels)
        pixels[row] += 0.5
        changed = replace(data, pixels=pixels)
    else:
        frame[cell] = [
            (1 - value if cell in ("target", "attribute") else f"{value}x") if i == row else value
            for i, value in enumerate(frame[cell])
        ]
        changed = replace(data, frame=frame)
    with pytest.raises(IntegrityError, match="rows: 1 added" if cell == "id" else "rows: 1 changed"):
        without_deleted(changed, TABLE, KEY, (), "m/1")


def test_the_file_reads_back_holds_no_id_and_is_bound_by_the_key() -> None:
    content = TABLE.to_bytes()
    assert not any(name.encode() in content for name in ("id-3", "person-3"))
    back = RowTable.from_bytes(content)
    assert back.to_bytes() == content == row_table(small(), KEY).to_bytes()
    with pytest.raises(IntegrityError, match="was changed, or is of another key"):
        without_deleted(small(), back, bytes(32), (), "m/1")
    forged = replace(back, header={**back.header, "mean": [9.0]})
    with pytest.raises(IntegrityError, match="was changed"):
        without_deleted(small(), forged, KEY, (), "m/1")
    splits = back.columns["split"].copy()
    splits[splits == b"test"] = b"train"
    with pytest.raises(IntegrityError, match="rows: 2 changed"):
        without_deleted(small(), replace(back, columns={**back.columns, "split": splits}), KEY, (), "m/1")
    with pytest.raises(DamagedFileError):
        RowTable.from_bytes(content[:-40])


def test_a_feature_column_that_went_with_its_row_is_zeros() -> None:
    """One-hot columns: the category of row 0 occurs nowhere else."""
    whole = small()
    header = replace(whole.header, features=("x", "kind=rare"), mean=(5.5, 0.0), std=(3.0, 1.0))
    recorded = row_table(replace(whole, header=header, pixels=np.c_[whole.pixels, np.eye(N, 1, dtype=np.float32)]), KEY)
    now = small(list(range(1, N)))
    found = without_deleted(now, recorded, KEY, pseudonyms(KEY, ["id-0"]), "m/1")
    assert found.header == header
    assert np.array_equal(found.pixels, np.c_[now.pixels, np.zeros((N - 1, 1), dtype=np.float32)])
    with pytest.raises(IntegrityError, match="another class_names than it had at training time"):
        without_deleted(replace(now, header=replace(now.header, class_names=("a", "z"))), recorded, KEY, (), "m/1")


@pytest.mark.parametrize(
    ("facts", "kinds"),
    [({"schema": "grmu-audit/other/v1"}, {}), ({}, {"target": np.dtype(np.float64)})],
    ids=["another schema", "another type of a column"],
)
def test_another_file_of_arrays_is_no_table_of_rows(facts: dict[str, object], kinds: dict[str, np.dtype]) -> None:
    plain, arrays = unpack_arrays(TABLE.to_bytes())
    assert RowTable.from_bytes(pack_arrays(plain, arrays)).names == TABLE.names
    changed = pack_arrays(
        {**plain, **facts}, {name: array.astype(kinds.get(name, array.dtype)) for name, array in arrays.items()}
    )
    with pytest.raises(DamagedFileError, match="it is not a table of rows"):
        RowTable.from_bytes(changed)
    with pytest.raises(DamagedFileError, match="it is not a table of rows"):
        RowTable.from_bytes(pack_arrays(plain, {name: array for name, array in arrays.items() if name != "digest"}))
    with pytest.raises(DamagedFileError, match="it is not a table of rows"):
        RowTable.from_bytes(pack_arrays({"schema": plain["schema"]}, arrays))


def test_images_keep_their_pixels_and_take_the_recorded_splits() -> None:
    columns = {
        "id": ["p", "q", "r"],
        "split": ["train", "train", "test"],
        "target": [0, 1, 0],
        "attribute": [0, 0, 0],
        "subject": 0,
    }
    header = Header("i", "1", ("a", "b"), ("c",), image_size=(1, 2, 2), mean=(0.5,), std=(0.5,))
    whole = Dataset(header, pd.DataFrame(columns), np.arange(12, dtype=np.uint8).reshape(3, 1, 2, 2))
    sampled_anew = whole.frame[1:].reset_index(drop=True).assign(split=["test", "train"])
    recorded = row_table(whole, KEY)
    found = without_deleted(Dataset(header, sampled_anew, whole.pixels[1:]), recorded, KEY, pseudonyms(KEY, ["p"]), "m/1")
    assert np.array_equal(found.pixels, whole.pixels[1:])
    assert found.frame["split"].tolist() == ["train", "test"]
