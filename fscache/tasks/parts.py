"""What a backend is made of: a log, a keeper of buffers, and upkeep. In files or in memory."""

from __future__ import annotations

from typing import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from fscache.tasks.index import Seen


class Log(Protocol):
    """What frames are appended to and read from; see `FileLog` and `MemoryLog`."""

    def append(self, data: bytes, stamp: int) -> int:
        """Write a frame; return where it lies."""

    def read(self, where: int, size: int) -> bytes:
        """Return bytes at a place; raises FileNotFoundError where they are gone."""

    def bury(self, where: int, size: int) -> None:
        """Take note of bytes that nobody needs any more."""

    def bury_drop(self, where: int, size: int) -> None:
        """Take note of the bytes of a frame that drops records."""

    def is_quiet(self) -> bool:
        """Whether certainly nobody has written since the last poll."""

    def poll(self) -> Iterator[Seen]:
        """Yield what others have written since the last poll."""

    def names(self, numbers: Iterable[int] | None) -> list[str]:
        """Return the names of segments, None for all."""

    def lost(self) -> set[int]:
        """Return the segments with live bytes that have gone; for the caller to empty."""

    @property
    def own_name(self) -> str | None:
        """The name of the segment that this process writes to, None where it has none."""

    def is_own(self, number: int) -> bool:
        """Whether this process writes to a segment."""

    def owner(self, where: int) -> int:
        """Return the user who has written a frame."""

    def forked(self) -> None:
        """Go on as a child process."""

    def close(self) -> None:
        """Give back what is held open."""


class Keeper(Protocol):
    """Keeps buffers for records."""

    busy: bool
    """Whether something was put or named since `end`."""

    def end(self) -> None:
        """Note that a record names what was put: until then it is kept from purges."""

    def put(self, msg_id: str, data: bytes) -> tuple[str, int]:
        """Keep bytes for a record; return their address and slot."""

    def name(self, msg_id: str, address: str, slot: int, size: int) -> bool:
        """Note that a record names an object that is kept already; False if it is gone."""

    def read(self, address: str, slot: int) -> bytes:
        """Return the bytes; raises CorruptObjectError where they are gone."""

    def owner(self, address: str, slot: int) -> int:
        """Return the user who has written an object, -1 where it is gone."""

    def unname(self, msg_id: str, address: str, slot: int) -> None:
        """Note that a record no longer names an object."""

    def discard(self, address: str, slot: int) -> None:
        """Note that no record names an object any more."""


class Upkeep(Protocol):
    """What is done besides; see `fscache.tasks.upkeep`."""

    def step(self) -> None:
        """Do a part of it."""

    @property
    def is_due(self) -> bool:
        """Whether there is anything to do."""

    def compact(self) -> Generator[None]:
        """Free what nobody needs any more; each step of the iterator does a part of it."""

    def discard(self) -> None:
        """Have the objects removed that no record names any more; the lock need not be held."""

    def finish(self) -> None:
        """Do what an orderly end leaves behind."""

    def forked(self) -> None:
        """Go on as a child process."""
