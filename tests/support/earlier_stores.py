"""Versions as they were registered before registration records were kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import support.memory_store

from benchmarks.measurements import imagined_audits


@contextmanager
def before_records() -> Iterator[None]:
    """Inside, no registration is entered, in the memory store neither."""
    with imagined_audits.before_records(support.memory_store):
        yield
