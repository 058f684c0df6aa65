"""Debian packages that some tests need: skipped with a reason where they are missing, failed where they are required."""

from __future__ import annotations

import ctypes
import os

import pytest


def missing(what: str) -> None:
    """Skip with a reason, or fail where the system's packages are required."""
    if os.environ.get("GRMU_AUDIT_REQUIRE_SYSTEM") == "1":
        pytest.fail(what)
    pytest.skip(what)


def require_pango() -> None:
    """Return where the libraries are installed that draw the text of a PDF."""
    for library in ("libpango-1.0.so.0", "libpangoft2-1.0.so.0"):
        try:
            ctypes.CDLL(library)
        except OSError:
            missing(f"{library} is missing: install Debian's libpango-1.0-0 and libpangoft2-1.0-0 to run the tests of PDFs")
