"""What of an index is behind what has been written: frames of our own wait, to be taken up together.

A frame is in the file before it waits here; others read it there as ever. Its columns are filled in when
64 wait, or as soon as anybody asks for a column: one frame at a time, between encoding and writing
others, a task's life takes 2 to 3 % longer.

What may be behind is kept under a private name, and is a `Caught` under its public one: whoever reads it
has what waits taken up first, and nobody needs to know that anything does. (Rejected: to have whoever
reads call for it, as one place is forgotten; an index that changes its class while frames wait, as its
attributes were slower by what is gained.) Which records there are, and in which rows, is never behind.

The database's lock is held whenever anything is called.
"""

from __future__ import annotations

from collections import deque
from operator import attrgetter
from typing import Generic, TypeVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array

    from fscache.tasks.frames import Frame

T = TypeVar("T")
MOST = 64
"""Frames that wait."""
LONG = 16 * 1024
"""Bytes of a frame that does not wait: those that do are in memory."""


class Caught(Generic[T]):
    """An attribute of an index, read and set only when nothing waits."""

    def __set_name__(self, owner: type[Late], name: str) -> None:
        self._name = f"_{name}"
        self._read = attrgetter(self._name)

    def __get__(self, index: Late, owner: type[Late]) -> T:
        if index.waiting:
            index.take_up()
        value: T = self._read(index)
        return value

    def __set__(self, index: Late, value: T) -> None:
        if index.waiting:
            index.take_up()
        setattr(index, self._name, value)


class Late:
    """An index that may be behind."""

    _depth: array[int]
    _numbers: list[array[int]]

    def __init__(self) -> None:
        """Have nothing wait."""
        self.waiting: deque[tuple[int, Frame, int, int, int]] = deque()
        """Rows, and the frames that are to be linked to them, in the order of their stamps."""
        self.late_rows: set[int] = set()
        """At least those rows."""

    def take_up(self) -> None:
        """Link what waits; where that fails for one frame, the others wait on."""
        waiting, link = self.waiting, self._link
        while waiting:  # each is gone before it is linked: a child process must not link it again
            link(*waiting.popleft())
        self.late_rows.clear()

    def depth_of(self, row: int) -> int:
        """Return how many frames a row has, though others' wait."""
        if row in self.late_rows:
            self.take_up()
        return self._depth[row]

    def number_of(self, row: int, position: int) -> int:
        """Return a number of a row, though others' frames wait."""
        if row in self.late_rows:
            self.take_up()
        return self._numbers[position][row]

    def _link(self, row: int, frame: Frame, where: int, meta: int, blob: int) -> None:
        """Make a frame the newest of a row."""
        raise NotImplementedError
