"""The URLs of one call, and what is remembered of them: all that is under way, and the last that ended.

What was staged is here and needs no memory but its URLs; what failed keeps its error for a while.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fscache.server.spool import Asked
    from stager.request import FetchRequest

    Kept = Sequence[FetchRequest] | Sequence[tuple[str, ...]]
    """What is left of a batch: its requests, or the URLs (and mirrors) of what is here."""

REMEMBERED = 5_000
"""Requests of ended batches that are kept in memory: some 300 bytes each, 3 KB if it failed. Those of the
others come back from the spool."""


class Batch:
    """The requests of one call."""

    __slots__ = ("asked", "left", "name", "requests", "spooled")

    def __init__(self, name: str, asked: Asked, requests: list[FetchRequest]) -> None:
        self.name = name
        self.asked = asked
        self.requests = requests
        self.left = len(requests)
        self.spooled = False

    @property
    def good(self) -> bool:
        """Whether all have ended well."""
        return all(request.state == "done" for request in self.requests)


class Batches:
    """The batches of one server."""

    def __init__(self) -> None:
        """Know of none."""
        self._mutex = threading.Lock()
        self._running: dict[str, Batch] = {}
        self._ended: OrderedDict[str, Kept] = OrderedDict()
        self._remembered = 0

    def add(self, batch: Batch) -> None:
        """Begin to remember a batch."""
        with self._mutex:
            self._running[batch.name] = batch

    def one_ended(self, batch: Batch) -> bool:
        """Count a request of a batch down; return whether it was the last."""
        with self._mutex:
            batch.left -= 1
            return not batch.left

    def end(self, batch: Batch) -> None:
        """Move a batch to those that have ended, and forget the oldest of them."""
        urls = [request.urls for request in batch.requests]
        with self._mutex:
            self._running.pop(batch.name, None)
            self._ended[batch.name] = urls if batch.good else batch.requests
            self._remembered += len(urls)
            while self._remembered > REMEMBERED and len(self._ended) > 1:
                _, old = self._ended.popitem(last=False)
                self._remembered -= len(old)

    def running(self) -> list[Batch]:
        """Return those that have not ended."""
        with self._mutex:
            return list(self._running.values())

    def get(self, name: str) -> Kept | None:
        """Return what is left of a batch, None for nothing."""
        with self._mutex:
            running = self._running.get(name)
            return self._ended.get(name) if running is None else running.requests
