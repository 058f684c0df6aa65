"""Notes and progress for people: work reports to an observer, which is silent unless the caller passes another one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol


class Advance(Protocol):
    """Called when a part of the work is done."""

    def __call__(self, count: int, note: str = "") -> None:
        """``count`` more units are done; ``note`` says how they went."""


class Observer(Protocol):
    """Receiver of the notes and progress of long work; the command line writes it to stderr."""

    def note(self, text: str) -> None:
        """One line for people."""

    def progress(self, title: str, total: int, unit: str = "epoch", done: int = 0) -> AbstractContextManager[Advance]:
        """Progress of one task.

        Args:
            title: what is done.
            total: number of units.
            unit: what is counted.
            done: units that were done before.
        """


class Silent:
    """An observer that shows nothing."""

    def note(self, text: str) -> None:
        """Drop the line."""

    @contextlib.contextmanager
    def progress(self, title: str, total: int, unit: str = "epoch", done: int = 0) -> Iterator[Advance]:
        """Drop the progress."""
        yield _drop


def _drop(count: int, note: str = "") -> None:
    """Drop a step."""


SILENT = Silent()
"""The default observer."""
