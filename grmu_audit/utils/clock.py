"""The current time: as text in the two forms that are stored, of documents and of log entries; and the date that decides."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime

from grmu_audit.errors import InputError


def utc_now() -> str:
    """The UTC time that a document is dated with, to the second, ISO 8601; ``SOURCE_DATE_EPOCH`` fixes it for reproducible files.

    Nothing is decided by it: see ``utc_today``.

    Raises:
        InputError: ``SOURCE_DATE_EPOCH`` is no whole number of seconds.
    """
    fixed = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        moment = datetime.now(UTC) if fixed is None else datetime.fromtimestamp(int(fixed), UTC)
    except (ValueError, OverflowError, OSError):
        raise InputError(f"SOURCE_DATE_EPOCH is {fixed!r}: give whole seconds since 1970 or unset it") from None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def utc_today() -> date:
    """The UTC date by the clock, which decides on expiry and waivers; ``SOURCE_DATE_EPOCH`` does not change it."""
    return datetime.now(UTC).date()


def timestamp(moment: datetime | None = None) -> str:
    """The time of a log entry: UTC, ISO 8601, to the second; the clock's, never a fixed one, where none is given.

    >>> timestamp(datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC))
    '2026-01-31T12:00:00+00:00'
    """
    return (moment or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds")
