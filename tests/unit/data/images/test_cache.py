from __future__ import annotations

import hashlib
import json
import mmap
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import layouts

from grmu_audit.data.batches import BatchSource
from grmu_audit.data.catalog import DataSpec, load_dataset, read_listing
from grmu_audit.data.dataset import Dataset
from grmu_audit.data.images import ImageStore, cache, decode, decode_listing
from grmu_audit.data.images.files import LARGEST_FILE, relative
from grmu_audit.data.images.store import INDEX, META, PIXELS, SCHEMA, image_digest, open_store
from grmu_audit.data.listing import Listing
from grmu_audit.errors import DataQualityError, EnvironmentFailure, InputError, IntegrityError

SIZE = (30, 24)


@pytest.fixture
def listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Listing:
    monkeypatch.setenv("GRMU_AUDIT_CACHE", str(tmp_path / "cache"))
    layouts.celeba(tmp_path, size=SIZE)
    found = read_listing(DataSpec("celeba", {"root": str(tmp_path), "size": 16}))
    assert isinstance(found, Listing)
    return found


def caches(tmp_path: Path) -> list[Path]:
    return [p for p in (tmp_path / "cache" / "images").iterdir() if p.is_dir() and p.name != "by-stat"]


def test_stored_pixels_are_pillows(listing: Listing) -> None:
    data = decode_listing(listing)
    assert len(data.pixels) == len(data) == 76
    for index in (0, 33, 75):
        expected = np.asarray(Image.open(listing.root / listing.paths[index]).convert("RGB"))
        assert (data.pixels[index] == expected).all()
        assert data.content[index] == image_digest(expected)


