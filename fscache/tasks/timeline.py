"""Rows ordered by an instant: appended nearly in order, asked for by range. In memory.

Two parallel arrays, sorted. Removing leaves the pair where it is, to be skipped: taking one out of
the middle of 100,000 costs 20 µs, and a purge takes out many. When most pairs are stale, the arrays
are made anew from what is left.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from itertools import islice
from operator import eq

from fscache.tasks.model import NULL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_MIN_STALE = 1024


class Timeline:
    """The rows whose instant is not NULL, by that instant; equal ones in the order of insertion."""

    __slots__ = ("_added", "_instants", "_newest", "_rows", "_stale", "_truth")

    def __init__(self, truth: array[int], added: array[int]) -> None:
        """Order rows by `truth`, the column with the instant of each row.

        Where all is made anew, `added`, that of when each was added, stands for the order of insertion.
        """
        self._truth = truth
        self._added = added
        self._instants = array("q")
        self._rows = array("I")
        self._newest = NULL
        self._stale = 0

    def change(self, row: int, old: int) -> None:
        """Take up that a row's instant has changed: it was `old`, the column has the new one."""
        if old != NULL and self.forget(1):
            return
        instant = self._truth[row]
        if instant == NULL:
            return
        if instant >= self._newest:
            self._newest = instant
            self._instants.append(instant)
            self._rows.append(row)
        else:
            at = bisect_right(self._instants, instant)
            self._instants.insert(at, instant)
            self._rows.insert(at, row)

    def forget(self, count: int) -> bool:
        """Take up that the instants of `count` rows are not what they were; True if made anew."""
        self._stale += count
        if self._stale > _MIN_STALE and self._stale * 2 > len(self._rows):
            self.rebuild()
            return True
        return False

    def rebuild(self, known: Iterable[int] | None = None) -> None:
        """Make the order anew from the column; `known` rows at most have an instant."""
        truth = self._truth
        among = range(len(truth)) if known is None else sorted(known)
        rows = sorted((row for row in among if truth[row] != NULL), key=truth.__getitem__)
        self._instants = array("q", map(truth.__getitem__, rows))
        if any(map(eq, self._instants, islice(self._instants, 1, None))):
            added = self._added  # rows are used again, so that their numbers tell nothing
            rows.sort(key=lambda row: (truth[row], added[row]))
        self._rows = array("I", rows)
        self._newest = self._instants[-1] if rows else NULL
        self._stale = 0

    def between(self, low: int | None, upper: int | None) -> list[int]:
        """Return the rows from `low` to `upper`, both included, in order; None is no limit."""
        start = 0 if low is None else bisect_left(self._instants, low)
        end = len(self._rows) if upper is None else bisect_right(self._instants, upper)
        if not self._stale:
            return self._rows[start:end].tolist()
        truth = self._truth
        pairs = zip(self._rows[start:end], self._instants[start:end], strict=True)
        return _latest([row for row, instant in pairs if truth[row] == instant])

    def oldest(self) -> Iterator[int]:
        """Yield the rows in order; they may be dropped meanwhile."""
        truth = self._truth
        last = NULL
        held: list[int] = []  # those of one instant
        for row, instant in zip(self._rows, self._instants, strict=True):
            if instant != last:
                yield from held if len(held) < 2 else _latest(held)
                held.clear()
                last = instant
            if truth[row] == instant:
                held.append(row)
        yield from _latest(held)


def _latest(rows: Sequence[int]) -> list[int]:
    """Return each row once, where it is for the last time: it came back to an instant it had before."""
    found = list(dict.fromkeys(reversed(rows)))
    found.reverse()
    return found
