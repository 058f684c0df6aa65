"""Crops and resizes against Pillow and torchvision, which the reference pipelines use."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ks_2samp
from support.layouts import piece
from torchvision import transforms

from grmu_audit.data.dataset import Augmentation, Framing
from grmu_audit.data.images.transforms import Windows, crop_windows, cut_batch, cut_each, still_windows

SIZES = {"celeba": (218, 178), "fairface": (224, 224), "waterbirds": (333, 500), "tall": (400, 300)}


def padded(images: list[np.ndarray]) -> torch.Tensor:
    height, width = max(i.shape[0] for i in images), max(i.shape[1] for i in images)
    out = torch.full((len(images), height, width, 3), 255, dtype=torch.uint8)
    for place, image in enumerate(images):
        out[place, : image.shape[0], : image.shape[1]] = torch.from_numpy(image)
    return out


def both(images: list[np.ndarray], windows: Windows, out: tuple[int, int]) -> list[np.ndarray]:
    """Levels 0 to 255 from the CPU way and from the GPU way."""
    each = cut_each(images, windows, out).float().numpy()
    batch = cut_batch(padded(images), windows, out).numpy() * 255
    return [each, batch]


def difference(found: np.ndarray, image: Image.Image) -> float:
    return float(np.abs(found - np.asarray(image, dtype=np.float64).transpose(2, 0, 1)).mean())


@pytest.mark.parametrize("name", SIZES)
def test_stretched_image_is_within_a_level_of_pillow(name: str) -> None:
    photos = [piece(k, k, SIZES[name]) for k in range(3)]
    images = [np.array(photo) for photo in photos]
    windows = still_windows(np.array([i.shape[:2] for i in images]), Framing("stretch"), (224, 224))
    for way in both(images, windows, (224, 224)):
        for found, photo in zip(way, photos, strict=True):
            assert difference(found, photo.resize((224, 224), Image.Resampling.BILINEAR)) <= 1.0


@pytest.mark.parametrize("name", SIZES)
def test_centre_of_the_resized_image_is_within_a_level_of_torchvision(name: str) -> None:
    photos = [piece(k, k, SIZES[name]) for k in range(3)]
    images = [np.array(photo) for photo in photos]
    chain = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])
    windows = still_windows(np.array([i.shape[:2] for i in images]), Framing("crop", 256), (224, 224))
    for way in both(images, windows, (224, 224)):
        for found, photo in zip(way, photos, strict=True):
            assert difference(found, chain(photo)) <= 1.0


@pytest.mark.parametrize("name", SIZES)
def test_random_crop_is_within_a_level_of_pillow_on_the_same_box(name: str) -> None:
    photos = [piece(k % 2, k, SIZES[name]) for k in range(12)]
    images = [np.array(photo) for photo in photos]
    sizes = np.array([i.shape[:2] for i in images])
    windows = crop_windows(sizes, Augmentation(area=(0.08, 1.0), flip=True), torch.Generator().manual_seed(3))
    assert 0 < windows.mirror.sum() < 12
    for way in both(images, windows, (224, 224)):
        for index, (found, photo) in enumerate(zip(way, photos, strict=True)):
            (top, left), (bottom, right) = windows.low[index], windows.high[index]
            expected = photo.crop((int(left), int(top), int(right), int(bottom))).resize((224, 224), Image.Resampling.BILINEAR)
            if windows.mirror[index]:
                expected = expected.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            assert difference(found, expected) <= 1.0


def test_images_of_different_sizes_do_not_see_each_others_padding() -> None:
    photos = [piece(0, 1, (40, 90)), piece(1, 2, (80, 30))]
    images = [np.array(photo) for photo in photos]
    windows = still_windows(np.array([i.shape[:2] for i in images]), Framing("stretch"), (32, 32))
    each, batch = both(images, windows, (32, 32))
    assert np.abs(each - batch).mean() <= 0.6


@pytest.mark.parametrize("size", [(218, 178), (60, 400)])
def test_crops_are_distributed_as_torchvisions(size: tuple[int, int]) -> None:
    """Two-sample Kolmogorov-Smirnov tests on area, aspect and place; the second size is so wide that the fallback is common."""
    n = 4000
    augmentation = Augmentation(area=(0.08, 1.0), flip=True)
    windows = crop_windows(np.tile(np.array(size), (n, 1)), augmentation, torch.Generator().manual_seed(1))
    shape = windows.high - windows.low
    mine = np.concatenate([windows.low, shape], axis=1)
    torch.manual_seed(2)
    blank = torch.zeros(3, *size)
    theirs = np.array(
        [transforms.RandomResizedCrop.get_params(blank, (0.08, 1.0), (3 / 4, 4 / 3)) for _ in range(n)], dtype=float
    )
    for column in range(4):
        assert ks_2samp(mine[:, column], theirs[:, column]).pvalue > 1e-3
    for table in (mine, theirs):
        assert (table[:, 0] + table[:, 2] <= size[0]).all()
        assert (table[:, 1] + table[:, 3] <= size[1]).all()
    derived = [(t[:, 2] * t[:, 3], t[:, 3] / t[:, 2]) for t in (mine, theirs)]
    for a, b in zip(*derived, strict=True):
        assert ks_2samp(a, b).pvalue > 1e-3
    assert abs(windows.mirror.mean() - 0.5) < 4 * 0.5 / n**0.5


def test_draws_are_per_sample_and_fixed_by_the_seed() -> None:
    sizes = np.tile(np.array([64, 64]), (5, 1))
    augmentation = Augmentation(area=(0.08, 1.0))
    first, again = (crop_windows(sizes, augmentation, torch.Generator().manual_seed(7)) for _ in range(2))
    assert (first.low == again.low).all()
    assert len({tuple(row) for row in np.concatenate([first.low, first.high], 1).tolist()}) == 5
    assert not first.mirror.any()
