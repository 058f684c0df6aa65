"""torchvision's pretrained weights: from its cache, or downloaded and checked by the digest in their file name."""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.request
from pathlib import Path

import torch

from grmu_audit.errors import EnvironmentFailure, InputError, IntegrityError
from grmu_audit.evidence import sha256_file
from grmu_audit.models.vision import vision_names

IMAGENET = "imagenet"
"""The first set of weights that torchvision published for an architecture."""
TIMEOUT = 20.0
"""Seconds without an answer before a download is given up."""


def pretrained_file(architecture: str, name: str = IMAGENET) -> Path:
    """The local file of torchvision's weights for an architecture, downloaded if it is not there yet.

    Args:
        architecture: one of torchvision's.
        name: ``imagenet``, or a name of torchvision's such as ``IMAGENET1K_V2``.

    Raises:
        InputError: torchvision has no such weights.
        EnvironmentFailure: the file is neither here nor can it be downloaded; the message names it.
        IntegrityError: it is not the published one.
    """
    return fetch(weights_url(architecture, name), Path(torch.hub.get_dir()) / "checkpoints")


def weights_url(architecture: str, name: str = IMAGENET) -> str:
    """Where torchvision publishes the weights.

    Raises:
        InputError: it has none of that name.
    """
    if architecture not in vision_names():
        raise InputError(f"--pretrained {name}: only torchvision's architectures have published weights, not {architecture}")
    from torchvision import models

    known = list(models.get_model_weights(architecture))
    found = known[0] if name == IMAGENET else next((one for one in known if one.name == name), None)
    if found is None:
        raise InputError(f"--pretrained {name}: {architecture} has {', '.join(one.name for one in known)}; or say {IMAGENET}")
    return str(found.url)


def fetch(url: str, folder: Path) -> Path:
    """The file of a URL whose name ends in the first digits of its SHA-256, from the folder or downloaded into it.

    Raises:
        EnvironmentFailure: it cannot be downloaded; the message names the file that is wanted.
        IntegrityError: the digest is another.
    """
    path = folder / url.rpartition("/")[2]
    if not path.is_file():
        _download(url, path)
    digest = sha256_file(path)
    match = re.search(r"-([0-9a-f]{8,})\.", path.name)
    if match is None or not digest.startswith(match[1]):
        raise IntegrityError(f"{path} is not the published file (SHA-256 {digest}): remove it, or give it with --weights")
    return path


def _download(url: str, path: Path) -> None:
    """Into a temporary file first."""
    part = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, part.open("wb") as out:  # noqa: S310  (torchvision's table)
            while block := answer.read(1 << 20):
                out.write(block)
        part.replace(path)
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise EnvironmentFailure(
            f"{path.name} is not here and cannot be downloaded from {url} ({reason}): put it into {path.parent}, or give it with "
            f"--weights {path.name}"
        ) from None
    finally:
        part.unlink(missing_ok=True)
