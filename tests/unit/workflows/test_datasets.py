"""Checks of a dataset read every decoded image again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.deletions import small_folder

from grmu_audit.data.catalog import load_dataset
from grmu_audit.data.images import ImageStore
from grmu_audit.errors import IntegrityError
from grmu_audit.workflows.datasets import check_data


def test_decoded_images_that_a_failing_disk_changed_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRMU_AUDIT_CACHE", str(tmp_path / "cache"))
    spec = small_folder(tmp_path / "data").spec
    images = load_dataset(spec).pixels
    assert isinstance(images, ImageStore)
    assert images.damaged() == []
    pixels = max((path for path in images.folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    facts, content = pixels.stat(), bytearray(pixels.read_bytes())
    content[-1] ^= 1
    pixels.chmod(0o600)
    pixels.write_bytes(content)
    os.utime(pixels, ns=(facts.st_atime_ns, facts.st_mtime_ns))  # no time of the file tells
    with pytest.raises(IntegrityError, match=f"1 decoded images are not what was written: remove {images.folder}"):
        check_data(spec, None, 1)
