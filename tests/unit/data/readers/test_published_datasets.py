from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from support import layouts

from grmu_audit.data.catalog import DataSpec, load_dataset, read_listing
from grmu_audit.data.dataset import Dataset
from grmu_audit.data.listing import Listing
from grmu_audit.errors import InputError

EXPECTED = {(split, t, a): n for split, rows in layouts.GROUPS.items() for t, a, n in rows}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRMU_AUDIT_CACHE", str(tmp_path / "cache"))


def counts(data: Dataset | Listing) -> dict[tuple[str, int, int], int]:
    frame = data.frame
    return dict(Counter(zip(frame["split"], frame["target"].tolist(), frame["attribute"].tolist(), strict=True)))


@pytest.mark.parametrize("form", ["txt", "csv"])
def test_celeba_splits_groups_and_subjects(tmp_path: Path, form: str) -> None:
    layouts.celeba(tmp_path, form=form, size=(20, 16))
    data = read_listing(DataSpec("celeba", {"root": str(tmp_path)}))
    assert isinstance(data, Listing)
    assert counts(data) == EXPECTED
    assert data.frame["id"].iloc[0] == "000001.jpg"
    assert data.header.class_names == ("other hair", "blond")
    assert data.header.attribute_names == ("female", "male")
    assert data.header.subject_name == "identity"
    assert data.frame["subject"].tolist()[:4] == ["2880", "2880", "2881", "2881"]
    assert data.header.input_shape == (3, 224, 224)


def test_celeba_several_attributes_are_combined_last_one_fastest(tmp_path: Path) -> None:
    layouts.celeba(tmp_path, size=(20, 16), identities=False)
    data = read_listing(DataSpec("celeba", {"root": str(tmp_path), "attributes": "Male,Young"}))
    assert data.header.attribute_names == ("female, old", "female, young", "male, old", "male, young")
    frame = data.frame
    assert (frame["attribute"] == 2 * frame["Male"] + frame["Young"]).all()
    assert frame["Young"].tolist()[:4] == [0, 1, 1, 0]
    assert frame["subject"].is_unique
    assert data.header.subject_name == ""


def test_an_attribute_chosen_twice_is_refused(tmp_path: Path) -> None:
    layouts.celeba(tmp_path, size=(20, 16))
    with pytest.raises(InputError, match=r"chosen twice \(Male, Male\)"):
        read_listing(DataSpec("celeba", {"root": str(tmp_path), "attributes": "Male,Male"}))


@pytest.mark.parametrize(("form", "line"), [("txt", "000001.jpg 2"), ("csv", "000001.jpg,2")])
def test_celeba_image_in_two_splits_is_refused(tmp_path: Path, form: str, line: str) -> None:
    layouts.celeba(tmp_path, form=form, size=(20, 16))
    with (tmp_path / "celeba" / f"list_eval_partition.{form}").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(InputError, match=r"list_eval_partition.*000001.jpg' is already in row [12]"):
        read_listing(DataSpec("celeba", {"root": str(tmp_path)}))


def test_fairface_row_without_its_flag_is_refused_not_dropped(tmp_path: Path) -> None:
    layouts.fairface(tmp_path)
    table = tmp_path / "fairface" / "fairface_label_train.csv"
    table.write_text(table.read_text().replace(",True", ",", 1))
    with pytest.raises(InputError, match="row 2: service_test is '', must be one of False, True"):
        read_listing(DataSpec("fairface", {"root": str(tmp_path)}))


def test_celeba_other_target(tmp_path: Path) -> None:
    layouts.celeba(tmp_path, size=(20, 16))
    data = read_listing(DataSpec("celeba", {"root": str(tmp_path), "target": "Young"}))
    assert data.header.class_names == ("old", "young")
    assert int((data.frame["target"] == 0).sum()) == (sum(EXPECTED.values()) + 2) // 3
    with pytest.raises(InputError, match=r"no column 'Yong' \(did you mean 'Young'\?\); columns: image_id, Blond_Hair"):
        read_listing(DataSpec("celeba", {"root": str(tmp_path), "target": "Yong"}))


