"""How far many requests are together: files, bytes, rate, and the sentence at the end.

Bytes that another process has fetched count as bytes that are here, and in no rate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fscache.units import format_duration, format_size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stager.request import FetchRequest

_RATE_WINDOW = 3.0
"""Seconds over which the rate of everything together is taken."""


class Tally:
    """What has ended and what has come so far, over all requests."""

    def __init__(self, requests: Iterable[FetchRequest], now: float) -> None:
        self.pending = dict.fromkeys(requests)
        self.files = len(self.pending)
        self.failed = 0
        self.elsewhere = 0
        """How many another process has fetched."""
        self.began = now
        self._size_of_ended = 0
        self._size_elsewhere = 0
        self._samples = [(now, 0)]

    @property
    def ended(self) -> int:
        """How many requests have ended."""
        return self.files - len(self.pending)

    def end(self, request: FetchRequest) -> None:
        """Note that `request` has ended."""
        del self.pending[request]
        size = request.progress.done
        self._size_of_ended += size
        self.failed += request.state != "done"
        if request.elsewhere and request.state == "done":
            self.elsewhere += 1
            self._size_elsewhere += size

    def running(self) -> list[FetchRequest]:
        """Return the requests whose bytes are coming."""
        return [request for request in self.pending if request.running()]

    def waiting(self) -> list[FetchRequest]:
        """Return the requests whose bytes come to another process."""
        return [
            request for request in self.pending if request.elsewhere and request.state == "queued"
        ]

    def size(self, running: Iterable[FetchRequest]) -> int:
        """Return the bytes that have come, in files that have ended and in those `running`."""
        return self._size_of_ended + sum(request.progress.done for request in running)

    def rate(self, size: int, now: float) -> float:
        """Return the bytes per second of the last few seconds, without what others have fetched."""
        size -= self._size_elsewhere
        self._samples.append((now, size))
        while len(self._samples) > 2 and now - self._samples[1][0] > _RATE_WINDOW:
            del self._samples[0]
        then, before = self._samples[0]
        return max(0, size - before) / (now - then) if now > then else 0.0

    def summary(self, now: float) -> str:
        """Return the sentence that stays when all is over."""
        seconds = max(now - self.began, 1e-6)
        size = self.size(self.pending)
        failed = f", {self.failed} failed" if self.failed else ""
        files = "1 file" if self.files == 1 else f"{self.files} files"
        if self.pending:  # interrupted, or the wait was not to last longer
            files = f"{self.ended} of {files}"
        others = f", {self.elsewhere} by another process" if self.elsewhere else ""
        ours = size - self._size_elsewhere
        rate = f" ({format_size(ours / seconds)}/s)" if ours else ""
        return f"{files}{failed}{others}, {format_size(size)} in {format_duration(seconds)}{rate}"
