"""Notes and progress on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from grmu_audit.cli.output import say
from grmu_audit.utils.progress import Advance
from grmu_audit.utils.terminal_tables import terminal_width

_FORMAT = "{desc}: {percentage:3.0f}% {bar:10} {n_fmt}/{total_fmt} {elapsed}<{remaining}{postfix}"
"""A bar of ten signs: what is done, how much of it, the time passed and left, and how it goes."""
_NUMBERS = 46
"""Columns of the bar and its numbers."""


class ConsoleObserver:
    """Writes to stderr; see ``utils.progress.Observer``."""

    def note(self, text: str) -> None:
        """One sentence."""
        say(text, err=True)

    @contextlib.contextmanager
    def progress(self, title: str, total: int, unit: str = "epoch", done: int = 0) -> Iterator[Advance]:
        """A bar on a terminal; elsewhere a line for every quarter of the epochs, or one line with the number of other units."""
        if sys.stderr.isatty():
            with self._bar(title, total, unit, done) as advance:
                yield advance
            return
        if unit != "epoch":
            self.note(f"{title}: {total} {unit}s")

        def write(count: int, note: str = "") -> None:
            """A line when another quarter is done."""
            nonlocal done
            done += count
            if unit == "epoch" and (done == total or done % max(1, total // 4) == 0):
                self.note(f"{title}: epoch {done}/{total} {note}")

        yield write

    @contextlib.contextmanager
    def _bar(self, title: str, total: int, unit: str, done: int) -> Iterator[Advance]:
        from tqdm import tqdm

        width = terminal_width() - 1
        width_left = max(12, width - _NUMBERS)
        title = title if len(title) <= width_left else title[: width_left - 1] + "…"
        form = tqdm(
            total=total, initial=done, desc=title, unit=unit, bar_format=_FORMAT, ncols=width, file=sys.stderr, leave=False
        )
        with form as bar:

            def advance(count: int, note: str = "") -> None:
                """Move the bar."""
                bar.set_postfix_str(note[: max(0, width - _NUMBERS - len(title))], refresh=False)
                bar.update(count)

            yield advance
