"""Pictures and tables of published sets as they come from phones, cameras, other programs and other file systems."""

from __future__ import annotations

import io
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import layouts

from grmu_audit.cli.app import execute
from grmu_audit.data.images.decode import UndecodableError, decode, read_image_size

CASES = Path(__file__).parents[2] / "cases"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRMU_AUDIT_CACHE", str(tmp_path / "cache"))


def said(capsys: Any, *line: str) -> tuple[int, str]:
    code = execute(line)
    output = capsys.readouterr()
    return code, output.out + output.err


def test_the_case_of_a_phone(capsys: Any) -> None:
    shutil.copytree(CASES / "mpo-jpeg", "x")
    line = "data import --table x/labels.csv --images x/photos --target y --attribute sex --size 16 --out own.yaml"
    assert said(capsys, *line.split())[0] == 0
    code, text = said(capsys, "data", "describe", "own.yaml")
    assert code == 0
    assert "samples: train 5, val 4, test 4" in text


def saved(kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    first, second = layouts.piece(0, 1, (40, 30)), layouts.piece(1, 2, (20, 10))
    if kind in ("MPO", "GIF", "WEBP animation", "PNG animation", "TIFF"):
        options |= {"save_all": True, "append_images": [second.resize(first.size) if "MPO" not in kind else second]}
    first.save(buffer, format=kind.split()[0], **options)
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_first_picture_of_several_in_a_jpeg_is_read_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved("MPO", exif=exif, quality=95)
    assert Image.open(io.BytesIO(content)).format == "MPO", "the file is what it should be"
    size = read_image_size(content)
    alone = decode(saved("JPEG", exif=exif, quality=95), (size.height, size.width))
    assert (size.height, size.width) == ((40, 30) if orientation in (1, 3) else (30, 40))
    assert np.array_equal(decode(content, (size.height, size.width)), alone)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda: saved("GIF"), "not an image in JPEG, PNG, WEBP, BMP: it is a GIF image"),
        (lambda: saved("TIFF"), "it is a TIFF image"),
        (lambda: saved("WEBP animation"), "an animation: store single images"),
        (lambda: saved("PNG animation"), "an animation: store single images"),
        (lambda: b"\0\0\0\x18ftypheic" + bytes(50), "it is a HEIC image"),
        (lambda: b"\0\0\0\x18ftypavif" + bytes(50), "it is an AVIF image"),
        (lambda: b"\0\0\0\x18ftypmp42" + bytes(50), "it is a video"),
        (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "it is an SVG drawing"),
        (lambda: b"%PDF-1.4 ", "it is a PDF"),
        (lambda: saved("JPEG")[:300], "a JPEG image that is truncated or damaged"),
        (lambda: saved("MPO")[:300], "a JPEG image that is truncated or damaged"),
        (lambda: saved("WEBP")[:20], "a WebP image that is truncated or damaged"),
        (lambda: saved("BMP")[:20], "a BMP image that is truncated or damaged"),
        (lambda: saved("PNG")[:60], "truncated"),
        (lambda: saved("PPM"), "it is a PNM image"),
        (lambda: saved("PCX"), "it is a PCX image"),
        (lambda: saved("ICNS"), "it is an icon (ICNS)"),
        (lambda: saved("JPEG2000"), "it is a JPEG 2000 image"),
        (lambda: saved("EPS"), "it is a PostScript file"),
        (lambda: bytes(128) + b"DICM" + bytes(40), "it is a DICOM image"),
        (lambda: b"v/1\x01" + bytes(40), "it is an OpenEXR image"),
        (lambda: b"\x00\x05\x16\x07" + bytes(40), "a file of macOS beside the real one"),
        (lambda: b"/9j/4AAQSkZJRgABAQ==", "an image as base64 text"),
        (lambda: b"data:image/png;base64,iVBORw0KGgo=", "an image as base64 text"),
        (lambda: b"Not Found", "it is text ('Not Found')"),
        (lambda: b"<!-- proxy --><html></html>", "it is an HTML page"),
        (lambda: b"<html><body>404</body></html>", "it is an HTML page"),
        (lambda: b"version https://git-lfs.github.com/spec/v1\noid", "it is a Git LFS pointer"),
        (lambda: b"", "the file has zero bytes"),
    ],
)
def test_what_is_refused_says_what_it_is(content: Callable[[], bytes], says: str) -> None:
    with pytest.raises(UndecodableError) as caught:
        read_image_size(content())
    assert says in str(caught.value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_single_pictures_of_every_format_are_read_as_before(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    content = saved(kind, **options)
    assert np.array_equal(decode(content, (40, 30)), np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))


def test_links_to_pictures_are_followed(capsys: Any) -> None:
    layouts.folder(Path())
    Path("elsewhere").mkdir()
    first = Path("images/train/000.jpg")
    shutil.move(first, "elsewhere/a.jpg")
    first.symlink_to(Path("elsewhere/a.jpg").resolve())
    assert said(capsys, *OWN)[0] == 0
    assert said(capsys, "data", "describe", "own.yaml")[0] == 0


OWN = ["data", "import", "--table", "labels.csv", "--images", "images", "--target", "hired", "--attribute", "sex"]
OWN += ["--size", "16", "--out", "own.yaml"]


def rename(change: Callable[[str], str]) -> None:
    for path in list(Path("images").rglob("*.jpg")):
        path.rename(path.with_name(change(path.name)))


def in_table(old: str, new: str) -> None:
    Path("labels.csv").write_text(Path("labels.csv").read_text().replace(old, new))


def deeper() -> None:
    Path("images/photos").mkdir()
    for part in ("train", "val", "test"):
        shutil.move(f"images/{part}", f"images/photos/{part}")


def doubled() -> None:
    for part in ("train", "val", "test"):
        shutil.move(f"images/{part}", f"{part}_")
        Path(f"images/{part}").mkdir()
        shutil.move(f"{part}_", f"images/{part}/{part}")


ELSEWHERE: dict[str, tuple[Callable[[], object], str]] = {
    "capital endings": (lambda: rename(str.upper), "says '000.jpg' and the folder has '000.JPG', which differ in case"),
    "another ending": (
        lambda: rename(lambda n: n.replace(".jpg", ".png")),
        "and the folder has '000.png', which differ in the ending",
    ),
    "no endings in the table": (
        lambda: in_table(".jpg", ""),
        "says '000' and the folder has '000.jpg', which differ in the ending",
    ),
    "one level deeper": (deeper, "they lie one folder level deeper, in images/photos"),
    "doubled folders": (doubled, "they lie one folder level deeper, in images/train/train"),
    "the folder's own name": (lambda: in_table("train/", "images/train/"), "the table's paths begin with 'images'"),
    "capital folders": (lambda: shutil.move("images/train", "images/Train"), "says 'train' and the folder has 'Train'"),
    "one in another folder": (
        lambda: in_table("train/000.jpg", "000.jpg"),
        "it lies in images/train: correct its path in the table",
    ),
    "gone": (lambda: shutil.rmtree("images/train"), "44 of 76 images are missing under images (train/000.jpg"),
}


@pytest.mark.parametrize(("change", "says"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_missing_pictures_are_looked_for_under_other_names(change: Callable[[], object], says: str, capsys: Any) -> None:
    layouts.folder(Path())
    assert said(capsys, *OWN)[0] == 0
    change()
    code, text = said(capsys, "data", "describe", "own.yaml")
    assert says in text.replace(f"{Path.cwd()}/", "")
    assert ("unpack the images again" in text) == (says.startswith("44 of 76"))
    assert code == 2


def test_names_in_another_unicode_form(capsys: Any) -> None:
    layouts.folder(Path())
    in_table("train/000.jpg", unicodedata.normalize("NFC", "train/caf\u00e9.jpg"))
    Path("images/train/000.jpg").rename(Path("images/train") / unicodedata.normalize("NFD", "caf\u00e9.jpg"))
    assert said(capsys, *OWN)[0] == 0
    code, text = said(capsys, "data", "describe", "own.yaml")
    assert code == 2
    assert "which differ in Unicode form or blanks: write the names alike" in text


def celeba_csv() -> tuple[Path, Path]:
    layouts.celeba(Path(), form="csv", size=(20, 16))
    return Path("celeba/list_attr_celeba.csv"), Path("celeba/list_eval_partition.csv")


def with_index(path: Path, name: str) -> None:
    head, *lines = path.read_text().splitlines()
    path.write_text("\n".join([f"{name},{head}", *(f"{i},{line}" for i, line in enumerate(lines))]) + "\n")


def replaced(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


TABLES: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "index of pandas": (lambda a, p: with_index(a, ""), "list_attr_celeba.csv: its first column '' is an index"),
    "index written twice": (
        lambda a, p: with_index(a, "Unnamed: 0"),
        "list_attr_celeba.csv: its first column 'Unnamed: 0' is an index",
    ),
    "index with a name": (lambda a, p: with_index(a, "nr"), "first column 'nr' is an index that another program wrote"),
    "no header in the splits": (
        lambda a, p: p.write_text(p.read_text().partition("\n")[2]),
        "list_eval_partition.csv: row 1 is '000001.jpg,0': the line 'image_id,partition' is missing",
    ),
    "index in the splits": (lambda a, p: with_index(p, ""), "list_eval_partition.csv: 3 columns ('', 'image_id', 'partition')"),
    "other endings": (
        lambda a, p: replaced(a, ".jpg", ".png"),
        "list_eval_partition.csv: 76 of 76 images have no row (first: 000001.png)",
    ),
    "no endings": (
        lambda a, p: replaced(a, ".jpg", ""),
        "it has '000001.jpg', which differs in the ending: write the names alike",
    ),
    "capitals": (lambda a, p: replaced(p, ".jpg", ".JPG"), "it has '000001.JPG', which differs in case"),
    "labels as floats": (
        lambda a, p: replaced(a, ",1", ",1.0"),
        "is '1.0' (only the notation differs from '1'), must be one of -1, 1",
    ),
    "splits in words": (lambda a, p: replaced(p, ",2", ",test"), "split is 'test', must be one of 0, 1, 2"),
    "no table at all": (
        lambda a, p: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "list_eval_partition.csv: it looks like a Git LFS pointer",
    ),
    "a trailing comma": (
        lambda a, p: replaced(p, ",0", ",0,"),
        "row 2 has 3 cells where 2 are expected: a comma stands at its end",
    ),
}


@pytest.mark.parametrize(("change", "says"), TABLES.values(), ids=TABLES)
def test_tables_of_a_published_set_name_the_right_file(change: Callable[[Path, Path], object], says: str, capsys: Any) -> None:
    change(*celeba_csv())
    code, text = said(capsys, "data", "describe", "celeba", "--data-root", ".", "--data-option", "size=16")
    assert says in text
    assert "unpack the images again" not in text
    assert code == 2


def test_the_case_of_an_index_in_celeba(capsys: Any) -> None:
    shutil.copytree(CASES / "celeba-index-column" / "celeba", "celeba")
    code, text = said(capsys, "data", "describe", "celeba", "--data-root", ".", "--data-option", "size=16")
    assert code == 2
    assert "list_attr_celeba.csv: its first column '' is an index" in text
    assert "the names stand in column 'image_id': remove the first column" in text


@pytest.mark.parametrize(("flag", "code"), [("True", 0), ("TRUE", 2), ("1", 2), ("true", 2), ("yes", 2)])
def test_service_test_in_any_notation_as_before(flag: str, code: int, capsys: Any) -> None:
    layouts.fairface(Path())
    for part in ("train", "val"):
        replaced(Path(f"fairface/fairface_label_{part}.csv"), ",True", f",{flag}")
    found, text = said(capsys, "data", "describe", "fairface", "--data-root", ".", "--data-option", "size=16")
    assert found == code
    hint = " (only the notation differs from 'True')" if flag.lower() == "true" else ""
    assert code == 0 or f"service_test is '{flag}'{hint}, must be one of False, True" in text


def test_target_and_attribute_are_two_columns(capsys: Any) -> None:
    celeba_csv()
    options = ["--data-option", "size=16", "--data-option", "attributes=Blond_Hair"]
    code, text = said(capsys, "data", "describe", "celeba", "--data-root", ".", *options)
    assert code == 2
    assert "Blond_Hair is target and attribute at once" in text


PARTS: dict[str, tuple[Callable[[], object], str]] = {
    "one level deeper": (
        lambda: (Path("data").mkdir(), shutil.move("celeba", "data/celeba")),
        "(it lies in data: name that folder)",
    ),
    "two levels deeper": (
        lambda: (Path("data/new").mkdir(parents=True), shutil.move("celeba", "data/new/celeba")),
        "(it lies in data/new: name that folder)",
    ),
    "in folders as published": (
        lambda: (Path("celeba/Img").mkdir(), shutil.move("celeba/img_align_celeba", "celeba/Img/img_align_celeba")),
        "(it lies in celeba/Img: move it into celeba)",
    ),
    "capitals": (
        lambda: Path("celeba/list_attr_celeba.csv").rename("celeba/List_Attr_CelebA.csv"),
        "(there is 'List_Attr_CelebA.csv', which differs in case)",
    ),
    "not unpacked": (
        lambda: Path("celeba/img_align_celeba").rename("celeba/img_align_celeba.zip"),
        "(there is 'img_align_celeba.zip', which differs in the ending)",
    ),
    "another ending": (
        lambda: Path("celeba/list_eval_partition.csv").rename("celeba/list_eval_partition.tsv"),
        "(there is 'list_eval_partition.tsv', which differs in the ending)",
    ),
    "gone": (lambda: Path("celeba/list_eval_partition.csv").unlink(), "list_eval_partition.csv\nTo get it: "),
}


@pytest.mark.parametrize(("change", "says"), PARTS.values(), ids=PARTS)
def test_missing_parts_are_looked_for_under_other_names(change: Callable[[], object], says: str, capsys: Any) -> None:
    celeba_csv()
    change()
    code, text = said(capsys, "data", "describe", "celeba", "--data-root", ".", "--data-option", "size=16")
    assert says in text.replace(f"{Path.cwd()}/", "")
    assert code == 2


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "000001.jpg 0",
            "000001.jpg,0",
            "list_eval_partition.txt: row 1 has 1 words where 2 are expected: commas stand between them",
        ),
        ("000001.jpg 0", "000001.jpg 0 0", "row 1 has 3 words where 2 are expected: restore the file"),
        ("000002.jpg 0", "000002.JPG 0", "images have no row (first: 000002.jpg): it has '000002.JPG', which differs in case"),
    ],
)
def test_text_tables_of_celeba(old: str, new: str, says: str, capsys: Any) -> None:
    layouts.celeba(Path(), size=(20, 16))
    replaced(Path("celeba/list_eval_partition.txt"), old, new)
    code, text = said(capsys, "data", "describe", "celeba", "--data-root", ".", "--data-option", "size=16")
    assert says in text
    assert code == 2