def test_waterbirds_split_codes(tmp_path: Path) -> None:
    layouts.waterbirds(tmp_path)
    data = read_listing(DataSpec("waterbirds", {"root": str(tmp_path)}))
    assert counts(data) == EXPECTED
    assert data.frame["id"].iloc[0] == "004.Groove_billed_Ani/Groove_billed_Ani_0000_0.jpg"
    assert (data.header.class_names, data.header.attribute_names) == (("landbird", "waterbird"), ("land", "water"))


def test_fairface_uses_service_test_rows_and_samples_validation(tmp_path: Path) -> None:
    layouts.fairface(tmp_path)
    spec = DataSpec("fairface", {"root": str(tmp_path)})
    data = read_listing(spec)
    found = counts(data)
    assert sum(n for (s, _, _), n in found.items() if s == "val") == 9
    cells = {(t, a) for _, t, a in found}
    assert cells == {(t, a) for t in (1, 3, 6) for a in (2, 3, 5)}
    for t, a in cells:
        assert found.get(("train", t, a), 0) + found.get(("val", t, a), 0) == 10
        assert found["test", t, a] == 4
    assert data.frame.equals(read_listing(spec).frame)
    other = read_listing(DataSpec("fairface", {"root": str(tmp_path), "seed": 1}))
    assert not data.frame["split"].equals(other.frame["split"])
    everything = read_listing(DataSpec("fairface", {"root": str(tmp_path), "service_test": False}))
    assert len(everything.frame) == 9 * 15 + 9 * 6
    gender = read_listing(DataSpec("fairface", {"root": str(tmp_path), "attributes": ["race", "gender"]}))
    assert gender.header.attribute_names[:2] == ("East Asian, Female", "East Asian, Male")


@pytest.mark.parametrize("binary", [False, True])
def test_cifar10_batches(tmp_path: Path, binary: bool) -> None:
    layouts.cifar10(tmp_path, binary=binary)
    data = load_dataset(DataSpec("cifar10", {"root": str(tmp_path)}))
    assert {s: len(data.rows(s)) for s in ("train", "val", "test")} == {"train": 180, "val": 20, "test": 40}
    assert data.frame["target"].tolist()[:12] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert data.pixels.shape == (240, 3, 32, 32)
    expected = np.asarray(layouts.piece(3, 7003, (32, 32))).transpose(2, 0, 1)
    assert (np.asarray(data.pixels[3]) == expected).all()
    assert data.header.attribute_names == ("all images",)
    assert data.frame["id"].iloc[-1] == "test-00039"


def test_cifar10_attribute_file_counts_what_it_lacks(tmp_path: Path) -> None:
    layouts.cifar10(tmp_path)
    lines = [[f"train-{i:05d}", ("day", "night")[i % 2]] for i in range(190)] + [[f"test-{i:05d}", "day"] for i in range(40)]
    layouts.table(tmp_path / "light.csv", ["id", "light"], lines)
    data = load_dataset(DataSpec("cifar10", {"root": str(tmp_path), "attribute_file": str(tmp_path / "light.csv")}))
    assert data.header.attribute_names == ("day", "night")
    assert data.excluded == {"light": 10}
    assert len(data) == 230 == len(data.pixels)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["train-00000", "night"], "row 3: the id 'train-00000' is already in row 2"),
        (["train-0", "night"], "no image 'train-0': ids are train-00000 to test-00039"),
    ],
)
def test_cifar10_attribute_file_with_a_doubtful_id_is_refused(tmp_path: Path, line: list[str], message: str) -> None:
    layouts.cifar10(tmp_path)
    layouts.table(tmp_path / "light.csv", ["id", "light"], [["train-00000", "day"], line])
    with pytest.raises(InputError, match=message):
        load_dataset(DataSpec("cifar10", {"root": str(tmp_path), "attribute_file": str(tmp_path / "light.csv")}))


