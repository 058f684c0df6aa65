"""The clock that records read."""

from __future__ import annotations

import pytest

from grmu_audit.errors import InputError
from grmu_audit.utils.clock import utc_now


def test_the_clock_can_be_fixed(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert utc_now() == "1970-01-01T00:00:00Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "soon")
    with pytest.raises(InputError, match="SOURCE_DATE_EPOCH"):
        utc_now()
