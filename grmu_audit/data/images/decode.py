"""One image file to pixels, or the reason why not.

What is done, and why: JPEG, PNG, WebP and BMP are read by Pillow, which is also what the reference pipelines of the
published datasets use.  Grey images get three equal channels and CMYK is converted as Pillow does it (``convert("RGB")``); a
palette or an alpha channel is resolved the same way, transparency is dropped.  An EXIF orientation is applied, so that
pixels stand as viewers show them.  Images of more than 8 bits are refused: Pillow would clip them to white without a word.
A truncated file is refused.  Animations are refused.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from grmu_audit.utils.files import HEAD, content_kind

if TYPE_CHECKING:
    from PIL.Image import Image

    from grmu_audit.data.dataset import Framing

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
"""Formats that are read."""
LARGEST_SIDE = 16_384
"""Pixels that a side may have."""
LARGEST_AREA = 100_000_000
"""Pixels that an image may have; more is a decompression bomb."""
LARGEST_ASPECT = 50
"""Longer side in shorter ones; resizing a very narrow image by its shorter side would take gigabytes."""
_WIDE = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)


class UndecodableError(Exception):
    """The reason why a file gives no image; readers collect them."""


@dataclass(frozen=True)
class ImageSize:
    """Image size, from the head of a file."""

    height: int
    """Rows after the EXIF orientation was applied."""
    width: int
    """Columns, likewise."""


def read_image_size(content: bytes, upright: bool = True) -> ImageSize:
    """Size of an image by its head, without decoding it; as it lies in the file where ``upright`` is false.

    Raises:
        UndecodableError: it is none of the known formats, or of a kind that is refused.
    """
    image = _open(content)
    try:
        turned = upright and image.getexif().get(_ORIENTATION) in _TURNED
    except Exception as error:  # noqa: BLE001  (Pillow raises many types on damaged EXIF)
        raise UndecodableError(f"truncated, or damaged EXIF data ({type(error).__name__})") from None
    width, height = image.size[::-1] if turned else image.size
    return ImageSize(height, width)


def decode(content: bytes, stored: tuple[int, int], upright: bool = True) -> npt.NDArray[np.uint8]:
    """Pixels [height, width, 3] of an image, upright, reduced to ``stored`` (height, width) where it is larger.

    Raises:
        UndecodableError: truncated or damaged.
    """
    from PIL.Image import Resampling

    return _pixels(content, upright, lambda image: image.resize(stored[::-1], Resampling.BILINEAR))


def frame(content: bytes, out: tuple[int, int], view: Framing) -> npt.NDArray[np.uint8]:
    """[*out, 3] input of an image as Pillow and torchvision's transforms give it: one resize from the file, then the centre.

    Raises:
        UndecodableError: truncated or damaged.
    """
    from PIL.Image import Resampling

    how = Resampling.BICUBIC if view.interpolation == "bicubic" else Resampling.BILINEAR

    def framed(image: Image) -> Image:
        """Resized, and cropped where the view crops."""
        if view.mode != "crop":
            return image.resize(out[::-1], how)
        width, height = image.size
        short = min(width, height)
        width, height = (view.shorter if side == short else view.shorter * side // short for side in (width, height))
        left, top = round((width - out[1]) / 2.0), round((height - out[0]) / 2.0)
        return image.resize((width, height), how).crop((left, top, left + out[1], top + out[0]))

    return _pixels(content, view.upright, framed)


def _pixels(content: bytes, upright: bool, change: Callable[[Image], Image]) -> npt.NDArray[np.uint8]:
    """Pixels of an image after a change of its geometry."""
    from PIL import ImageFile, ImageOps

    ImageFile.LOAD_TRUNCATED_IMAGES = False  # WeasyPrint sets it for the whole process: damaged files would turn grey
    try:
        image = _open(content)
        return np.asarray(change((ImageOps.exif_transpose(image) if upright else image).convert("RGB")), dtype=np.uint8)
    except UndecodableError:
        raise
    except Exception as error:  # noqa: BLE001  (Pillow raises many types on damaged files)
        raise UndecodableError(f"truncated or damaged ({str(error)[:80] or type(error).__name__})") from None


def stored_size(found: ImageSize, longest_short_side: int) -> tuple[int, int]:
    """(height, width) to keep: the image's own, or with its shorter side reduced to ``longest_short_side``.

    >>> stored_size(ImageSize(3000, 4000), 512), stored_size(ImageSize(218, 178), 512)
    ((512, 683), (218, 178))
    """
    short = min(found.height, found.width)
    if short <= longest_short_side:
        return found.height, found.width
    factor = longest_short_side / short
    return max(1, round(found.height * factor)), max(1, round(found.width * factor))


def _open(content: bytes) -> Image:
    import warnings

    from PIL import Image

    if not content:
        raise UndecodableError("the file has zero bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Exception:  # noqa: BLE001  (Pillow raises many types on damaged files)
        raise UndecodableError(_other_kind(content[:HEAD])) from None
    width, height = image.size
    if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE and width * height <= LARGEST_AREA):
        raise UndecodableError(
            f"{width} x {height} pixels, more than {LARGEST_AREA // 1_000_000} million or {LARGEST_SIDE} a side"
        )
    if max(width, height) > LARGEST_ASPECT * min(width, height):
        raise UndecodableError(f"{width} x {height} pixels, a side more than {LARGEST_ASPECT} times the other")
    if image.mode in _WIDE or _png_depth(content) > 8:
        raise UndecodableError("more than 8 bits a channel: convert it to 8 bits first")
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":  # a JPEG with a preview or gain map: viewers show the first
        raise UndecodableError("an animation: store single images")
    return image


def _other_kind(head: bytes) -> str:
    """Why Pillow does not open a file of these first bytes."""
    kind = content_kind(head) or ("a BMP image" if head[:2] == b"BM" else "")
    if any(kind == f"a {name} image" for name in (*FORMATS, "WebP")):
        return f"{kind} that is truncated or damaged"
    text = head.decode("utf-8", "replace").strip() if not kind else ""
    if text and text.isprintable() and "\ufffd" not in text:
        kind = f"text ({text[:40]!r})"
    return f"not an image in {', '.join(FORMATS)}{f': it is {kind}' if kind else ''}"


def _png_depth(content: bytes) -> int:
    """Bits a channel of a PNG (Pillow reads 16-bit colour as 8 bits without saying so); 8 for anything else."""
    if content[:8] != b"\x89PNG\r\n\x1a\n" or len(content) < 26:
        return 8
    return content[24]


MOST_WORKERS = 16
"""Threads at most; with more, the disk or the memory decides."""


def workers() -> int:
    """One thread for each processor that this process may use."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST_WORKERS, count)
