"""Small trees in exactly the layouts that the datasets are published in, with real JPEGs cut from scikit-learn's photographs."""

from __future__ import annotations

import csv
import pickle
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image


@cache
def photograph(name: str) -> Image.Image:
    from sklearn.datasets import load_sample_image

    return Image.fromarray(load_sample_image(name))


def piece(kind: int, number: int, size: tuple[int, int]) -> Image.Image:
    """A crop (height, width) of one of the two photographs, a different one for each number."""
    image = photograph(("china.jpg", "flower.jpg")[kind % 2])
    rng = np.random.default_rng([kind, number])
    x, y = int(rng.integers(0, image.width - size[1] + 1)), int(rng.integers(0, image.height - size[0] + 1))
    return image.crop((x, y, x + size[1], y + size[0]))


def save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=90)


def cells(counts: dict[str, Sequence[tuple[int, int, int]]]) -> list[tuple[str, int, int]]:
    """(split, target, attribute) of every sample, from counts per cell."""
    return [(split, target, attribute) for split, rows in counts.items() for target, attribute, n in rows for _ in range(n)]


GROUPS = {
    "train": [(0, 0, 14), (0, 1, 10), (1, 0, 12), (1, 1, 8)],
    "val": [(0, 0, 2), (0, 1, 3), (1, 0, 2), (1, 1, 3)],
    "test": [(0, 0, 4), (0, 1, 5), (1, 0, 6), (1, 1, 7)],
}
"""Samples of each (target, attribute) in the two-by-two trees."""


def celeba(root: Path, *, size: tuple[int, int] = (218, 178), form: str = "txt", identities: bool = True) -> None:
    base = root / "celeba"
    rows = cells(GROUPS)
    names = [f"{i:06d}.jpg" for i in range(1, len(rows) + 1)]
    for i, (name, (_, target, _)) in enumerate(zip(names, rows, strict=True)):
        save(piece(target, i, size), base / "img_align_celeba" / name)
    young = [i % 3 != 0 for i in range(len(rows))]
    signed = [[("-1", "1")[v] for v in (t, a, y)] for (_, t, a), y in zip(rows, young, strict=True)]
    codes = {"train": "0", "val": "1", "test": "2"}
    if form == "txt":
        lines = [f"{name}  " + "  ".join(f"{v:>2}" for v in values) + " " for name, values in zip(names, signed, strict=True)]
        (base / "list_attr_celeba.txt").write_text(f"{len(rows)}\nBlond_Hair Male Young \n" + "\n".join(lines) + "\n")
        parts = [f"{name} {codes[split]}" for name, (split, _, _) in zip(names, rows, strict=True)]
        (base / "list_eval_partition.txt").write_text("\n".join(parts) + "\n")
    else:
        table(
            base / "list_attr_celeba.csv",
            ["image_id", "Blond_Hair", "Male", "Young"],
            [[n, *v] for n, v in zip(names, signed, strict=True)],
        )
        table(
            base / "list_eval_partition.csv",
            ["image_id", "partition"],
            [[n, codes[r[0]]] for n, r in zip(names, rows, strict=True)],
        )
    if identities:  # neighbours share a person; the last train sample and the first val sample are one person
        people = [f"{name} {2880 + i // 2}" for i, name in enumerate(names)]
        (base / "identity_CelebA.txt").write_text("\n".join(people) + "\n")


def waterbirds(root: Path) -> None:
    base = root / "waterbird_complete95_forest2water2"
    rows = cells(GROUPS)
    lines = []
    for i, (split, target, attribute) in enumerate(rows):
        species = ("004.Groove_billed_Ani", "001.Black_footed_Albatross")[target]
        name = f"{species}/{species[4:]}_{i:04d}_{i}.jpg"
        save(piece(attribute, 100 + i, (60 + i % 20, 90 + i % 7)), base / name)
        place = ("/b/bamboo_forest/00000131.jpg", "/o/ocean/00000009.jpg")[attribute]
        lines.append([str(i + 1), name, str(target), str(("train", "val", "test").index(split)), str(attribute), place])
    table(base / "metadata.csv", ["img_id", "img_filename", "y", "split", "place", "place_filename"], lines)


AGES, RACES = ("3-9", "20-29", "50-59"), ("Black", "White", "Latino_Hispanic")


def fairface(
    root: Path, per_group: int = 10, per_test: int = 4, ages: Sequence[str] = AGES, races: Sequence[str] = RACES
) -> None:
    """Three ages by three races, unless others are named; a quarter of the rows have service_test False."""
    base = root / "fairface"
    for part, count in (("train", per_group), ("val", per_test)):
        lines = []
        number = 0
        for age in ages:
            for race in races:
                for k in range(count + count // 2):
                    number += 1
                    save(piece(ages.index(age), 1000 * (part == "val") + number, (48, 48)), base / part / f"{number}.jpg")
                    lines.append([f"{part}/{number}.jpg", age, ("Male", "Female")[k % 2], race, str(k < count)])
        table(base / f"fairface_label_{part}.csv", ["file", "age", "gender", "race", "service_test"], lines)


def cifar10(root: Path, per_batch: int = 40, binary: bool = False) -> None:
    """Five training batches and a test batch, ten classes in turn."""
    folder = root / ("cifar-10-batches-bin" if binary else "cifar-10-batches-py")
    folder.mkdir(parents=True)
    for b, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        labels = [i % 10 for i in range(per_batch)]
        images = [
            np.asarray(piece(label, 7000 + 100 * b + i, (32, 32))).transpose(2, 0, 1).reshape(-1)
            for i, label in enumerate(labels)
        ]
        data = np.stack(images)
        if binary:
            records = np.concatenate([np.array(labels, dtype=np.uint8)[:, None], data], axis=1)
            (folder / f"{name}.bin").write_bytes(records.tobytes())
        else:
            tree = {b"batch_label": b"batch", b"labels": labels, b"data": data, b"filenames": [b"x.png"] * len(labels)}
            (folder / name).write_bytes(pickle.dumps(tree, protocol=2))


def table(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])


def folder(root: Path, size: tuple[int, int] = (40, 40)) -> None:
    """Own data: images in folders and one table of labels with two attributes and a subject."""
    lines = []
    for i, (split, target, attribute) in enumerate(cells(GROUPS)):
        name = f"{split}/{i:03d}.jpg"
        save(piece(target, 3000 + i, size), root / "images" / name)
        lines.append([f"s{i:03d}", name, split, ("no", "yes")[target], ("f", "m")[attribute], f"p{i // 2}"])
    table(root / "labels.csv", ["id", "path", "split", "hired", "sex", "person"], lines)
