"""Stored measurements."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from grmu_audit.errors import IntegrityError
from grmu_audit.evaluation.output_cache import OutputCache, from_bytes, to_bytes
from grmu_audit.records.white_box import Probes


def test_a_damaged_measurement_is_made_again_and_never_read(tmp_path: Path) -> None:
    ids = np.array(["a", "b"])
    probes = Probes(ids, {"FGSM@0.1": np.array([1, -1])}, np.zeros((2, 3), np.float32), facts={"seed": 0})
    content = to_bytes(probes)
    assert from_bytes(content, ids).attacked["FGSM@0.1"].tolist() == [1, -1]
    assert to_bytes(from_bytes(content, ids)) == content
    for damaged in (b"", content[:-40], content.replace(b"facts", b"fakts")):
        with pytest.raises(IntegrityError, match="cannot be read"):
            from_bytes(damaged, ids)
    with pytest.raises(IntegrityError, match="not of 1 samples"):
        from_bytes(content, ids[:1])
    shelf = OutputCache(tmp_path)
    shelf.write("ab" * 32, probes)
    shelf.path("ab" * 32).write_bytes(b"broken")
    assert shelf.read("ab" * 32, ids) is None
