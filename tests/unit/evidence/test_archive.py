"""Archives of evidence: what cannot be packed, and what importing the package loads."""

from __future__ import annotations

import subprocess
import sys

import pytest

from grmu_audit.errors import InputError
from grmu_audit.evidence.archive import MANIFEST_FILE, pack


def test_a_file_cannot_take_the_place_of_the_manifest_or_lead_outside() -> None:
    for name in (MANIFEST_FILE, "../x", "/x", ""):
        with pytest.raises(InputError):
            pack({name: b""})


def test_importing_evidence_loads_nothing_heavy():
    code = (
        "import sys, grmu_audit.evidence; print([m for m in ('numpy','pandas','torch','mlflow','pydantic') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
