"""The current time as text."""

from __future__ import annotations

from datetime import UTC, datetime

from grmu_audit.errors import InputError


def now() -> str:
    """The current UTC time to the second, ISO 8601; ``SOURCE_DATE_EPOCH`` fixes it for reproducible files.

    Raises:
        InputError: ``SOURCE_DATE_EPOCH`` is no whole number of seconds.
    """
    import os
    from datetime import UTC, datetime

    fixed = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        moment = datetime.now(UTC) if fixed is None else datetime.fromtimestamp(int(fixed), UTC)
    except (ValueError, OverflowError, OSError):
        raise InputError(f"SOURCE_DATE_EPOCH is {fixed!r}: give whole seconds since 1970 or unset it") from None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def timestamp(now: datetime | None = None) -> str:
    """UTC, ISO 8601, to the second.

    >>> timestamp(datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC))
    '2026-01-31T12:00:00+00:00'
    """
    return (now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds")
