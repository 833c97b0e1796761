"""How much one client may ask: requests per second, and bytes in one upload or call.

A token bucket per peer address. One rate for all, because a cluster's nodes are alike; the point is
that one node's runaway loop does not starve the others.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_CALL = 16 * 1024 * 1024
"""Bytes of one XML-RPC document."""
MAX_VALUE = 64 * 1024 * 1024
"""Bytes of one value put by plain HTTP, or of a document with what stands beside it."""
_KEPT_CLIENTS = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may ask."""

    rate: float | None = None
    """Requests per second, on average; None for any number."""
    burst: float = 10.0
    """Seconds' worth of requests that may come at once."""
    call: int = MAX_CALL
    """Bytes of one XML-RPC document."""
    value: int = MAX_VALUE
    """Bytes of one value."""
    upload: int | None = None
    """Bytes of one object; None for what there is room for."""
    queries: int = 4
    """SQL queries of all clients at once."""
    rows: int = 1 << 30
    """Bytes of the rows of one deferred query."""


class RateLimiter:
    """Counts requests by client."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        """Count; `clock` gives monotonic seconds."""
        self._rate = limits.rate
        self._full = max(1.0, (limits.rate or 0.0) * limits.burst)
        self._clock = clock
        self._mutex = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, client: str) -> float:
        """Count a request; return 0, or the seconds after which one may come again."""
        if self._rate is None:
            return 0.0
        now = self._clock()
        with self._mutex:
            level, since = self._buckets.pop(client, (self._full, now))
            level = min(self._full, level + (now - since) * self._rate)
            wait = 0.0 if level >= 1.0 else (1.0 - level) / self._rate
            # Popped and set again, the dict is in order of last use: its first is the oldest.
            self._buckets[client] = (level if wait else level - 1.0, now)
            if len(self._buckets) > _KEPT_CLIENTS:
                del self._buckets[next(iter(self._buckets))]
        return wait
