"""What this process has read lately: bounded, and only ever a short cut.

Nothing here is believed without a `stat` of the entry's file: inode, size and mtime tell every change,
because a writer sets the mtime itself, and never twice the same (`stamp`). Without that, two quick
changes could leave a reused inode, of the same size, within one tick of the kernel's clock (4 ms).

Two generations instead of a list in order of use: what is asked for moves to the young one; when that
is full, the old one is dropped and the young one becomes old. So a hit costs one dictionary look-up
and writes nothing, and threads need no lock: whatever they overwrite of each other is a short cut.
"""

from __future__ import annotations

import os
from itertools import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Known = tuple[str, int, int, int, bytes, Any, bool, int | None, int]
    """Path, inode, size and mtime (ns) of a key's entry; its value's letter; the value, or its body
    where whoever gets the value could change it; whether it is the value; when it expires (µs); the
    bytes that all this takes."""

OVERHEAD = 500  # bytes of bookkeeping for one key, roughly
_ONCE_KEPT = 50_000  # keys read once
_MASK = 0xFFFFF  # 20 bits: a millisecond
_SPREAD = 0x9E3779B1
_count = count(int.from_bytes(os.urandom(4), "little"))

# A tuple, not a class: the garbage collector leaves tuples of plain values alone, and went through
# 50,000 objects again and again for a sixth of a put's time.


class Memory:
    """Recent keys of one store, within a number of bytes."""

    __slots__ = ("_half", "_old", "_once", "_weight", "_young")

    def __init__(self, limit: int) -> None:
        """Remember `limit` bytes at most; 0 remembers nothing."""
        self._half = limit // 2
        self._young: dict[str, Known] = {}
        self._old: dict[str, Known] = {}
        self._weight = 0
        self._once: set[str] = set()

    def admits(self, key: str) -> bool:
        """Whether a key that was read is worth remembering: from the second time on.

        A process that reads every key once (an export) pays for no memory it does not use: the status
        of the file and the entry here are a fifth of such a get.
        """
        if key in self._once:
            return True
        if len(self._once) >= _ONCE_KEPT:
            self._once = set()
        self._once.add(key)
        return False

    def get(self, key: str) -> Known | None:
        """Return what is known of a key."""
        known = self._young.get(key)
        if known is None:
            known = self._old.get(key)
            if known is not None:
                self.keep(key, known)
        return known

    def keep(self, key: str, known: Known) -> None:
        """Remember a key."""
        weight = known[8]
        if weight > self._half:
            self.drop(key)
            return
        if self._weight + weight > self._half:
            self._old, self._young, self._weight = self._young, {}, 0
        self._weight += weight
        self._young[key] = known

    def drop(self, key: str) -> None:
        """Forget a key."""
        self._young.pop(key, None)
        self._old.pop(key, None)


def stamp(now: float) -> int:
    """Return the mtime, in nanoseconds, of a file written at `now`; a millisecond off at most.

    No two writes of a process have one, and hardly ever two of different processes, even under a
    clock that stands still.
    """
    # The pid: forked children go on counting from the same number.
    return (int(now * 1e9) & ~_MASK) | ((next(_count) + os.getpid() * _SPREAD) & _MASK)
