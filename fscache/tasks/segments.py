"""The segments of one directory, as a reader sees them: found, read once, and looked at again.

What has been written since is looked for before each read: a `stat` of the directory, and one of each
segment that may still grow. Nothing here writes.
"""

from __future__ import annotations

import os
import time

from fscache.errors import FormatError
from fscache.records.root import translate, translated
from fscache.tasks.fragments import OFFSET_BITS, unpack
from fscache.tasks.segment import SUFFIX, Segment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fscache.records.root import Root
    from fscache.tasks.index import Seen

MAX_OPEN = 64
_SETTLED_SECONDS = 5.0
_TICK = 0.05  # longest that two changes of a directory may have one mtime (10 ms at HZ=100)
_FEW = 16  # segments that are looked at on every poll, however old
_COLD_INTERVAL = 0.25
_HOT_SECONDS = 60.0


class Segments:
    """The segments of one directory."""

    def __init__(self, root: Root) -> None:
        """Read the segments of a root; nothing is opened before it is needed."""
        self.root = root
        self.directory = f"{root.path}/tasks"
        self.segments: list[Segment | None] = []
        """By number; None for those that are gone."""
        self._lost: set[int] = set()
        self._by_name: dict[str, Segment] = {}
        self._growing: list[Segment] = []
        self._touched: dict[int, float] = {}
        self._now = root.now
        self._mtime = -1
        self._mtime_since = 0.0
        self._cold_until = 0.0
        self._strict = True

    def read(self, where: int, size: int) -> bytes:
        """Return `size` bytes of the log.

        Raises:
            FileNotFoundError: the segment is gone.
            StoreError: the file cannot be read.
        """
        number, offset = unpack(where)
        segment = self.segments[number]
        if segment is None:
            raise FileNotFoundError(f"segment {number} of the task log is gone")
        if not segment.is_open:
            self._close_some()
        try:
            return segment.read(offset, size)
        except FileNotFoundError:
            raise  # the record has been rewritten: the reader looks again
        except OSError as exc:
            raise translate(exc, segment.path) from exc

    def is_quiet(self) -> bool:
        """Whether certainly nobody has written since the last poll; 1 µs."""
        if self._growing or self._mtime_since:
            return False
        try:
            return os.stat(self.directory).st_mtime_ns == self._mtime
        except OSError:
            return False

    def poll(self) -> Iterator[Seen]:
        """Yield the frames that others have written since the last poll.

        Raises:
            FormatError: at the first poll, a segment was made by a newer version.
            StoreError: the log cannot be read.
        """
        self._list()
        for segment in self._changed():
            with translated(segment.path):
                yield from self._replay(segment)
        self._strict = False

    def bury(self, where: int, size: int) -> None:
        """Count bytes as dead."""
        segment = self.segments[where >> OFFSET_BITS]
        if segment is not None:
            segment.dead += size

    def bury_drop(self, where: int, size: int) -> None:
        """Count the bytes of a frame that drops records: dead, but to be looked at when rewriting."""
        self.bury(where, size)
        segment = self.segments[where >> OFFSET_BITS]
        if segment is not None:
            segment.drops += 1

    def known(self) -> list[Segment]:
        """Return the segments that are there."""
        return [segment for segment in self.segments if segment is not None]

    def names(self, numbers: Iterable[int] | None) -> list[str]:
        """Return the names of segments, None for all."""
        if numbers is None:
            return [segment.name for segment in self.known()]
        found = [self.segments[number] for number in numbers]
        return [segment.name for segment in found if segment is not None]

    def owner(self, where: int) -> int:
        """Return the user who has written a frame; raises FileNotFoundError where it is gone."""
        segment = self.segments[where >> OFFSET_BITS]
        if segment is None:
            raise FileNotFoundError(f"segment of {where:#x} is gone")
        return segment.status().st_uid

    def lost(self) -> set[int]:
        """Return the segments with live bytes that have gone; for the caller to empty."""
        return self._lost

    def close(self) -> None:
        """Close all files; they are opened again when needed."""
        for segment in self.known():
            segment.close()

    # -- inside ---------------------------------------------------------------------------------

    def restore(self, segments: list[tuple[int, str, int, int, int]]) -> bool:
        """Take from a snapshot what has been read.

        Args:
            segments: Number, name, end, dead bytes and drops of each, by number.

        Returns:
            False, and nothing was taken, if a segment is shorter than that.
        """
        for _, name, end, *_ in segments:
            try:
                if os.stat(f"{self.directory}/{name}").st_size < end:
                    return False
            except FileNotFoundError:
                continue  # rewritten since; its records are in another one
        for number, name, end, dead, drops in segments:
            self.segments += [None] * (number - len(self.segments))
            segment = self._adopt(name)
            segment.end = end
            segment.dead = dead
            segment.drops = drops
            self._growing.append(segment)
        return True

    def _adopt(self, name: str) -> Segment:
        segment = Segment(len(self.segments), name, f"{self.directory}/{name}")
        self.segments.append(segment)
        self._by_name[name] = segment
        return segment

    def _forget(self, segment: Segment) -> None:
        self.segments[segment.number] = None
        del self._by_name[segment.name]
        if segment in self._growing:
            self._growing.remove(segment)
        self._touched.pop(segment.number, None)

    def _list(self) -> None:
        """Take note of segments that have come and gone."""
        try:
            mtime = os.stat(self.directory).st_mtime_ns
        except FileNotFoundError:
            return
        except OSError as exc:
            raise translate(exc, self.directory) from exc
        clock = time.monotonic()
        if mtime != self._mtime:
            self._mtime = mtime
            self._mtime_since = clock
        elif clock - self._mtime_since > _TICK:
            self._mtime_since = 0.0  # whatever comes now gives the directory another mtime
            return
        with translated(self.directory):
            names = {name for name in os.listdir(self.directory) if name.endswith(SUFFIX)}
        for name in sorted(names - self._by_name.keys()):
            segment = self._adopt(name)
            self._growing.append(segment)
            self._touched[segment.number] = clock
        for name in self._by_name.keys() - names:
            segment = self._by_name[name]
            if segment.live > 0:
                self._lost.add(segment.number)
            self._forget(segment)

    def _changed(self) -> list[Segment]:
        """Return the segments that may have grown."""
        growing = self._growing
        if len(growing) <= _FEW:
            return list(growing)
        # Those that killed processes left behind: many, and silent.
        clock = time.monotonic()
        if clock >= self._cold_until:
            self._cold_until = clock + _COLD_INTERVAL
            return list(growing)
        since = clock - _HOT_SECONDS
        return [each for each in growing if self._touched.get(each.number, 0.0) > since]

    def _replay(self, segment: Segment) -> Iterator[Seen]:
        try:
            status = segment.status()
            finished = not status.st_mode & 0o222
            if status.st_size > segment.end:
                if not segment.is_open:
                    self._close_some()
                settled = finished or self._now() - status.st_mtime > _SETTLED_SECONDS
                yield from segment.replay(settled=settled)
                self._touched[segment.number] = time.monotonic()
        except FileNotFoundError:
            return  # removed since it was listed; its records are in another one
        except FormatError as exc:
            if self._strict:
                raise
            import logging

            logging.getLogger("fscache").error("%s; its tasks are not seen here", exc)  # noqa: TRY400
            finished = True
        if finished:
            segment.sealed = True
            if segment in self._growing:
                self._growing.remove(segment)

    def _close_some(self) -> None:
        opened = [segment for segment in self.known() if segment.is_open]
        if len(opened) >= MAX_OPEN:
            for segment in opened[: MAX_OPEN // 2]:
                segment.close()
