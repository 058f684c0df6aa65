"""Folders with one sub-folder per class, in the layouts that people have."""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from grmu_audit.cli.app import execute
from grmu_audit.data.catalog import DataSpec, read_listing
from grmu_audit.data.import_folder import write_table
from grmu_audit.data.listing import Listing
from grmu_audit.errors import InputError


def pictures(folder: Path, count: int, ending: str = "png") -> None:
    folder.mkdir(parents=True)
    for i in range(count):
        Image.new("RGB", (8, 8), (i * 9 % 256, len(folder.name), 0)).save(
            folder / f"{folder.parent.name}{folder.name}{i}.{ending}"
        )


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def splits(rows: list[dict[str, str]]) -> Counter[tuple[str, str]]:
    return Counter((row["split"], row["class"]) for row in rows)


def test_classes_alone_are_split_by_class(tmp_path: Path) -> None:
    pictures(tmp_path / "x" / "cat", 20)
    pictures(tmp_path / "x" / "dog", 10)
    found = write_table(tmp_path / "x", tmp_path / "x.csv")
    assert splits(read(found.path)) == {
        ("train", "cat"): 14, ("val", "cat"): 2, ("test", "cat"): 4, ("train", "dog"): 7, ("val", "dog"): 1, ("test", "dog"): 2,
    }  # fmt: skip
    assert read(write_table(tmp_path / "x", tmp_path / "y.csv").path) == read(found.path)


@pytest.mark.parametrize("validation", ["val", "valid", "validation"])
def test_splits_of_a_folder_are_kept(tmp_path: Path, validation: str) -> None:
    for part, count in (("train", 5), (validation, 2), ("test", 3)):
        for name in ("cat", "dog"):
            pictures(tmp_path / "x" / part / name, count)
    rows = read(write_table(tmp_path / "x", tmp_path / "x.csv").path)
    assert Counter(row["split"] for row in rows) == {"train": 10, "val": 4, "test": 6}


def test_tiny_imagenet_is_tested_on_its_validation_images(tmp_path: Path) -> None:
    root = tmp_path / "tiny-imagenet-200"
    for name in ("n01", "n02"):
        pictures(root / "train" / name / "images", 10, "jpeg")
        (root / "train" / name / f"{name}_boxes.txt").write_text("x\t0\t0\t9\t9\n")
    pictures(root / "val" / "images", 4)
    names = sorted(path.name for path in (root / "val" / "images").iterdir())
    lines = [f"{name}\tn0{1 + i % 2}\t0\t0\t9\t9" for i, name in enumerate(names)]
    (root / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    pictures(root / "test" / "images", 3)
    found = write_table(root, tmp_path / "t.csv")
    rows = read(found.path)
    assert Counter(row["split"] for row in rows) == {"train": 18, "val": 2, "test": 4}
    assert [row["class"] for row in rows if row["split"] == "test"] == ["n01", "n02", "n01", "n02"]
    assert "left out:" in found.facts[1]


def test_import_without_attribute_and_with_labels_that_come_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("hired", "rejected"):
        pictures(tmp_path / "x" / name, 10)
    assert execute(["data", "import", "--images", "x", "--out", "own.yaml"]) == 0
    said = capsys.readouterr()
    assert "positive: rejected" in said.out
    assert "say --positive hired" in said.err
    assert "fairness between people is not measured" in said.err
    found = read_listing(DataSpec(str(tmp_path / "own.yaml")))
    assert isinstance(found, Listing)
    assert found.header.attribute_names == ("all samples",)
    people = "\n".join(f"xhired{i}.png,{'fm'[i % 2]}" for i in range(10))
    (tmp_path / "sex.csv").write_text(f"id,sex\n{people}\nrejected/xrejected0.png,f\n")
    line = ["data", "import", "--images", "x", "--attribute-file", "sex.csv", "--positive", "hired", "--out", "own.yaml"]
    assert execute(line) == 0
    assert capsys.readouterr().err == "next: grmu-audit data describe own.yaml\n"
    found = read_listing(DataSpec(str(tmp_path / "own.yaml")))
    assert found.header.attribute_names == ("f", "m")
    assert found.header.class_names[found.header.positive_class] == "hired"
    assert (len(found.frame), dict(found.excluded)) == (11, {"sex": 9})


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda x: pictures(x / "cat", 3), "1 class(es) with images: one sub-folder per class is needed"),
        (lambda x: x.mkdir(), "0 class(es) with images"),
        (lambda x: x.write_text("not unpacked"), "x: no such folder"),
        (lambda x: [pictures(x / "train" / n, 3) for n in "ab"] + [pictures(x / "test" / "c", 1)], "class 'c' has no training"),
    ],
)
def test_other_folders_are_refused(tmp_path: Path, make: object, says: str) -> None:
    make(tmp_path / "x")  # type: ignore[operator]
    with pytest.raises(InputError) as caught:
        write_table(tmp_path / "x", tmp_path / "x.csv")
    assert says in str(caught.value)
    assert not (tmp_path / "x.csv").exists()


