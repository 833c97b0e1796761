"""Where the frames of each record lie: chains of places in the log, newest first. In memory.

A fragment is one frame as the index knows it: 24 bytes in five arrays, linked to the fragment before
it. A record's state is what its chain adds up to, read from the oldest to the newest.
"""

from __future__ import annotations

from array import array

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

OFFSET_BITS = 40
_OFFSET_MASK = (1 << OFFSET_BITS) - 1


def pack(segment: int, offset: int) -> int:
    """Return the place of a frame as one number."""
    return segment << OFFSET_BITS | offset


def unpack(where: int) -> tuple[int, int]:
    """Return a frame's segment number and its offset in it."""
    return where >> OFFSET_BITS, where & _OFFSET_MASK


class Fragments:
    """The fragments of all records."""

    __slots__ = ("_blob", "_fields", "_free", "_meta", "_previous", "_where", "bury")

    def __init__(self, bury: Callable[[int, int], None]) -> None:
        """Make it empty; `bury` is told the place and bytes of every frame nobody needs any more."""
        self._where = array("Q")
        self._meta = array("I")
        self._blob = array("I")
        self._previous = array("i")
        self._fields = array("I")
        self._free: list[int] = []
        self.bury = bury

    def __len__(self) -> int:
        return len(self._where) - len(self._free)

    def add(self, where: int, meta: int, blob: int, previous: int, fields: int) -> int:
        """Take up a frame of `meta` + `blob` bytes that follows `previous` (-1: the first)."""
        if self._free:
            number = self._free.pop()
            self._where[number] = where
            self._meta[number] = meta
            self._blob[number] = blob
            self._previous[number] = previous
            self._fields[number] = fields
            return number
        self._where.append(where)
        self._meta.append(meta)
        self._blob.append(blob)
        self._previous.append(previous)
        self._fields.append(fields)
        return len(self._where) - 1

    def chain(self, head: int) -> list[tuple[int, int, int]]:
        """Return place, meta bytes and blob bytes of a chain's frames, oldest first."""
        found = []
        while head >= 0:
            found.append((self._where[head], self._meta[head], self._blob[head]))
            head = self._previous[head]
        found.reverse()
        return found

    def saying(self, head: int, fields: int) -> list[tuple[int, int, int]]:
        """Return a chain as `chain` does, but only frames that set any of these fields."""
        found = []
        while head >= 0:
            if self._fields[head] & fields:
                found.append((self._where[head], self._meta[head], self._blob[head]))
            head = self._previous[head]
        found.reverse()
        return found

    def release(self, head: int) -> None:
        """Give up a chain: its bytes are dead."""
        while head >= 0:
            self.bury(self._where[head], self._meta[head] + self._blob[head])
            self._free.append(head)
            head = self._previous[head]

    def free_chain(self, head: int) -> None:
        """Forget a chain, whose frames the caller buries or takes up again."""
        while head >= 0:
            self._free.append(head)
            head = self._previous[head]

    def arrays(self) -> list[array[int]]:
        """Return all there is to know, for a snapshot."""
        return [
            *(self._where, self._meta, self._blob, self._previous, self._fields),
            array("I", self._free),
        ]

    def restore(self, arrays: list[array[int]]) -> None:
        """Take the arrays of a snapshot."""
        self._where, self._meta, self._blob, self._previous, self._fields, free = arrays
        self._free = free.tolist()
