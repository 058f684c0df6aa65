"""``data list``, ``describe``, ``check`` and ``import`` at the command line."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from support import layouts

from grmu_audit.cli.app import execute
from grmu_audit.errors import ExitCode


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRMU_AUDIT_CACHE", str(tmp_path / "cache"))
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *line: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = execute(["--quiet", *line])
    output = capsys.readouterr()
    return code, output.out, output.err


def test_list_names_every_reader(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "data", "list")
    assert code == 0
    assert {"celeba", "cifar10", "fairface", "photodigits", "waterbirds"} <= {line.split()[0] for line in out.splitlines()}


def test_describe_shows_the_mix_before_and_after_a_list(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layouts.celeba(here, size=(40, 30))
    gone = [f"{i:06d}.jpg" for i in range(37, 41)]  # half of the eight blond men of train
    Path("ids.csv").write_text("\n".join(["id", *gone]) + "\n")
    line = ["data", "describe", "celeba", "--data-root", ".", "--forget", "ids.csv", "--svg", "mix.svg"]
    code, out, _ = run(capsys, *line)
    assert code == 0
    assert "samples: train 44, val 10, test 22" in out
    assert "subjects: 38 (identity)" in out
    assert "image files (height x width): 40 x 30 (76)" in out
    row = next(line for line in out.splitlines() if line.startswith("1,1  blond / male"))
    assert row.split()[-6:] == ["8", "4", "4", "3", "7", "2.00"]
    words = [node.text.strip() for node in ET.parse("mix.svg").iter() if node.text and node.text.strip()]
    assert {"18.2 %", "10.0 %", "× 2.00"} <= set(words)  # 8 of 44 before, 4 of 40 after


def test_check_reports_shift_subjects_and_copies(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layouts.celeba(here, size=(40, 30))
    people = Path("celeba/identity_CelebA.txt")
    people.write_text(people.read_text().replace("000045.jpg 2902", "000045.jpg 2880"))  # the first of val is the first of train
    images = Path("celeba/img_align_celeba")
    photo = layouts.piece(1, 29, (40, 30)).resize((60, 80))
    layouts.save(photo, images / "000060.jpg")  # in test, like 000030.jpg of train but larger
    Path("ids.csv").write_text("id\n" + "".join(f"{i:06d}.jpg\n" for i in range(37, 44)))
    code, out, _ = run(capsys, "data", "check", "celeba", "--data-root", ".", "--forget", "ids.csv", "--json")
    assert code == 0
    report = json.loads(out)
    warned = {(r["part"], r["expectation"]): r["observed"] for r in report["results"] if not r["passed"]}
    assert warned[("val", "no subject of train again in val")].startswith("1 of 10 rows fail")
    assert warned[("test", "no near-duplicate of train in test")].startswith("1 of 22 rows fail")
    assert warned[("retain", "no REWEIGHT weight above 5")] == "1 of 4 groups fail: 'blond / male': 8"
    assert len(warned) == 3
    shift = {row["name"]: row for row in report["group_shift"]}
    assert shift["blond / male"]["weight"] == 8.0
    assert shift["blond / male"]["share_before"] == pytest.approx(8 / 44)
    assert shift["blond / male"]["share_after"] == pytest.approx(1 / 37)
    code, out, _ = run(capsys, "data", "check", "celeba", "--data-root", ".", "--minimum-group", "6")
    assert code == ExitCode.DATA_QUALITY
    assert "FAILED   test" in out


def test_check_notices_an_altered_cache(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layouts.celeba(here, size=(40, 30))
    assert run(capsys, "data", "check", "celeba", "--data-root", ".")[0] == 0
    pixels = next(Path("cache").rglob("pixels.bin"))
    content = bytearray(pixels.read_bytes())
    content[7] ^= 1
    pixels.write_bytes(content)
    code, _, err = run(capsys, "data", "check", "celeba", "--data-root", ".")
    assert code == ExitCode.INTEGRITY
    assert "1 of 76 images in the cache" in err


def test_import_of_published_data_says_what_is_missing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "data", "import", "celeba", "--data-root", ".")
    assert code == ExitCode.USAGE
    assert "0 of 3 parts are there" in err
    assert "data import celeba --data-root DIR --download" in err
    code, _, err = run(capsys, "data", "import", "waterbirds", "--data-root", ".", "--download")
    assert code == ExitCode.USAGE
    assert "waterbirds: cannot be downloaded; can: celeba, cifar10" in err
    code, _, err = run(capsys, "data", "import", "waterbird", "--data-root", ".", "--download")
    assert code == ExitCode.USAGE
    assert "no dataset 'waterbird' (did you mean 'waterbirds'?)" in err
    code, _, err = run(capsys, "data", "import", "celeba", "--table", "labels.csv", "--target", "hired", "--attribute", "sex")
    assert code == ExitCode.USAGE
    assert "celeba and --table exclude each other" in err
    code, _, err = run(capsys, "data", "import", "celeba", "--data-root", ".", "--attribute", "sex")
    assert code == ExitCode.USAGE
    assert "celeba and --attribute exclude each other: --attribute is for your own data" in err
    code, _, err = run(capsys, "data", "import", "--table", "labels.csv", "--data-root", ".")
    assert code == ExitCode.USAGE
    assert "--data-root goes with the name of a published dataset" in err
    code, _, err = run(capsys, "data", "import")
    assert code == ExitCode.USAGE
    assert "--table FILE --target COLUMN --attribute COLUMN" in err


def test_download_goes_through_torchvision(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Torchvision's class is replaced by one that unpacks a local tree: no test reaches the network."""
    from torchvision import datasets

    class Local:
        def __init__(self, root: str, download: bool) -> None:
            assert download
            layouts.cifar10(Path(root))

    monkeypatch.setattr(datasets, "CIFAR10", Local)
    code, out, err = run(capsys, "data", "import", "cifar10", "--data-root", "got", "--download")
    assert code == 0
    assert "samples: train 180, val 20, test 40" in out
    assert "next: grmu-audit pretrain --name cifar10 --data cifar10 --data-root got" in err

    class Offline:
        def __init__(self, root: str, download: bool) -> None:
            raise OSError("Name or service not known")

    monkeypatch.setattr(datasets, "CelebA", Offline)
    code, _, err = run(capsys, "data", "import", "celeba", "--data-root", "got", "--download")
    assert code == ExitCode.ENVIRONMENT
    assert "torchvision could not download it into got (OSError: Name or service not known)" in err
