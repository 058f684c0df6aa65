"""How many threads work on images."""

from __future__ import annotations

import os

MOST_WORKERS = 16
"""Threads at most; with more, the disk or the memory decides."""


def workers() -> int:
    """One thread for each processor that this process may use."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST_WORKERS, count)
