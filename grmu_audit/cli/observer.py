"""Notes and progress on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

from grmu_audit.cli.output import say
from grmu_audit.utils.progress import Advance
from grmu_audit.utils.terminal_tables import terminal_width

_FORMAT = "{desc}: {percentage:3.0f}% {bar:10} {n_fmt}/{total_fmt} {elapsed}<{remaining}{postfix}"
"""A bar of ten characters: title, share done, count, time spent and left, and the newest values."""
_NUMBERS = 46
"""Columns of the bar and its numbers."""


def _time_left(spent: float, done: int, rest: int) -> str:
    """Time for the rest, at the pace so far.

    >>> _time_left(60.0, 2, 4), _time_left(10.0, 1, 0)
    ('2 min left', '0 min left')
    """
    minutes = spent / max(done, 1) * rest / 60
    return f"{minutes:.0f} min left" if minutes < 90 else f"{minutes / 60:.1f} h left"


class ConsoleObserver:
    """Writes to stderr; see ``utils.progress.Observer``."""

    def note(self, text: str) -> None:
        """Print a sentence."""
        say(text, err=True)

    @contextlib.contextmanager
    def progress(self, title: str, total: int, unit: str = "epoch", done: int = 0) -> Iterator[Advance]:
        """A bar on a terminal; elsewhere a line for each quarter of epochs or tenth of steps, or the number of other units."""
        if sys.stderr.isatty():
            with self._bar(title, total, unit, done) as advance:
                yield advance
            return
        if unit != "epoch":
            self.note(f"{title}: {total} {unit}s")
        start, first = time.monotonic(), done

        def write(count: int, note: str = "") -> None:
            """A line when another quarter is done; of steps when another tenth is, with the time left."""
            nonlocal done
            before, done = done, done + count
            if unit == "step" and 10 * done // total > 10 * before // total:
                self.note(
                    f"{title}: {done}/{total} steps, about {_time_left(time.monotonic() - start, done - first, total - done)}"
                )
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
