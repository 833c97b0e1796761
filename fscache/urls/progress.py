"""Showing requests under way: bars on a terminal, plain lines anywhere else.

`follow` returns when all requests have ended, however they end; it raises none of their errors. It
wakes when a request ends and, on a terminal, ten times a second; it never polls faster.

The lines are made by `fscache.urls.bars`, the sums by `fscache.urls.tally`; here is what needs a clock
and a stream.
"""

from __future__ import annotations

import math
import os
import queue
import sys
import time
from io import StringIO
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote

from fscache.telling import tell
from fscache.units import format_size
from fscache.urls import bars
from fscache.urls.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TextIO

    from stager.request import FetchRequest

REDRAW = 0.1
"""Seconds between two frames: a terminal over a slow line keeps up with ten."""
REMIND = 30.0
"""Seconds between two lines of a log that say how far everything is."""


class _View(Protocol):
    """A way to show how far requests are."""

    first: float
    """Seconds until the first `show`, and from one to the next:"""
    wake: float

    def ended(self, request: FetchRequest, /) -> None:
        """Take note of a request that has ended."""

    def show(self, tally: Tally, now: float, /) -> None:
        """Show what runs."""

    def close(self, tally: Tally, now: float, /) -> None:
        """Show how it ended."""


class _Calls:
    """Leaves the showing to a callable."""

    first = 0.0
    wake = REDRAW

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def ended(self, _request: FetchRequest, /) -> None:
        """Leave it to the next call."""

    def show(self, _tally: Tally, _now: float, /) -> None:
        """Call."""
        self._call()

    close = show


class _Terminal:
    """Draws over its own last frame."""

    first = 0.0
    wake = REDRAW

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._glyphs = bars.Glyphs(unicode=(stream.encoding or "").lower().startswith("utf"))
        self._drawn: list[int] = []

    def ended(self, _request: FetchRequest, /) -> None:
        """Leave it to the next frame."""

    def show(self, tally: Tally, now: float, /) -> None:
        """Draw what runs, and the sum."""
        width, height = terminal_size(self._stream)
        # The last column stays free: a terminal that has been written to its edge may have wrapped.
        room = max(1, width - 1)
        running = tally.running()
        size = tally.size(running)
        shown = [*running, *tally.waiting()]
        names = [_name(request) for request in shown]
        longest = max(map(bars.columns, names), default=0)
        lines = [
            bars.file_line(
                name, None if each.elsewhere else each.progress, room, self._glyphs, longest
            )
            for name, each in zip(names, shown, strict=True)
        ]
        last = bars.total_line(
            ended=tally.ended,
            files=tally.files,
            failed=tally.failed,
            size=size,
            rate=tally.rate(size, now),
            width=room,
            glyphs=self._glyphs,
        )
        frame = bars.frame(lines, last, height)
        tell(self._stream, self._back(width) + "".join(f"{line}\x1b[K\n" for line in frame))
        self._drawn = [bars.columns(line) for line in frame]

    def close(self, tally: Tally, now: float, /) -> None:
        """Put the summary in place of the frame."""
        width, _ = terminal_size(self._stream)
        tell(self._stream, f"{self._back(width)}{tally.summary(now)}\n")

    def _back(self, width: int) -> str:
        """Return what moves to the start of the last frame and clears it.

        A terminal that has become narrower since has wrapped its lines: each takes more rows now.
        """
        rows = sum(max(1, -(-drawn // max(1, width))) for drawn in self._drawn)
        return f"\x1b[{rows}F\x1b[J" if rows else ""


class _Plain:
    """Writes a line for each file, and one now and then while nothing ends."""

    first = REMIND
    wake = REMIND

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def ended(self, request: FetchRequest, /) -> None:
        """Write the line of a file that has come; errors are the caller's to report."""
        if request.state == "done":
            size, total, rate = request.progress
            url = bars.printable(request.urls[0])
            if request.elsewhere:
                self._write(f"fetched by another process {url} ({format_size(size)})")
                return
            if not size and total is None:  # no body came: it has not changed
                self._write(f"up to date {url}")
                return
            speed = f", {format_size(rate)}/s" if rate else ""
            self._write(f"fetched {url} ({format_size(size)}{speed})")

    def show(self, tally: Tally, now: float, /) -> None:
        """Write how far everything is."""
        running = tally.running()
        size = tally.size(running)
        rate = format_size(tally.rate(size, now))
        waiting = len(tally.waiting())
        others = f", {waiting} waiting for another process" if waiting else ""
        self._write(f"{tally.ended} of {tally.files} files, {format_size(size)}, {rate}/s{others}")

    def close(self, tally: Tally, now: float, /) -> None:
        """Write the summary of several files."""
        if tally.files > 1:
            self._write(tally.summary(now))

    def _write(self, line: str) -> None:
        tell(self._stream, f"{line}\n")


def follow(
    requests: Iterable[FetchRequest],
    call: Callable[[list[FetchRequest]], None] | None = None,
    *,
    timeout: float | None = None,
    stream: TextIO | None = None,
    now: Callable[[], float] = time.monotonic,
) -> None:
    """Wait until all requests have ended, and show meanwhile how far they are.

    Args:
        requests: What to wait for; those that have ended already are not shown.
        call: Called with all requests instead of drawing, ten times a second and at the end.
        timeout: The longest wait, in s.
        stream: Where to write; standard error by default.
        now: A clock in seconds that only runs forward.
    """
    everything = list(dict.fromkeys(requests))
    pending = [request for request in everything if not request.done()]
    if not pending:
        if call is not None:
            call(everything)
        return
    ended: queue.SimpleQueue[FetchRequest] = queue.SimpleQueue()
    tally = Tally(pending, now())
    for request in pending:
        # not concurrent.futures.wait in a loop, which goes through all that pend at each wake-up
        request.add_done_callback(ended.put)  # type: ignore[arg-type]
    view: _View
    if call is not None:
        view = _Calls(lambda: call(everything))
    else:
        out = stream or sys.stderr or StringIO()  # a daemon may have closed it
        view = _Terminal(out) if out.isatty() else _Plain(out)
    due = now() + view.first
    until = math.inf if timeout is None else now() + timeout
    try:
        while tally.pending and now() < until:
            if now() >= due:
                view.show(tally, now())
                due = now() + view.wake
            over = _next(ended, min(due, until) - now())
            if over is not None:
                tally.end(over)
                view.ended(over)
    finally:
        view.close(tally, now())


def terminal_size(stream: TextIO) -> tuple[int, int]:
    """Return the columns and lines of a terminal; one that does not know them says 0 of each."""
    try:
        width, height = os.get_terminal_size(stream.fileno())
    except OSError:  # it has gone
        return 80, 24
    return width or 80, height or 24


def _next(ended: queue.SimpleQueue[FetchRequest], patience: float) -> FetchRequest | None:
    try:
        return ended.get(timeout=max(0.0, patience))
    except queue.Empty:
        return None


def _name(request: FetchRequest) -> str:
    url = request.urls[0].partition("#")[0].partition("?")[0].rstrip("/")
    return bars.printable(unquote(url.rpartition("/")[2]))
