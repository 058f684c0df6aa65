"""The clock that records read."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
import pytest

from grmu_audit.auditing.prediction_files import read_predictions
from grmu_audit.data.forget.forget_list import read_forget_list
from grmu_audit.data.forget.sampling import read_sidecar
from grmu_audit.data.readers.user_data import read_manifest
from grmu_audit.errors import InputError
from grmu_audit.evidence.archive import pack, unpack
from grmu_audit.policy import load
from grmu_audit.utils import tables
from grmu_audit.utils.clock import READ_VARIABLE, utc_now, utc_today
from grmu_audit.utils.tables import read_csv, read_whitespace_table
from grmu_audit.utils.yaml_files import read_mapping


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
    "table.txt": lambda path: list(read_whitespace_table(path, 0)),
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
    with pytest.raises(InputError, match=rf"{where}: reading it took more than 1e-09 s.*{READ_VARIABLE} allows more"):
        READERS[name](path)


def test_the_limit_is_a_positive_number(tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text("id\na\n")
    for text in ("0", "soon", "nan", "-1"):
        monkeypatch.setenv(READ_VARIABLE, text)
        with pytest.raises(InputError, match=f"{READ_VARIABLE} is '{text}': give a positive number"):
            read_csv(tmp_path / "a.csv")


@pytest.mark.parametrize("read", [read_csv, read_forget_list])
def test_a_record_that_never_ends_is_no_record(read, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "LONGEST_RECORD", 1 << 20)
    (tmp_path / "a.csv").write_text("id\n" + "a," + '"\n",' * 300_000)
    with pytest.raises(InputError, match=r"a\.csv: row 2 is longer than 1 MiB: is a quotation mark left open"):
        read(tmp_path / "a.csv")
