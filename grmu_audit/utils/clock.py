"""The current time: as text in the two forms that are stored, and the date that decides; and the time that a reader may take."""

from __future__ import annotations

import os
import time
from datetime import UTC, date, datetime

from grmu_audit.errors import InputError


def utc_now() -> str:
    """The UTC time that a document is dated with, to the second, ISO 8601; ``SOURCE_DATE_EPOCH`` fixes it for reproducible files.

    It decides nothing; ``utc_today`` does.

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


READ_VARIABLE = "GRMU_AUDIT_READ_SECONDS"
"""Environment variable with the seconds that reading one file may take."""
READ_SECONDS = 600.0
"""The same where it is not set."""


class Deadline:
    """The time that reading one file may take; the reader asks between its parts.

    Args:
        name: of the file, for the message.
        failure: class of the exception.

    Raises:
        InputError: ``$GRMU_AUDIT_READ_SECONDS`` is no positive number.
    """

    def __init__(self, name: str, failure: type[Exception] = InputError) -> None:
        self._name, self._failure, self._seconds = name, failure, _read_seconds()
        self._end = time.monotonic() + self._seconds

    def check(self) -> None:
        """Return while there is time left.

        Raises:
            InputError: (as ``failure``) there is none.
        """
        if not time.monotonic() <= self._end:
            raise self._failure(
                f"{self._name}: reading took more than {self._seconds:g} s and was stopped: is this the right file?"
                f" {READ_VARIABLE} allows more"
            )


def _read_seconds() -> float:
    text = os.environ.get(READ_VARIABLE)
    try:
        seconds = READ_SECONDS if text is None else float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise InputError(f"{READ_VARIABLE} is {text!r}: give a positive number of seconds or unset it")
    return seconds
