"""The backend `memory`: a record log and its upkeep, gone with the process."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from fscache.tasks.core import Core
    from fscache.tasks.index import Seen


class MemoryLog:
    """Keeps each frame for as long as it is needed."""

    def __init__(self) -> None:
        self._frames: dict[int, bytes] = {}
        self._next = 0

    def append(self, data: bytes, stamp: int) -> int:  # noqa: ARG002 - as FileLog's
        """Keep a frame; return where."""
        self._next += 1
        self._frames[self._next] = data
        return self._next

    def read(self, where: int, size: int) -> bytes:
        """Return the first `size` bytes of a frame; raises FileNotFoundError."""
        try:
            return self._frames[where][:size]
        except KeyError:
            raise FileNotFoundError(f"frame {where} of the task log is gone") from None

    def bury(self, where: int, size: int) -> None:  # noqa: ARG002 - as FileLog's
        """Free a frame."""
        self._frames.pop(where, None)

    def is_quiet(self) -> bool:
        """Whether nobody else has written: there is nobody else."""
        return True

    def bury_drop(self, where: int, size: int) -> None:
        """Free a frame that drops records: there is nobody to be told."""
        self.bury(where, size)

    def poll(self) -> Iterator[Seen]:
        """Yield nothing: there is no other writer."""
        return iter(())

    def names(self, numbers: Iterable[int] | None) -> list[str]:  # noqa: ARG002 - as FileLog's
        """Return nothing: there are no segments."""
        return []

    def owner(self, where: int) -> int:  # noqa: ARG002 - as FileLog's
        """Return the user who has written a frame: this one."""
        return os.getuid()

    def lost(self) -> set[int]:
        """Return nothing: nothing is lost."""
        return set()

    @property
    def own_name(self) -> str | None:
        """The name of the segment that this process writes to: there are none."""
        return None

    def is_own(self, number: int) -> bool:  # noqa: ARG002 - as FileLog's
        """Whether this process writes to a segment: no other does."""
        return True

    def forked(self) -> None:
        """Go on as a child process, with a copy."""

    def close(self) -> None:
        """Nothing is held open."""


class MemoryUpkeep:
    """Gives back what dropped records held."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def step(self) -> None:
        """Give back everything."""
        index = self._core.index
        if index.unreaped:
            self._core.give_up(index.reap(len(index.unreaped)))

    @property
    def is_due(self) -> bool:
        """Whether anything is left: `step` leaves nothing."""
        return False

    def compact(self) -> Generator[None]:
        """Give back everything."""
        self.step()
        yield

    def discard(self) -> None:
        """Nothing is left."""

    def finish(self) -> None:
        """Nothing is left behind."""

    def forked(self) -> None:
        """Go on as a child process, with a copy."""