def test_second_load_decodes_nothing_and_a_copy_elsewhere_neither(
    listing: Listing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = decode_listing(listing)
    (tmp_path / "other").mkdir()
    (tmp_path / "celeba").rename(tmp_path / "other" / "celeba")
    for path in (tmp_path / "other" / "celeba" / "img_align_celeba").iterdir():
        os.utime(path, (1, 1))
    monkeypatch.setattr(cache, "decode", lambda *_: pytest.fail("decoded again"))
    copy = load_dataset(DataSpec("celeba", {"root": str(tmp_path / "other"), "size": 16}))
    assert copy.digest == first.digest
    assert len(caches(tmp_path)) == 1


def test_changed_file_gives_another_digest(listing: Listing, tmp_path: Path) -> None:
    before = decode_listing(listing).digest
    layouts.save(layouts.piece(1, 999, SIZE), listing.root / listing.paths[5])
    assert decode_listing(listing).digest != before
    assert len(caches(tmp_path)) == 2


def test_a_file_that_changes_between_its_digest_and_its_pixels_is_not_cached(
    listing: Listing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspect = cache.inspect_files

    def inspect_then_change(*given: object) -> object:
        found = inspect(*given)  # type: ignore[arg-type]
        first = listing.root / listing.paths[0]
        with Image.open(first) as image:
            Image.new("RGB", image.size, (9, 9, 9)).save(first)
        return found

    monkeypatch.setattr(cache, "inspect_files", inspect_then_change)
    with pytest.raises(DataQualityError, match=f"{listing.paths[0]}: changed while the images were read: run the command again"):
        decode_listing(listing)
    assert not caches(tmp_path)


def test_interrupted_build_is_continued(listing: Listing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    lock = threading.Lock()
    real = decode.decode

    def fragile(content: bytes, stored: tuple[int, int], upright: bool) -> np.ndarray:
        with lock:
            calls.append(1)
            if len(calls) == 40:
                raise KeyboardInterrupt
        return real(content, stored, upright)

    monkeypatch.setattr(cache, "decode", fragile)
    with pytest.raises(KeyboardInterrupt):
        decode_listing(listing)
    assert [p.suffix for p in caches(tmp_path)] == [".partial"]
    done = np.fromfile(caches(tmp_path)[0] / "done.bin", dtype=np.uint8).reshape(-1, 48).any(1)
    assert 0 < done.sum() < 76
    damaged = int(np.flatnonzero(done)[0])  # as after a power failure: said to be done, but not written
    with (caches(tmp_path)[0] / "pixels.bin").open("r+b") as stream:
        stream.seek(damaged * SIZE[0] * SIZE[1] * 3)
        stream.write(b"\0" * 50)
    calls.clear()
    calls.extend([1] * 100)
    data = decode_listing(listing)
    assert len(calls) - 100 == 76 - done.sum() + 1
    assert isinstance(data.pixels, ImageStore)
    assert data.pixels.damaged() == []
    assert [p.suffix for p in caches(tmp_path)] == [""]


def test_altered_cache_is_noticed(listing: Listing, tmp_path: Path) -> None:
    decode_listing(listing)
    path = caches(tmp_path)[0] / "pixels.bin"
    with path.open("r+b") as stream:
        stream.seek(1000)
        stream.write(b"\xff\x00\xff")
    with pytest.raises(IntegrityError, match=r"1 of 76 images in the cache .* are not what was written"):
        decode_listing(listing)
    path.write_bytes(b"short")
    with pytest.raises(IntegrityError, match="another size"):
        decode_listing(listing)


def test_two_builders_at_once_give_one_cache(listing: Listing, tmp_path: Path) -> None:
    found: list[Dataset] = []
    threads = [threading.Thread(target=lambda: found.append(decode_listing(listing))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({data.digest for data in found}) == 1
    assert len(found) == 3
    assert len(caches(tmp_path)) == 1


def test_folder_that_cannot_be_written(listing: Listing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GRMU_AUDIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(EnvironmentFailure, match="GRMU_AUDIT_CACHE"):
        decode_listing(listing)


@pytest.mark.parametrize("lenient", [False, True])
def test_undecodable_files_are_all_named(
    listing: Listing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lenient: bool
) -> None:
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", lenient)  # as WeasyPrint does for the whole process
    whole = (listing.root / listing.paths[4]).read_bytes()
    (listing.root / listing.paths[4]).write_bytes(whole[:-60])
    with pytest.raises(DataQualityError, match=r"(?s)1 of 76 files .*000005.jpg: truncated or damaged"):
        decode_listing(listing)
    assert caches(tmp_path) == []
    (listing.root / listing.paths[4]).write_bytes(b"")
    (listing.root / listing.paths[6]).write_bytes(b"GIF89a no image")
    with pytest.raises(DataQualityError, match=r"(?s)2 of 76 .*000005.jpg: the file has zero bytes\n.*000007.jpg: not an image"):
        decode_listing(listing)


def test_missing_file_and_link_loop_are_input_errors(listing: Listing) -> None:
    (listing.root / listing.paths[0]).unlink()
    (listing.root / listing.paths[0]).symlink_to(listing.paths[0])
    (listing.root / listing.paths[1]).unlink()
    with pytest.raises(InputError, match=r"(?s)2 of 76 files .*000001.jpg: Too many levels.*000002.jpg: No such file"):
        decode_listing(listing)


def test_large_images_are_reduced_and_small_ones_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRMU_AUDIT_CACHE", str(tmp_path / "cache"))
    layouts.waterbirds(tmp_path)
    data = load_dataset(DataSpec("waterbirds", {"root": str(tmp_path), "size": 16}))
    store = data.pixels
    assert isinstance(store, ImageStore)
    assert store.heights.max() == 2 * 18
    assert data.header.view.shorter == 18
    untouched = load_dataset(DataSpec("waterbirds", {"root": str(tmp_path), "size": 64})).pixels
    assert isinstance(untouched, ImageStore)
    assert (untouched.heights.min(), untouched.heights.max()) == (60, 79)


def test_batches_of_files_are_inputs_of_the_stated_shape(listing: Listing) -> None:
    data = decode_listing(listing)
    source = BatchSource(data, torch.device("cpu"))
    plain = source.take(torch.arange(4))
    assert plain.pixels.shape == (4, *data.header.input_shape)
    assert 0.0 <= float(plain.pixels.min()) < float(plain.pixels.max()) <= 1.0
    expected = Image.open(listing.root / listing.paths[2]).convert("RGB").resize((16, 16), Image.Resampling.BILINEAR)
    assert np.abs(plain.pixels[2].numpy() * 255 - np.asarray(expected).transpose(2, 0, 1)).mean() <= 1.0
    rows = np.zeros(6, dtype=np.int64)
    (first,), (again,) = (list(source.batches(rows, 6, torch.Generator().manual_seed(s), augment=True)) for s in (5, 5))
    assert torch.equal(first.pixels, again.pixels)
    assert all(not torch.equal(first.pixels[0], first.pixels[i]) for i in range(1, 6))


def test_zoom_and_shift_work_on_files_too(listing: Listing) -> None:
    from grmu_audit.data.dataset import Augmentation

    data = decode_listing(
        replace(listing, header=replace(listing.header, augmentation=Augmentation(scale=(0.8, 1.1), shift=0.2)))
    )
    batch = BatchSource(data, torch.device("cpu")).take(torch.zeros(3, dtype=torch.long), torch.Generator().manual_seed(0))
    assert batch.pixels.shape == (3, 3, 16, 16)
    assert not torch.equal(batch.pixels[0], batch.pixels[1])


@pytest.mark.parametrize("kept", ["on the device", "on the host"])
@pytest.mark.parametrize("name", ["celeba", "waterbirds"])
def test_way_of_the_gpu_gives_the_batches_of_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kept: str
) -> None:
    """One size and several sizes, pixels held on the device or on the host: the padded, batched way on the CPU."""
    from grmu_audit.data.images.transforms import crop_windows, cut_batch
    from grmu_audit.data.inputs import ImageFiles

    monkeypatch.setenv("GRMU_AUDIT_CACHE", str(tmp_path / "cache"))
    getattr(layouts, name)(tmp_path)
    data = load_dataset(DataSpec(name, {"root": str(tmp_path), "size": 32}))
    inputs = ImageFiles(data, torch.device("cpu"))
    rows = torch.tensor([5, 0, 61, 7])
    expected = inputs.augmented(rows, inputs.draw(rows, torch.Generator().manual_seed(4)))
    if kept == "on the device":
        inputs._held = torch.from_numpy(np.array(inputs._store.data))
    windows = crop_windows(inputs._sizes[rows.numpy()], data.header.augmentation, torch.Generator().manual_seed(4))
    found = cut_batch(inputs._padded(rows.numpy()), windows, (32, 32))
    assert float((found - expected).abs().mean()) * 255 <= 0.6


def test_pixels_are_prepared_in_float32_whatever_the_caller_computes_in(
    listing: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way of a GPU is matrix products, which autocast would round to bf16."""
    from grmu_audit.data.images.transforms import cut_batch
    from grmu_audit.data.inputs import ImageFiles

    source = BatchSource(decode_listing(listing), torch.device("cpu"))
    monkeypatch.setattr(ImageFiles, "_cut", lambda self, index, windows: cut_batch(self._padded(index), windows, self._out))
    rows = np.arange(12, dtype=np.int64)
    plain = list(source.batches(rows, 4, torch.Generator().manual_seed(0), augment=True))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = list(source.batches(rows, 4, torch.Generator().manual_seed(0), augment=True))
        taken = source.take(torch.from_numpy(rows))
    assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(plain, low, strict=True))
    assert torch.equal(taken.pixels, source.take(torch.from_numpy(rows)).pixels)


def test_the_system_is_told_which_images_come_next(listing: Listing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole pages of the images of a batch and no others, before the batch is cut."""
    store, told = decode_listing(listing).pixels, list[tuple[str, ...]]()
    assert isinstance(store, ImageStore)
    monkeypatch.setattr(store, "_advise", lambda advice, *span: told.append((advice, *span)))
    store.expect(np.array([40, 3]))
    page = os.sysconf("SC_PAGE_SIZE")
    assert [advice for advice, *_ in told] == ["MADV_WILLNEED"] * 2
    for image, (_, start, length) in zip((40, 3), told, strict=True):
        assert int(start) % page == 0
        assert int(start) <= store.offsets[image] < int(start) + page
        assert int(start) + int(length) == store.offsets[image + 1]
    monkeypatch.undo()
    store.expect(np.arange(76))  # the system takes it


def test_a_cache_larger_than_the_memory_is_mapped(tmp_path: Path) -> None:
    height = 2 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 3000
    tables = {"heights": np.array([height]), "widths": np.array([1000])}
    np.savez(tmp_path / INDEX, **tables, digests=np.zeros((1, 32), np.uint8), hashes=np.zeros((1, 2), np.uint64))
    index = hashlib.sha256((tmp_path / INDEX).read_bytes()).hexdigest()
    (tmp_path / META).write_text(json.dumps({"schema": SCHEMA, "images": 1, "index_sha256": index}))
    with (tmp_path / PIXELS).open("wb") as stream:
        stream.truncate(height * 3000)  # a hole: takes no disk
    store = open_store(tmp_path)
    assert store[0].shape == (height, 1000, 3)
    assert not store[0].flags.writeable


def test_a_cache_that_was_removed_is_built_again(listing: Listing, tmp_path: Path) -> None:
    first = decode_listing(listing).digest
    (made,) = caches(tmp_path)
    shutil.rmtree(made)
    assert decode_listing(listing).digest == first
    assert caches(tmp_path) == [made]


def test_pixels_whose_comparison_is_not_recorded_are_compared_once_again(listing: Listing, tmp_path: Path) -> None:
    decode_listing(listing)
    (made,) = caches(tmp_path)
    before = (made / cache.VERIFIED).read_bytes()
    (made / cache.VERIFIED).write_bytes(b"{")
    store = decode_listing(listing).pixels
    assert isinstance(store, ImageStore)
    assert store.damaged() == []
    assert (made / cache.VERIFIED).read_bytes() == before


@pytest.mark.parametrize(
    ("owner", "name"), [(os, "posix_fallocate"), (mmap, "MADV_RANDOM"), (mmap, "MADV_WILLNEED")], ids=lambda one: str(one)[:15]
)
def test_systems_without_a_call_give_the_same_pixels(
    listing: Listing, monkeypatch: pytest.MonkeyPatch, owner: object, name: str
) -> None:
    monkeypatch.delattr(owner, name)
    data = decode_listing(listing)
    assert isinstance(data.pixels, ImageStore)
    data.pixels.expect(np.arange(76))
    assert data.pixels.damaged() == []
    expected = np.asarray(Image.open(listing.root / listing.paths[33]).convert("RGB"))
    assert (data.pixels[33] == expected).all()


@pytest.mark.parametrize("key", ["schema", "index_sha256"])
def test_an_index_that_is_not_the_one_that_was_written_is_refused(listing: Listing, tmp_path: Path, key: str) -> None:
    decode_listing(listing)
    (made,) = caches(tmp_path)
    tree = json.loads((made / META).read_bytes())
    (made / META).write_text(json.dumps({**tree, key: "another"}))
    with pytest.raises(IntegrityError, match=rf"the image cache .*{made.name} is damaged: remove the folder, it is built again"):
        open_store(made)


def test_a_file_far_too_large_for_an_image_is_refused_before_it_is_read(listing: Listing) -> None:
    with (listing.root / listing.paths[2]).open("wb") as stream:
        stream.truncate(LARGEST_FILE + 1)  # a hole: takes no disk
    with pytest.raises(InputError, match=r"(?s)1 of 76 files .*000003.jpg: larger than 256 MiB"):
        decode_listing(listing)


@pytest.mark.parametrize("text", ["", "train/a\x07.jpg"])
def test_a_path_without_a_name_that_can_be_printed_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"labels\.csv: row 2: .* is empty or holds a character that cannot be printed"):
        relative(text, 2, "labels.csv")
