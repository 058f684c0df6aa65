"""The clock that records read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from grmu_audit.errors import InputError
from grmu_audit.utils.clock import utc_now, utc_today


def test_the_clock_can_be_fixed(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert utc_now() == "1970-01-01T00:00:00Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "soon")
    with pytest.raises(InputError, match="SOURCE_DATE_EPOCH"):
        utc_now()


def test_what_decides_on_expiry_cannot_be_fixed(monkeypatch):
    before = datetime.now(UTC).date()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert before <= utc_today() <= datetime.now(UTC).date()
