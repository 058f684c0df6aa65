from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny import CPU, dataset

from grmu_audit.data.batches import Batch, BatchSource, one_ahead
from grmu_audit.data.dataset import Augmentation
from grmu_audit.data.images.transforms import draw_transform, transform
from grmu_audit.errors import InputError
from grmu_audit.training.loop import steps_of


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_plain_pass_keeps_order_and_pixels() -> None:
    source = BatchSource(dataset(), CPU)
    rows = np.arange(10, 30)
    batches = list(source.batches(rows, 8))
    assert [len(b.rows) for b in batches] == [8, 8, 4]
    assert torch.cat([b.rows for b in batches]).tolist() == rows.tolist()
    assert torch.equal((batches[0].pixels * 255).round().to(torch.uint8), torch.from_numpy(dataset().pixels[10:18]))


def test_shuffled_pass_is_a_permutation_fixed_by_the_seed() -> None:
    source = BatchSource(dataset(), CPU)
    rows = np.arange(50)

    def order(seed: int) -> list[int]:
        return torch.cat([b.rows for b in source.batches(rows, 16, generator(seed))]).tolist()

    assert sorted(order(0)) == rows.tolist()
    assert order(0) == order(0) != order(1)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 70), size=st.integers(2, 20))
def test_no_training_batch_of_one_and_steps_agree(n: int, size: int) -> None:
    source = BatchSource(dataset(), CPU)
    lengths = [len(b.rows) for b in source.batches(np.arange(n), size, generator())]
    assert sum(lengths) == n
    assert len(lengths) == steps_of(np.arange(n), size)
    assert n == 1 or min(lengths) > 1


def test_weights_set_the_sampling_frequencies() -> None:
    source = BatchSource(dataset(), CPU)
    rows = np.arange(4)
    weights = np.array([1.0, 1.0, 2.0, 4.0])
    drawn = np.zeros(4)
    for seed in range(3000):
        for batch in source.batches(rows, 4, generator(seed), weights=weights):
            drawn += np.bincount(batch.rows.numpy(), minlength=4)
    share = drawn / drawn.sum()
    expected = weights / weights.sum()
    assert (np.abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / drawn.sum())).all()


def test_augmentation_is_per_sample_and_stays_in_range() -> None:
    pixels = torch.rand(1, 3, 32, 32, generator=generator()).expand(6, -1, -1, -1)
    out = transform(pixels, Augmentation((0.8, 1.15), 0.25, flip=True), draw_transform(len(pixels), generator()))
    assert out.shape == pixels.shape
    assert float(out.min()) >= 0.0
    assert float(out.max()) <= 1.0
    assert all(not torch.equal(out[0], out[i]) for i in range(1, 6))


def test_neutral_augmentation_changes_nothing() -> None:
    pixels = torch.rand(3, 3, 8, 8, generator=generator())
    assert torch.equal(transform(pixels, Augmentation(), draw_transform(len(pixels), generator())), pixels)


def test_flip_alone_mirrors_about_half() -> None:
    pixels = torch.rand(1, 1, 8, 8, generator=generator()).expand(400, -1, -1, -1)
    out = transform(pixels, Augmentation(flip=True), draw_transform(len(pixels), generator()))
    same = torch.isclose(out, pixels, atol=1e-4).flatten(1).all(1)
    mirrored = torch.isclose(out, pixels.flip(3), atol=1e-4).flatten(1).all(1)
    assert bool((same | mirrored).all())
    assert 150 < int(mirrored.sum()) < 250


def test_order_and_augmentation_of_a_pass_are_drawn_at_its_start_as_if_batch_by_batch() -> None:
    source, rows, hand = BatchSource(dataset(), CPU), np.arange(50), generator(3)
    order = torch.from_numpy(rows)[torch.randperm(50, generator=hand)]
    by_hand = [source.take(order[start : start + 16], hand) for start in (0, 16, 32, 48)]
    drawn = generator(3)
    batches = source.batches(rows, 16, drawn, augment=True)
    first = next(batches)
    assert torch.equal(drawn.get_state(), hand.get_state())
    for found, expected in zip([first, *batches], by_hand, strict=True):
        assert torch.equal(found.pixels, expected.pixels)
        assert torch.equal(found.rows, expected.rows)


def test_batches_that_are_prepared_ahead_are_the_same_ones() -> None:
    source, rows = BatchSource(dataset(), CPU), np.arange(50)
    plain = list(source.batches(rows, 16, generator(3), augment=True))
    source.inputs.slow = True
    ahead = list(source.batches(rows, 16, generator(3), augment=True))
    assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(plain, ahead, strict=True))
    first = next(iter(source.batches(rows, 16, generator(3), augment=True)))  # and nothing hangs
    assert torch.equal(first.pixels, plain[0].pixels)


def test_what_fails_while_a_batch_is_prepared_reaches_the_caller_at_that_batch() -> None:
    source = BatchSource(dataset(), CPU)
    batch = source.take(torch.arange(2))

    def broken() -> Iterator[Batch]:
        yield batch
        raise InputError("no such image")

    found = one_ahead(broken(), CPU)
    assert next(found) is batch
    with pytest.raises(InputError, match="no such image"):
        next(found)
