"""The record log in files: a directory of segments, some ours, most others'.

Each process appends to a segment of its own (`fscache.tasks.segment`) and reads all. There is no
lock and no order of processes to keep: a call that has returned is in the file, whatever is killed
afterwards, and everybody else reads it from there. What others have written is looked for before
each read: a `stat` of the directory, and one of each segment that may still grow.

Where the root's writes are to survive a loss of power, appends do within `fs.group.WINDOW`, and no
call waits for it.

`flock` on one's own segment only tells those who rewrite old segments that it is in use.
"""

from __future__ import annotations

import os
import time

from fscache.errors import FormatError
from fscache.fs import atomic
from fscache.fs.group import Group
from fscache.fs.lock import try_flock
from fscache.records.root import translate, translated
from fscache.tasks.fragments import OFFSET_BITS, pack, unpack
from fscache.tasks.segment import HEADER, Segment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fscache.records.root import Root
    from fscache.tasks.index import Seen

SUFFIX = ".log"
SEGMENT_BYTES = 32 * 1024 * 1024
MAX_OPEN = 64
IDLE_SECONDS = 3600.0  # after which a segment is taken for abandoned if nobody holds its lock
_SILENCE = int(IDLE_SECONDS / 2 * 1e6)  # microseconds
_SETTLED_SECONDS = 5.0
_TICK = 0.05  # longest that two changes of a directory may have one mtime (10 ms at HZ=100)
_FEW = 16  # segments that are looked at on every poll, however old
_COLD_INTERVAL = 0.25
_HOT_SECONDS = 60.0


class FileLog:
    """The segments of one directory."""

    def __init__(self, root: Root) -> None:
        """Read and append to the segments of a root; nothing is opened before it is needed."""
        self.root = root
        self.directory = f"{root.path}/tasks"
        self.segments: list[Segment | None] = []
        """By number; None for those that are gone."""
        self._lost: set[int] = set()
        self._by_name: dict[str, Segment] = {}
        self._growing: list[Segment] = []
        self._touched: dict[int, float] = {}
        self._writer = root.writer
        self._now = root.now
        self._group: Group | None = None
        self._fd = -1
        self._own: Segment | None = None
        self._last_stamp = 0
        self._mtime = -1
        self._mtime_since = 0.0
        self._cold_until = 0.0
        self._strict = True

    # -- writing --------------------------------------------------------------------------------

    def append(self, data: bytes, stamp: int) -> int:
        """Write a frame; return where it lies.

        Raises:
            StoreError: it could not be written, and nothing was.
        """
        own = self._own
        if own is None or own.end + len(data) > SEGMENT_BYTES or self._is_lost(stamp):
            with translated(self.directory):
                own = self._start(stamp)
        if own.end == 0:
            data = HEADER + data
        offset = own.end
        try:
            written = os.write(self._fd, data)
            if written != len(data):
                atomic.write_all(self._fd, memoryview(data)[written:])
        except OSError as exc:
            # Perhaps half a frame: nothing may follow it.
            self._abandon(offset)
            raise translate(exc, own.path) from exc
        own.end += len(data)
        if self._group is not None:
            self._group.note(own.path)
        return pack(own.number, offset or len(HEADER))

    def finish(self) -> None:
        """Finish the own segment; the next append starts another."""
        own, self._own = self._own, None
        if own is not None:
            os.fchmod(self._fd, self._writer.modes.object)
            own.sealed = True
        self._close_own()

    @property
    def has_written(self) -> bool:
        """Whether this process has appended anything."""
        return self._own is not None

    def forked(self) -> None:
        """Leave the own segment to the parent process: this is a child."""
        if self._own is not None:
            self._growing.append(self._own)
            self._own = None
        self._close_own()

    def _start(self, stamp: int) -> Segment:
        self.finish()
        self.root.ensure()
        name = f"{stamp:016x}-{os.urandom(6).hex()}{SUFFIX}"
        path = f"{self.directory}/{name}"
        self._fd = self._writer.create(path)
        os.fchmod(self._fd, self._writer.modes.object | 0o200)
        try_flock(self._fd)
        self._own = self._adopt(name)
        self._last_stamp = stamp
        if self._writer.durable and self._group is None:
            # Made here: its thread must not be there when a controller forks its schedulers.
            self._group = self._writer.group or Group()
        return self._own

    def _is_lost(self, stamp: int) -> bool:
        """Whether others took the segment for abandoned: possible only after a long silence."""
        silence = stamp - self._last_stamp
        self._last_stamp = stamp
        return silence > _SILENCE and os.fstat(self._fd).st_nlink == 0

    def _abandon(self, size: int) -> None:
        try:
            os.ftruncate(self._fd, size)
        except OSError:
            self.forked()  # readers stop at the half frame; it is never continued
        else:
            self.finish()

    def _close_own(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    # -- reading --------------------------------------------------------------------------------

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

    def is_own(self, number: int) -> bool:
        """Whether this process is writing to a segment."""
        return self._own is not None and self._own.number == number

    def is_abandoned(self, segment: Segment) -> bool:
        """Whether nobody will write to a segment any more."""
        if segment is self._own:
            return False
        if segment.sealed:
            return True
        try:
            if self._now() - segment.status().st_mtime < IDLE_SECONDS:
                return False
            fd = os.open(segment.path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            return try_flock(fd)
        finally:
            os.close(fd)

    def remove(self, segment: Segment) -> None:
        """Remove a segment's file; who has it open can go on reading it."""
        atomic.remove(segment.path)
        if self._by_name.get(segment.name) is segment:
            self._forget(segment)

    def close(self) -> None:
        """Finish the own segment and close all files."""
        self.finish()
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
            if segment is self._own:
                self._own = None
                self._close_own()
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
