"""What an administrator wants to know of a running server, gathered in one place."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stager.urls import redact

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.cache import Cache
    from fscache.server.app import App
    from fscache.server.board import Board
    from fscache.server.listener import Listener
    from stager.request import Progress

AGES: tuple[tuple[str, float], ...] = (
    ("hour", 3600.0),
    ("day", 86400.0),
    ("week", 7 * 86400.0),
    ("month", 30 * 86400.0),
    ("year", 365 * 86400.0),
    ("longer", float("inf")),
)
"""Since the last access, in seconds."""


@dataclass(frozen=True, slots=True)
class Moving:
    """One transfer under way, or in the queue."""

    url: str
    """Redacted."""
    state: str
    progress: Progress
    askers: int


@dataclass(frozen=True, slots=True)
class Space:
    """What lies in the root, by time since its last access."""

    by_age: tuple[tuple[str, int, int], ...] = ()
    """Name of the age, URLs, bytes."""
    free: int = 0
    """Bytes of the file system."""
    total: int = 0
    taken: float | None = None
    """When it was counted, seconds since the epoch."""

    @property
    def kept(self) -> int:
        """Bytes of all URLs."""
        return sum(size for _, _, size in self.by_age)


@dataclass(frozen=True, slots=True)
class Figures:
    """A moment of one server."""

    transfers: tuple[Moving, ...]
    waiting: int
    """Requests that have not ended."""
    hits: int
    misses: int
    space: Space
    connections: int
    accepted: int
    answered: int
    refused: int
    uptime: float
    """Seconds."""
    trouble: str | None = field(default=None)

    @property
    def hit_ratio(self) -> float | None:
        """Of the URLs asked for since the start; None before the first."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else None


class Survey:
    """Counts what lies in the root: slow, so not while anybody waits."""

    def __init__(self, cache: Cache, now: Callable[[], float]) -> None:
        """Count a cache's URLs; `now` is the clock, seconds since the epoch."""
        self._cache = cache
        self._now = now
        self.began = time.monotonic()
        self.space = Space()

    def take(self) -> None:
        """Count anew."""
        now = self._now()
        counts = {name: [0, 0] for name, _ in AGES}
        for row in self._cache.entries():
            accessed = row["accessed"]
            if not isinstance(accessed, float):
                continue  # the object is gone
            age = now - accessed
            name = next(name for name, limit in AGES if age <= limit)
            counts[name][0] += 1
            counts[name][1] += int(str(row["size"]))
        system = os.statvfs(self._cache.root.path)
        self.space = Space(
            tuple((name, urls, size) for name, (urls, size) in counts.items()),
            system.f_bavail * system.f_frsize,
            system.f_blocks * system.f_frsize,
            now,
        )


def collect(
    board: Board, survey: Survey, listener: Listener, app: App, *, trouble: str | None
) -> Figures:
    """Gather the figures of this moment."""
    moving: dict[str, Moving] = {}
    waiting = 0
    for _batch, _identity, request in board.under_way():
        waiting += 1
        url = redact(request.urls[0])
        before = moving.get(url)
        askers = 1 if before is None else before.askers + 1
        moving[url] = Moving(url, request.state, request.progress, askers)
    return Figures(
        transfers=tuple(moving.values()),
        waiting=waiting,
        hits=board.hits,
        misses=board.misses,
        space=survey.space,
        connections=listener.connections,
        accepted=listener.accepted,
        answered=app.answered,
        refused=app.refused,
        uptime=time.monotonic() - survey.began,
        trouble=trouble,
    )