class Evil:
    def __reduce__(self):  # type: ignore[no-untyped-def]
        return (print, ("code of the pickle ran",))


def test_cifar10_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layouts.cifar10(tmp_path)
    (tmp_path / "cifar-10-batches-py" / "data_batch_3").write_bytes(pickle.dumps({b"data": Evil(), b"labels": [0]}, protocol=2))
    with pytest.raises(InputError, match=r"data_batch_3: refused.*needs (__builtin__|builtins).print"):
        load_dataset(DataSpec("cifar10", {"root": str(tmp_path)}))
    assert "code of the pickle ran" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"\x80\x02garbage", pickle.dumps({b"data": 3}), pickle.dumps([1, 2])])
def test_cifar10_damaged_batch_is_named(tmp_path: Path, content: bytes) -> None:
    layouts.cifar10(tmp_path)
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(content)
    with pytest.raises(InputError, match=r"test_batch: (not a batch of CIFAR-10|refused)"):
        load_dataset(DataSpec("cifar10", {"root": str(tmp_path)}))


@pytest.mark.parametrize(("name", "what"), [("celeba", 3), ("waterbirds", 1), ("fairface", 4), ("cifar10", 6)])
def test_missing_data_lists_all_of_it_and_how_to_get_it(tmp_path: Path, name: str, what: int) -> None:
    with pytest.raises(InputError) as raised:
        read_listing(DataSpec(name, {"root": str(tmp_path)}))
    text = str(raised.value)
    assert f"0 of {what} parts are there" in text
    assert text.count(str(tmp_path)) >= what + 1
    assert "To get it: " in text


def test_half_unpacked_images_are_counted_and_named(tmp_path: Path) -> None:
    layouts.celeba(tmp_path, size=(20, 16))
    for number in (3, 7):
        (tmp_path / "celeba" / "img_align_celeba" / f"{number:06d}.jpg").unlink()
    with pytest.raises(InputError, match=r"2 of 76 images are missing under .*000003.jpg, 000007.jpg\): unpack"):
        read_listing(DataSpec("celeba", {"root": str(tmp_path)}))


def test_root_comes_from_the_environment_when_the_recorded_one_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layouts.waterbirds(tmp_path)
    with pytest.raises(InputError, match="waterbirds: no data root is given: name the folder"):
        read_listing(DataSpec("waterbirds"))
    monkeypatch.setenv("GRMU_AUDIT_DATA_ROOT", str(tmp_path))
    there = load_dataset(DataSpec("waterbirds"))
    moved = load_dataset(DataSpec("waterbirds", {"root": "/no/such/folder"}))
    assert there.digest == moved.digest


def test_unknown_option_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"celeba: option 'size'.*; unknown option 'sized'; known options: attributes, root, size, target"
    ):
        read_listing(DataSpec("celeba", {"root": str(tmp_path), "sized": 3, "size": "big"}))


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_celeba_images_may_lie_in_a_folder_of_their_own_name(tmp_path: Path) -> None:
    layouts.celeba(tmp_path, size=(20, 16))
    base = tmp_path / "celeba"
    (base / "img_align_celeba").rename(base / "inner")
    (base / "img_align_celeba").mkdir()
    (base / "inner").rename(base / "img_align_celeba" / "img_align_celeba")
    data = read_listing(DataSpec("celeba", {"root": str(tmp_path)}))
    assert isinstance(data, Listing)
    assert data.root == base / "img_align_celeba" / "img_align_celeba"
    assert counts(data) == EXPECTED


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("76\n", "76 images\n", "list_attr_celeba.txt: row 1 must be the number of images and row 2 the names of the columns"),
        ("76\n", "many\n", "list_attr_celeba.txt: row 1 must be the number of images and row 2 the names of the columns"),
        ("76\n", "77\n", "list_attr_celeba.txt: row 1 says 77 images, but 76 follow: restore the file"),
        ("000001.jpg  ", "000001.jpg  1 ", "row 3 has 5 words where 4 are expected: restore the file"),
        ("000001.jpg  -1  -1  -1", "000001.jpg,-1,-1,-1", "row 3 has 1 words where 4 are expected: commas stand between them"),
    ],
)
def test_celeba_damaged_table_of_attributes_is_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    layouts.celeba(tmp_path, size=(20, 16))
    replaced(tmp_path / "celeba" / "list_attr_celeba.txt", old, new)
    with pytest.raises(InputError) as caught:
        read_listing(DataSpec("celeba", {"root": str(tmp_path)}))
    assert says in str(caught.value)


