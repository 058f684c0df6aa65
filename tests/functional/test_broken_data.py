"""Broken input: one clear message, exit 2 or 5, and never a traceback."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import layouts

from grmu_audit.cli.app import execute
from grmu_audit.data.images.decode import UndecodableError, decode, read_image_size

FIRST = Path("images/train/000.jpg")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sound image folder with its manifest."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRMU_AUDIT_CACHE", str(tmp_path / "cache"))
    layouts.folder(tmp_path)
    line = [
        "data",
        "import",
        "--table",
        "labels.csv",
        "--images",
        "images",
        "--target",
        "hired",
        "--attribute",
        "sex",
        "--size",
        "32",
    ]
    assert execute([*line, "--out", "own.yaml"]) == 0
    return tmp_path


def truncated() -> None:
    FIRST.write_bytes(FIRST.read_bytes()[:-80])


def zero_bytes() -> None:
    FIRST.write_bytes(b"")


def sixteen_bits() -> None:
    Image.fromarray((np.arange(1600).reshape(40, 40) * 40).astype(np.uint16)).save(FIRST, format="PNG")


def link_loop() -> None:
    FIRST.unlink()
    FIRST.symlink_to(FIRST.name)


def pipe() -> None:
    import os

    FIRST.unlink()
    os.mkfifo(FIRST)


def a_file_for_a_folder() -> None:
    shutil.rmtree("images")
    Path("images").write_text("images.zip was not unpacked\n")


def folder_in_circles() -> None:
    shutil.rmtree("images/train")
    Path("images/train").symlink_to("train")


def thread() -> None:
    Image.new("L", (1, 16_000)).save(FIRST, format="PNG")


def semicolons() -> None:
    Path("labels.csv").write_text(Path("labels.csv").read_text().replace(",", ";"))


def bomb() -> None:
    Image.new("L", (17_000, 10)).save(FIRST, format="PNG")


def no_image() -> None:
    FIRST.write_bytes(b"#!/bin/sh\n")


def labels(old: str, new: str) -> Callable[[], None]:
    def change() -> None:
        text = Path("labels.csv").read_text()
        assert old in text
        Path("labels.csv").write_text(text.replace(old, new, 1))

    return change


def not_utf8() -> None:
    content = Path("labels.csv").read_bytes()
    Path("labels.csv").write_bytes(content.replace(b"train/001.jpg", b"train/\xe9\x01.jpg"))


def huge_field(quoted: bool) -> Callable[[], None]:
    def change() -> None:
        line = b"x" * 1000 + b"\n" if quoted else b"x" * 1000
        with Path("labels.csv").open("ab") as stream:
            stream.write(b's999,"')
            for _ in range(100):
                stream.write(line * 1000)
            stream.write(b'",train,yes,f,p1\n')

    return change


def group_only_in_train() -> None:
    text = Path("labels.csv").read_text().splitlines()
    kept = [line for line in text if not (",test," in line and ",yes,m," in line)]
    Path("labels.csv").write_text("\n".join(kept) + "\n")


def copy_into_test() -> None:
    Path("images/test/060.jpg").write_bytes(FIRST.read_bytes())


CASES = [
    ("truncated JPEG", truncated, 5, "train/000.jpg: truncated or damaged"),
    ("zero-byte file", zero_bytes, 5, "train/000.jpg: the file has zero bytes"),
    ("16-bit image", sixteen_bits, 5, "train/000.jpg: more than 8 bits a channel: convert it"),
    ("decompression bomb", bomb, 5, "train/000.jpg: 17000 x 10 pixels"),
    ("a thread of pixels", thread, 5, "train/000.jpg: 1 x 16000 pixels, a side more than 50 times the other"),
    ("no image at all", no_image, 5, "train/000.jpg: not an image in JPEG, PNG, WEBP, BMP"),
    ("symbolic link loop", link_loop, 2, "train/000.jpg: Too many levels of symbolic links"),
    ("named pipe", pipe, 2, "train/000.jpg: not a plain file"),
    ("a folder that is a link to itself", folder_in_circles, 2, "images/train is not a folder of images (Too many levels"),
    ("a folder that is a file", a_file_for_a_folder, 2, "images/train is not a folder of images (Not a directory)"),
    ("missing file", FIRST.unlink, 2, "1 of 76 images are missing"),
    ("path traversal", labels("train/000.jpg", "../../etc/passwd"), 2, "row 2: the path '../../etc/passwd' leads out of"),
    ("absolute path", labels("train/000.jpg", "/etc/passwd"), 2, "row 2: the path '/etc/passwd' is not relative"),
    ("duplicate id", labels("s001", "s000"), 2, "row 3: the id 's000' is already in row 2"),
    ("empty id", labels("s001", ""), 2, "row 3: the id is empty"),
    ("100 MB field", huge_field(quoted=False), 2, "row 78 is longer than 1 MiB"),
    ("100 MB field over many lines", huge_field(quoted=True), 2, "row 78 is not well-formed CSV (field larger than field limit"),
    ("names that are not UTF-8", not_utf8, 2, "row 3 is not UTF-8"),
    ("label out of range", labels(",no,f,", ",7,f,"), 2, "row 2: hired is '7', must be one of no, yes"),
    ("split that is none", labels(",train,", ",trian,"), 2, "row 2: split is 'trian', must be one of train, val, test"),
    ("a row with too few cells", labels(",no,f,p0", ",no"), 2, "row 2 has 4 cells where 6 are expected"),
    ("semicolons for commas", semicolons, 2, "labels.csv: the cells are separated by semicolons: save the table as CSV"),
    ("an unclosed quote", labels("s000", '"s000'), 2, "is not well-formed CSV"),
    ("a split without a group", group_only_in_train, 5, "'yes / m': 0"),
    ("the same image in train and test", copy_into_test, 5, "no content of train again in test"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "code", "says"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_broken_input(own: Path, capfd: pytest.CaptureFixture[str], change: Callable[[], None], code: int, says: str) -> None:
    change()
    capfd.readouterr()
    assert execute(["--quiet", "data", "check", "own.yaml"]) == code
    output = capfd.readouterr()
    assert says in output.err
    assert output.err.count("grmu-audit:") == 1
    assert "Traceback" not in output.out + output.err


def saved(image: Image.Image, tmp_path: Path, **options: object) -> bytes:
    image.save(tmp_path / "x.jpg", quality=95, **options)
    return (tmp_path / "x.jpg").read_bytes()


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_grey_and_cmyk_become_what_pillow_makes_of_them(tmp_path: Path, mode: str) -> None:
    content = saved(layouts.piece(0, 1, (40, 30)).convert(mode), tmp_path)
    expected = np.asarray(Image.open(tmp_path / "x.jpg").convert("RGB"))
    assert (decode(content, (40, 30)) == expected).all()
    assert (read_image_size(content).height, read_image_size(content).width) == (40, 30)


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    upright = layouts.piece(1, 2, (40, 30))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    content = saved(upright.transpose(Image.Transpose.ROTATE_90), tmp_path, exif=exif)
    found = read_image_size(content)
    assert (found.height, found.width) == (40, 30)
    pixels = decode(content, (40, 30))
    assert np.abs(pixels.astype(int) - np.asarray(upright).astype(int)).mean() < 4


@pytest.mark.parametrize("depth", ["rgb", "grey"])
def test_sixteen_bit_png_is_refused_and_never_clipped(tmp_path: Path, depth: str) -> None:
    """Pillow would turn most of a 16-bit grey image white, and drop half of the bits of a 16-bit colour one."""
    import struct
    import zlib

    channels, kind = (3, 2) if depth == "rgb" else (1, 0)
    rows = b"".join(b"\0" + struct.pack(f">{8 * channels}H", *range(0, 8 * channels * 900, 900)) for _ in range(8))

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 16, kind, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    with pytest.raises(UndecodableError, match="more than 8 bits"):
        read_image_size(content)


def test_sound_data_passes(own: Path) -> None:
    assert execute(["--quiet", "data", "check", "own.yaml"]) == 0
