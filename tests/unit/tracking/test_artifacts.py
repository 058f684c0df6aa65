"""Names of artifacts."""

from __future__ import annotations

import pytest

from grmu_audit.errors import IntegrityError
from grmu_audit.tracking import artifacts


@pytest.mark.parametrize("path", ["", "/etc/passwd", "..", "a/../b", "a//b", "./a", "a\\b", "C:/x", "a\nb", "a/\x00", "a/"])
def test_artifact_names_that_lead_outside(path: str) -> None:
    with pytest.raises(IntegrityError):
        artifacts.safe_artifact_path(path)
