"""Dates of a verdict: by the clock, never by ``SOURCE_DATE_EPOCH``."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from support.judged_audits import audit_of, policy, predictions

from grmu_audit.errors import BreachError, IntegrityError
from grmu_audit.evidence.validity import require_valid_dates, require_valid_waivers
from grmu_audit.records import Audit, ModelRef

REF = ModelRef("faces", "7", manifest_sha256="a" * 64)
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
WAIVER = {"rule": "accuracy", "reason": "GOV-1", "approved_by": "board", "expires": "2026-05-31"}


def dated(waivers: tuple[dict[str, str], ...] = (), bound: float = 0.3, **record: str) -> Audit:
    return audit_of(REF, [predictions(100)], policy(bound, waivers=waivers), **record)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"created": "2026-06-01T12:06:00Z"}, "in the future"),
        ({"created": "2026-01-01T00:00:00Z", "expires": "2026-06-01T12:00:00Z"}, "expired on 2026-06-01"),
        ({"created": "2026-01-01T00:00:00Z", "expires": "soon"}, "'soon', which is not a date"),
        ({"created": "2026-01-01T00:00:00Z", "expires": "2026-05-31"}, "expired on 2026-05-31"),
    ],
)
def test_a_verdict_out_of_its_dates_is_refused_whatever_the_variable_says(
    record: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    with pytest.raises(IntegrityError, match=message):
        require_valid_dates(dated(**record), NOW)


def test_a_verdict_within_its_dates_holds_up_to_the_skew_of_clocks() -> None:
    require_valid_dates(dated(created="2026-06-01T12:04:00Z", expires="2026-06-01T12:00:01Z"), NOW)
    require_valid_dates(dated(created="2026-06-01T12:00:00Z"), NOW)
    with pytest.raises(IntegrityError, match="in the future"):
        require_valid_dates(dated(created="2026-06-01T12:05:01Z"), NOW)


def test_the_clock_decides_where_no_time_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    with pytest.raises(IntegrityError, match="expired"):
        require_valid_dates(dated(created="2023-01-01T00:00:00Z", expires="2024-01-01T00:00:00Z"))


def test_a_waiver_holds_on_its_last_day_and_not_after() -> None:
    covered = audit_of(REF, [predictions(100)], policy(0.9999, waivers=({**WAIVER, "expires": "2999-01-01"},)))
    require_valid_waivers(covered, NOW)
    with pytest.raises(BreachError, match="waiver of rule 'accuracy'"):
        require_valid_waivers(covered, datetime(3000, 1, 1, tzinfo=UTC))
    require_valid_waivers(dated((WAIVER,)), NOW)


def test_an_audit_that_was_not_judged_has_no_waiver_that_could_expire() -> None:
    covered = audit_of(REF, [predictions(100)], policy(0.9999, waivers=({**WAIVER, "expires": "2999-01-01"},)))
    later = datetime(3000, 1, 1, tzinfo=UTC)
    with pytest.raises(BreachError, match="expired on 2999-01-01"):
        require_valid_waivers(covered, later)
    require_valid_waivers(replace(covered, verdict=None), later)
