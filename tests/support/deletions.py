"""Small data of every kind that rows can be deleted from, as a person would do it by hand."""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from support import layouts

from grmu_audit.data.catalog import DataSpec

LABELS = {
    "target": {"column": "hired", "values": ["no", "yes"]},
    "attributes": [{"column": "sex", "values": ["f", "m"]}],
}
COUNTS = {"train": 24, "val": 4, "test": 12}
"""Rows of each of the four groups."""


@dataclass(frozen=True)
class SmallData:
    """Data on disk."""

    spec: DataSpec
    """How it is read."""
    delete: Callable[[Collection[str]], None]
    """Deletes rows by id."""
    architecture: str = "small_resnet"
    """A network that suits it."""


def small_table(root: Path, *, split: bool = True, seed: int = 0) -> SmallData:
    """Two numbers and a category; one person alone has the category 'rare'."""
    root.mkdir(parents=True, exist_ok=True)
    rng, lines = np.random.default_rng(seed), []
    for part, target, attribute, count in [(p, t, a, n) for p, n in COUNTS.items() for t in (0, 1) for a in (0, 1)]:
        for _ in range(count):
            kind = "rare" if not lines else "ab"[int(rng.integers(2))]
            x, y = rng.normal(2 * target, 1), rng.normal(attribute, 1)
            row = [f"r{len(lines):03d}", part, ("no", "yes")[target], ("f", "m")[attribute], f"{x:.3f}", f"{y:.3f}", kind]
            lines.append(row)
    layouts.table(root / "rows.csv", ["id", "split", "hired", "sex", "x", "y", "kind"], lines)
    sampled = {} if split else {"split": None, "held_out": {"val": 0.1, "test": 0.35, "seed": 1}}
    features = {"features": ["x", "y", "kind"]}
    header = {"name": "small", "kind": "table", "rows": "rows.csv", **LABELS, **features, **sampled}
    (root / "small.yaml").write_text(yaml.safe_dump(header))
    return SmallData(DataSpec(str(root / "small.yaml")), lambda ids: without(root / "rows.csv", ids), "mlp")


def small_folder(root: Path) -> SmallData:
    """Image files with a table; the image goes with its row."""
    layouts.folder(root)
    header = {
        "name": "faces",
        "kind": "image",
        "rows": "labels.csv",
        "images": "images",
        **LABELS,
        "subject": "person",
        "size": 8,
    }
    (root / "faces.yaml").write_text(yaml.safe_dump(header))

    def delete(ids: Collection[str]) -> None:
        for row in csv.DictReader((root / "labels.csv").read_text().splitlines()):
            if row["id"] in ids:
                (root / "images" / row["path"]).unlink()
        without(root / "labels.csv", ids)

    return SmallData(DataSpec(str(root / "faces.yaml")), delete)


def small_waterbirds(root: Path) -> SmallData:
    """The published tree: metadata.csv and species folders."""
    layouts.waterbirds(root)
    base = root / "waterbird_complete95_forest2water2"

    def delete(ids: Collection[str]) -> None:
        without(base / "metadata.csv", ids, "img_filename")
        for name in ids:
            (base / name).unlink()

    return SmallData(DataSpec("waterbirds", {"root": str(root), "size": 8}), delete)


def small_celeba(root: Path) -> SmallData:
    """The published tree: images and three text files, the first of which counts its rows."""
    layouts.celeba(root, size=(20, 16))
    base = root / "celeba"

    def delete(ids: Collection[str]) -> None:
        for path in (base / name for name in ("list_attr_celeba.txt", "list_eval_partition.txt", "identity_CelebA.txt")):
            lines = [line for line in path.read_text().splitlines() if line.split()[0] not in ids]
            counted = path.name == "list_attr_celeba.txt"
            path.write_text("\n".join([str(len(lines) - 2), *lines[1:]] if counted else lines) + "\n")
        for name in ids:
            (base / "img_align_celeba" / name).unlink()

    return SmallData(DataSpec("celeba", {"root": str(root), "size": 8}), delete)


def without(path: Path, ids: Collection[str], column: str = "id") -> None:
    """Delete rows of a CSV file."""
    with path.open(newline="") as stream:
        reader = csv.DictReader(stream)
        rows = [row for row in reader if row[column] not in ids]
        header = list(reader.fieldnames or ())
    layouts.table(path, header, [[row[name] for name in header] for row in rows])


KINDS: dict[str, Callable[[Path], SmallData]] = {
    "table": small_table,
    "table with sampled splits": lambda root: small_table(root, split=False),
    "image folder": small_folder,
    "waterbirds": small_waterbirds,
    "celeba": small_celeba,
}
"""Every kind by name."""
