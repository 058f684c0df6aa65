from __future__ import annotations

import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image
from support.layouts import piece
from support.tiny import dataset

from grmu_audit.data.images import near_duplicates
from grmu_audit.data.images.near_duplicates import NEAR, count_near_duplicates, difference_hash, hashes_of
from grmu_audit.data.quality.input_checks import count_train_duplicates


def recompressed(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=60)
    return Image.open(buffer).resize((image.width * 2 // 3, image.height * 2 // 3)).convert("RGB")


def test_copies_in_other_size_and_quality_are_near_and_other_images_are_not() -> None:
    photos = [piece(1, k, (218, 178)) for k in range(30)]
    train = hashes_of(np.asarray(photo) for photo in photos)
    copies = hashes_of(np.asarray(recompressed(photo)) for photo in photos)
    others = hashes_of(np.asarray(piece(0, 500 + k, (218, 178))) for k in range(30))
    found = count_near_duplicates(copies, train)
    assert found is not None
    assert (found >= 1).mean() >= 0.9
    assert count_near_duplicates(others, train).tolist() == [0] * 30  # type: ignore[union-attr]


def test_counts_are_those_of_all_pairs() -> None:
    rng = np.random.default_rng(0)
    base = rng.integers(0, 2**63, (40, 2)).astype(np.uint64)
    flips = np.zeros_like(base)
    for row in range(40):
        for bit in rng.choice(128, row % 10, replace=False):
            flips[row, bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    found, among = base ^ flips, np.concatenate([base, base[:5]])
    expected = (np.bitwise_count(found[:, None] ^ among[None]).sum(2) <= NEAR).sum(1)
    counted = count_near_duplicates(found, among)
    assert counted is not None
    assert counted.tolist() == expected.tolist()
    assert 0 < (expected > 0).sum() < 40


def test_blocks_bound_the_memory_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = np.random.default_rng(1).integers(0, 4, (60, 2)).astype(np.uint64)
    whole = count_near_duplicates(found, found)
    monkeypatch.setattr(near_duplicates, "AT_ONCE", 7)
    parts = count_near_duplicates(found, found)
    assert whole is not None
    assert parts is not None
    assert parts.tolist() == whole.tolist() == [60] * 60


def test_many_alike_take_no_more_memory_than_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "AT_ONCE", 20_000)
    alike = np.zeros((700, 2), dtype=np.uint64)
    tracemalloc.start()
    try:
        found = count_near_duplicates(alike, alike)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found is not None
    assert found.tolist() == [700] * 700
    assert peak < 10 << 20  # 490,000 pairs of two row numbers have 8 MB, and every one is met in each of the 8 pieces


def test_an_unanswered_question_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    from grmu_audit.data.quality import check_quality

    monkeypatch.setattr(near_duplicates, "MOST_PAIRS", 10)
    found = [r for r in check_quality(dataset(), None, 1).results if "near-duplicate" in r.expectation]
    assert [(r.passed, r.evaluated, r.severity) for r in found] == [(False, False, "warning")]


def test_too_many_alike_are_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "MOST_PAIRS", 100)
    plain = np.zeros((50, 2), dtype=np.uint64)
    assert count_near_duplicates(plain, plain) is None


def test_small_images_have_hashes_and_photodigits_has_no_near_duplicates() -> None:
    assert difference_hash(np.zeros((3, 5, 3), dtype=np.uint8)).shape == (2,)
    counts = count_train_duplicates(dataset())
    assert counts is not None
    assert len(counts) == len(dataset())
    assert not any(counts)