@pytest.mark.parametrize("options", [{"target": "height"}, {"attributes": ["race", "height"]}])
def test_fairface_column_that_is_none_of_its_own_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(InputError, match="fairface: no column 'height'; columns: age, race, gender"):
        read_listing(DataSpec("fairface", options))


def test_a_recorded_root_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=f"waterbirds: the data root {tmp_path}/gone is not a folder: correct --data-root, or set"
    ):
        read_listing(DataSpec("waterbirds", {"root": str(tmp_path / "gone")}))


def test_cifar10_attribute_file_of_several_columns_is_refused(tmp_path: Path) -> None:
    layouts.cifar10(tmp_path)
    layouts.table(tmp_path / "light.csv", ["id", "light", "place"], [["train-00000", "day", "sea"]])
    with pytest.raises(InputError, match="needs the column id and exactly one other, has id, light, place"):
        load_dataset(DataSpec("cifar10", {"root": str(tmp_path), "attribute_file": str(tmp_path / "light.csv")}))


@pytest.mark.parametrize("size", [0, 3072, 2 * 3073 - 1])
def test_cifar10_binary_batch_of_no_whole_records_is_named(tmp_path: Path, size: int) -> None:
    layouts.cifar10(tmp_path, binary=True)
    (tmp_path / "cifar-10-batches-bin" / "data_batch_2.bin").write_bytes(bytes(size))
    with pytest.raises(
        InputError, match=f"data_batch_2.bin: {size} bytes are not whole records of 3073: unpack the archive again"
    ):
        load_dataset(DataSpec("cifar10", {"root": str(tmp_path)}))


@pytest.mark.parametrize(
    ("data", "labels", "says"),
    [
        (np.zeros((2, 3072), dtype=np.float32), [0, 1], "holds float32 (2, 3072), expected uint8 (n, 3072) and n labels"),
        (np.zeros((2, 3071), dtype=np.uint8), [0, 1], "holds uint8 (2, 3071), expected uint8 (n, 3072) and n labels"),
        (np.zeros((2, 3072), dtype=np.uint8), [0], "holds uint8 (2, 3072), expected uint8 (n, 3072) and n labels"),
        (np.zeros((2, 3072), dtype=np.uint8), [0, 10], "a label is outside 0..9: unpack the archive again"),
        (np.zeros((2, 3072), dtype=np.uint8), [-1, 0], "a label is outside 0..9: unpack the archive again"),
        (np.zeros((2, 3072), dtype=np.uint8), [0.0, 1.0], "a label is outside 0..9: unpack the archive again"),
    ],
)
def test_cifar10_batch_of_other_arrays_is_named(tmp_path: Path, data: np.ndarray, labels: list[float], says: str) -> None:
    layouts.cifar10(tmp_path)
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(pickle.dumps({b"data": data, b"labels": labels}, protocol=2))
    with pytest.raises(InputError) as caught:
        load_dataset(DataSpec("cifar10", {"root": str(tmp_path)}))
    assert "data_batch_1: " + says in str(caught.value)
