"""Progress for people: a bar on a terminal, plain lines elsewhere, both on stderr."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self


class Progress:
    """Counts epochs of one task.

    Args:
        title: what is going on; None for silence.
        total: number of epochs.
    """

    def __init__(self, title: str | None, total: int) -> None:
        self.title = title
        self.total = total
        self._bar: Any = None

    def __enter__(self) -> Self:
        if self.title is not None and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=self.total, desc=self.title, unit="epoch", file=sys.stderr, leave=False)
        return self

    def advance(self, done: int, note: str) -> None:
        """One epoch is done; ``note`` says how it went."""
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(1)
        elif self.title is not None and (done == self.total or done % max(1, self.total // 4) == 0):
            sys.stderr.write(f"{self.title}: epoch {done}/{self.total} {note}\n")
            sys.stderr.flush()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()
