"""A bar for a run: redrawn in place on a terminal, a line now and then anywhere else."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from fscache.units import format_duration

if TYPE_CHECKING:
    from typing import TextIO

    from fscache.grid.mapreduce import Progress

_COLUMNS = 30
_STEPS = 10  # lines in a log that say how far it is


class Bar:
    """Draws the progress of one run; call it with each."""

    def __init__(self, title: str, stream: TextIO | None = None) -> None:
        self._title = title
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._drawn = -1
        self._lock = threading.Lock()

    def __call__(self, progress: Progress) -> None:
        """Draw."""
        with self._lock:
            step = _COLUMNS if self._terminal else _STEPS
            share = progress.done * step // max(1, progress.total)
            if share == self._drawn:
                return
            self._drawn = share
            text = line(self._title, progress)
            end = "\n" if not self._terminal or progress.done == progress.total else ""
            start = "\r" if self._terminal else ""
            self._stream.write(f"{start}{text}{end}")
            self._stream.flush()


def line(title: str, progress: Progress) -> str:
    """Return what is shown: title, bar, count, time gone and time left."""
    done, total, seconds = progress
    full = done * _COLUMNS // max(1, total)
    left = format_duration(seconds / done * (total - done)) if 0 < done < total else ""
    bar = "━" * full + " " * (_COLUMNS - full)
    return f"{title} {bar} {done}/{total} {format_duration(seconds)} {left}".rstrip()