@pytest.mark.parametrize("line", ["gone.png\tn02\t0\t0\t9\t9", "valimages1.png n02 0 0 9 9", "images/valimages1.png\tn02", ""])
def test_a_line_of_annotations_that_names_no_image_is_refused(tmp_path: Path, line: str) -> None:
    for name in ("n01", "n02"):
        pictures(tmp_path / "x" / "train" / name, 3)
    pictures(tmp_path / "x" / "val" / "images", 2)
    annotations = tmp_path / "x" / "val" / "val_annotations.txt"
    annotations.write_text(f"valimages0.png\tn01\t0\t0\t9\t9\n{line}\n")
    shown = re.escape(repr(line.split("\t")[0]))
    with pytest.raises(InputError, match=rf"val_annotations.txt: row 2: {shown} is not an image in .*images: restore it"):
        write_table(tmp_path / "x", tmp_path / "x.csv")


def test_annotations_in_another_encoding_are_refused(tmp_path: Path) -> None:
    for name in ("n01", "n02"):
        pictures(tmp_path / "x" / "train" / name, 3)
    pictures(tmp_path / "x" / "val" / "images", 2)
    (tmp_path / "x" / "val" / "val_annotations.txt").write_bytes(b"valimages0.png\tcaf\xe9\t0\t0\t9\t9\n")
    with pytest.raises(InputError, match=r"val_annotations.txt: is not UTF-8 text: byte 18: save it as UTF-8"):
        write_table(tmp_path / "x", tmp_path / "x.csv")


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"a\nb.png"])
def test_a_file_name_that_no_table_can_hold_is_refused(tmp_path: Path, name: bytes) -> None:
    for label in ("cat", "dog"):
        pictures(tmp_path / "x" / label, 3)
    (tmp_path / "x" / "cat" / "xcat0.png").rename(tmp_path / "x" / "cat" / os.fsdecode(name))
    with pytest.raises(InputError, match=r"the file name 'cat/.*' holds a character that cannot be printed: rename the file"):
        write_table(tmp_path / "x", tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id\ncat/xcat0.png\n", "needs the column id and columns of attributes (not path, split or class)"),
        ("id,class\ncat/xcat0.png,cat\n", "needs the column id and columns of attributes (not path, split or class)"),
        ("id,sex\ncat/xcat0.png,f\nxcat9.png,f\n", "row 3: no image 'xcat9.png': ids are paths such as cat/xcat0.png"),
        ("id,sex\ncat/XCAT0.png,f\n", "no image 'cat/XCAT0.png' (only the notation differs from 'cat/xcat0.png')"),
        ("id,sex\ncat/xcat0.png,f\nxcat0.png,m\n", "row 3: 'cat/xcat0.png' is named by path and by file name: keep one row"),
        ("id,sex\nsame.png,f\n", "row 2: no image 'same.png': ids are paths such as cat/same.png"),
    ],
)
def test_an_attribute_file_that_does_not_fit_the_folder_is_refused(tmp_path: Path, text: str, says: str) -> None:
    for name in ("cat", "dog"):
        pictures(tmp_path / "x" / name, 3)
        if "same" in text:  # the name alone says neither which one is meant
            (tmp_path / "x" / name / f"x{name}0.png").rename(tmp_path / "x" / name / "same.png")
    (tmp_path / "sex.csv").write_text(text)
    with pytest.raises(InputError) as caught:
        write_table(tmp_path / "x", tmp_path / "x.csv", tmp_path / "sex.csv")
    assert says in str(caught.value)
    assert not (tmp_path / "x.csv").exists()
