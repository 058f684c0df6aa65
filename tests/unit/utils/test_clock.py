"""The clock that records read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from grmu_audit.auditing.prediction_files import read_predictions
from grmu_audit.data.forget import forget_list
from grmu_audit.data.forget.forget_list import read_forget_list
from grmu_audit.data.forget.sampling import LARGEST_SIDECAR, read_sidecar
from grmu_audit.data.images import decode, files
from grmu_audit.data.readers.user_data import read_manifest
from grmu_audit.errors import InputError
from grmu_audit.evidence.archive import LARGEST_BUNDLE, pack, unpack
from grmu_audit.models.weights import SPEC_LIMIT
from grmu_audit.policy import load
from grmu_audit.utils import columns, parquet, table_files
from grmu_audit.utils.clock import READ_SECONDS, READ_VARIABLE, utc_now, utc_today
from grmu_audit.utils.digests import LARGEST_JSON
from grmu_audit.utils.table_files import read_csv, read_whitespace_table
from grmu_audit.utils.yaml_files import LARGEST_YAML, MOST_MERGED, read_mapping


def test_the_clock_can_be_fixed(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert utc_now() == "1970-01-01T00:00:00Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "soon")
    with pytest.raises(InputError, match="SOURCE_DATE_EPOCH"):
        utc_now()


def test_what_decides_on_expiry_cannot_be_fixed(monkeypatch):
    before = datetime.now(UTC).date()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert before <= utc_today() <= datetime.now(UTC).date()


READERS = {
    "list.csv": read_forget_list,
    "list.parquet": read_forget_list,
    "table.csv": read_csv,
    "table.txt": lambda path: list(read_whitespace_table(path)),
    "table.parquet": read_predictions,
    "policy.yaml": load,
    "manifest.yaml": lambda path: read_manifest({"manifest": str(path)}),
    "strings.yaml": lambda path: read_mapping(path, "file", ""),
    "ids.csv.meta.yaml": lambda path: read_sidecar(path.with_name("ids.csv")),
    "bundle.zip": lambda path: unpack(path.read_bytes()),
}


@pytest.mark.parametrize("name", READERS)
def test_every_reader_gives_up_in_time_and_names_the_limit(name, tmp_path, monkeypatch):
    path = tmp_path / name
    if name.endswith(".parquet"):
        pd.DataFrame({"id": ["a", "b"]}).to_parquet(path)
    else:
        path.write_bytes(pack({"a.txt": b"1"}) if name.endswith(".zip") else b"a: b" if name.endswith(".yaml") else b"id\na\n")
    monkeypatch.setenv(READ_VARIABLE, "1e-9")
    where = "the archive" if name == "bundle.zip" else name
    with pytest.raises(InputError, match=rf"{where}: reading took more than 1e-09 s.*{READ_VARIABLE} allows more"):
        READERS[name](path)


def test_the_limit_is_a_positive_number(tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text("id\na\n")
    for text in ("0", "soon", "nan", "-1"):
        monkeypatch.setenv(READ_VARIABLE, text)
        with pytest.raises(InputError, match=f"{READ_VARIABLE} is '{text}': give a positive number"):
            read_csv(tmp_path / "a.csv")


@pytest.mark.parametrize("read", [read_csv, read_forget_list])
def test_a_record_that_never_ends_is_no_record(read, tmp_path, monkeypatch):
    monkeypatch.setattr(table_files, "LONGEST_RECORD", 1 << 20)
    (tmp_path / "a.csv").write_text("id\n" + "a," + '"\n",' * 300_000)
    with pytest.raises(InputError, match=r"a\.csv: row 2 is longer than 1 MiB: is a quotation mark left open"):
        read(tmp_path / "a.csv")


def test_the_documentation_has_the_limits_of_the_code():
    page = (Path(__file__).parents[3] / "docs" / "evidence.md").read_text(encoding="utf-8")
    table = page.split("## Limits of what is read\n")[1].split("## ")[0]
    rows = {line.split(" | ")[0].strip("| "): line for line in table.splitlines() if line.startswith("| ")}
    csv, packed, image = rows["tables (CSV, prediction files, labels)"], rows["tables (parquet)"], rows["image"]
    assert f"{table_files.LONGEST_LINE >> 20} MiB a line, {table_files.LONGEST_RECORD >> 20} MiB a record" in csv
    assert f"{columns.LONGEST_FIELD:,} characters a cell, {columns.MOST_COLUMNS:,} columns, {columns.MOST_CELLS:,} cells" in csv
    assert packed.count(f"{parquet.MOST_BYTES >> 30} GiB") == 2
    assert (
        f"{parquet.CELLS_A_BYTE} cells for each byte of the file and {parquet.FREE_CELLS:,}; {parquet.MOST_GROUPS:,} row"
        in packed
    )
    named = rows["forget list"]
    assert named.count(f"{forget_list.LARGEST_FILE >> 20} MiB") == 2
    assert f"{forget_list.MOST_ROWS:,} rows, {forget_list.MOST_COLUMNS:,} columns, {forget_list.LONGEST_ID:,} characters" in named
    written = next(row for name, row in rows.items() if "(YAML)" in name)
    assert LARGEST_YAML == LARGEST_SIDECAR
    assert f"| {LARGEST_YAML:,} bytes |" in written
    assert f"{MOST_MERGED:,} merged keys" in written
    assert f"{LARGEST_JSON >> 20} MiB (`model.json` {SPEC_LIMIT >> 20} MiB" in table
    assert f"{LARGEST_BUNDLE >> 30} GiB" in rows["bundle"]
    assert f"{files.LARGEST_FILE >> 20} MiB" in image
    assert f"{decode.LARGEST_SIDE:,} pixels a side, {decode.LARGEST_AREA:,} in all" in image
    assert f"stop after {READ_SECONDS:.0f} s (`{READ_VARIABLE}`" in table
