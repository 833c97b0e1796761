"""Whose turn it is: queues per host, with limits per host, and what waits for a moment to come.

Pure bookkeeping with the time handed in; the service calls it under its lock. Hosts take turns, so
that ten thousand files of one do not hold up one file of another. Everything is O(1) or O(log n).
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

Origin = tuple[str, str, "int | None"]
"""Scheme, host, port."""


class _Lane(Generic[T]):
    __slots__ = ("active", "free_at", "limit", "listed", "many", "origin", "queue")

    def __init__(self, origin: Origin, limit: int, *, many: bool) -> None:
        self.origin = origin
        self.limit = limit
        self.many = many
        self.queue: deque[T] = deque()
        self.active = 0
        self.listed = False
        self.free_at = 0.0

    def takeable(self) -> int:
        """Return how many of its items have a free slot."""
        return min(len(self.queue), max(0, self.limit - self.active))


class Lanes(Generic[T]):
    """What is ready, by host, and what is due later."""

    def __init__(self, per_host: int, rate: float | None, is_many: Callable[[str], bool]) -> None:
        """Set the limits.

        Args:
            per_host: Exchanges at once with one host.
            rate: Exchanges begun per second with one host; None for no limit.
            is_many: Whether exchanges of a scheme can be driven many at once.
        """
        self._per_host = per_host
        self._limits: dict[Origin, int] = {}
        self._gap = 0.0 if rate is None else 1.0 / rate
        self._is_many = is_many
        self._lanes: dict[Origin, _Lane[T]] = {}
        self._open: dict[bool, deque[_Lane[T]]] = {True: deque(), False: deque()}
        self._later: list[tuple[float, int, Origin, T | None]] = []
        self._count = 0
        self.ready = {True: 0, False: 0}
        """How many are queued: those that can be driven many at once, and the others."""
        self.takeable = {True: 0, False: 0}
        """How many of them have a free slot (though perhaps not before a moment of their rate)."""

    def limit(self, origin: Origin, count: int | None) -> None:
        """Set a limit of exchanges at once for one host, None for that of all.

        What is under way goes on.
        """
        if count is None:
            self._limits.pop(origin, None)
        else:
            self._limits[origin] = count
        lane = self._lanes.get(origin)
        if lane is None:
            return
        if lane.listed:
            lane.listed = False
            self._open[lane.many].remove(lane)
        self.takeable[lane.many] -= lane.takeable()
        lane.limit = self._per_host if count is None else count
        self.takeable[lane.many] += lane.takeable()
        self._list(lane)

    def push(self, origin: Origin, item: T, *, first: bool = False) -> None:
        """Queue an item for a host; `first` puts it before the others (it has begun already)."""
        lane = self._lanes.get(origin)
        if lane is None:
            lane = self._lanes[origin] = _Lane(
                origin, self._limits.get(origin, self._per_host), many=self._is_many(origin[0])
            )
        if first:
            lane.queue.appendleft(item)
        else:
            lane.queue.append(item)
        self.ready[lane.many] += 1
        if len(lane.queue) <= lane.limit - lane.active:
            self.takeable[lane.many] += 1
        self._list(lane)

    def push_later(self, when: float, origin: Origin, item: T) -> None:
        """Queue an item at a moment of the clock."""
        self._remind(when, origin, item)

    def wake(self, now: float) -> bool:
        """Queue what has become due; tell whether anything has."""
        if not self._later or self._later[0][0] > now:
            return False
        while self._later and self._later[0][0] <= now:
            _, _, origin, item = heappop(self._later)
            if item is not None:
                self.push(origin, item)
            elif (lane := self._lanes.get(origin)) is not None:
                self._list(lane)
        return True

    def next_due(self) -> float | None:
        """Return the moment at which `wake` has something to do; None if there is none."""
        return self._later[0][0] if self._later else None

    def pop(self, now: float, kinds: tuple[bool, ...]) -> tuple[Origin, T] | None:
        """Take the next item whose host has a free slot, and that slot; return host and item.

        Args:
            now: The clock.
            kinds: Which queues: True for what can be driven many at once, False for the others.
        """
        for kind in kinds:
            open_ = self._open[kind]
            while open_:
                lane = open_.popleft()
                lane.listed = False
                if not lane.queue:
                    continue
                if lane.free_at > now:
                    self._remind(lane.free_at, lane.origin, None)
                    continue
                if self._gap:
                    lane.free_at = now + self._gap
                lane.active += 1
                self.ready[kind] -= 1
                self.takeable[kind] -= 1
                item = lane.queue.popleft()
                self._list(lane)
                return lane.origin, item
        return None

    def has_open(self, *, many: bool) -> bool:
        """Tell whether `pop` is likely to find something of a kind."""
        return bool(self._open[many])

    def release(self, origin: Origin) -> None:
        """Give a host's slot back."""
        lane = self._lanes[origin]
        if 0 <= lane.limit - lane.active < len(lane.queue):
            self.takeable[lane.many] += 1
        lane.active -= 1
        self._list(lane)
        if not (lane.queue or lane.active or lane.listed or self._gap):
            del self._lanes[origin]

    def _remind(self, when: float, origin: Origin, item: T | None) -> None:
        self._count += 1  # equal moments are told apart by it, so that no items are compared
        heappush(self._later, (when, self._count, origin, item))

    def _list(self, lane: _Lane[T]) -> None:
        if not lane.listed and lane.queue and lane.active < lane.limit:
            lane.listed = True
            self._open[lane.many].append(lane)
