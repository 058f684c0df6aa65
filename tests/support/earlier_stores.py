"""Versions as they were registered before registration records were kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import support.memory_store

from grmu_audit.tracking import ledger
from grmu_audit.tracking.mlflow import store


@contextmanager
def before_records() -> Iterator[None]:
    """Inside, no registration is entered, and no entry says up to which version there are none."""

    def no_entry(*given: object) -> str:
        """Nothing is entered."""
        return ""

    with (
        mock.patch.object(support.memory_store, "enter_registration", no_entry),
        mock.patch.object(store, "enter_registration", no_entry),
        mock.patch.object(ledger, "_newest", return_value=None),
    ):
        yield
