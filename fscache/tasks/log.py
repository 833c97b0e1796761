"""The record log in files: a directory of segments, some ours, most others'.

Each process appends to a segment of its own (`fscache.tasks.segment`) and reads all
(`fscache.tasks.segments`). There is no lock and no order of processes to keep: a call that has returned
is in the file, whatever is killed afterwards, and everybody else reads it from there.

Where the root's writes are to survive a loss of power, appends do within `fs.group.WINDOW`, and no
call waits for it.

`flock` on one's own segment only tells those who rewrite old segments that it is in use.
"""

from __future__ import annotations

import os

from fscache.fs import atomic
from fscache.fs.group import Group
from fscache.fs.lock import try_flock
from fscache.records.root import translate, translated
from fscache.tasks.fragments import OFFSET_BITS
from fscache.tasks.segment import HEADER, SUFFIX, Segment
from fscache.tasks.segments import Segments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fscache.records.root import Root

SEGMENT_BYTES = 32 * 1024 * 1024
IDLE_SECONDS = 3600.0  # after which a segment is taken for abandoned if nobody holds its lock
_SILENCE = int(IDLE_SECONDS / 2 * 1e6)  # microseconds


class FileLog(Segments):
    """The segments of one directory, and the one that this process appends to."""

    def __init__(self, root: Root) -> None:
        """Read and append to the segments of a root; nothing is opened before it is needed."""
        super().__init__(root)
        self._writer = root.writer
        self._group: Group | None = None
        self._fd = -1
        self._own: Segment | None = None
        self._last_stamp = 0

    def append(self, data: bytes, stamp: int) -> int:
        """Write a frame; return where it lies.

        Raises:
            StoreError: it could not be written, and nothing was.
        """
        own = self._own
        silence = stamp - self._last_stamp
        self._last_stamp = stamp
        size = len(data)
        if (
            own is None
            or own.end + size > SEGMENT_BYTES
            or (silence > _SILENCE and self._is_lost())
        ):
            with translated(self.directory):
                own = self._start(stamp)
        offset = own.end
        if not offset:
            data = HEADER + data
            size = len(data)
        try:
            written = os.write(self._fd, data)
            if written != size:
                atomic.write_all(self._fd, memoryview(data)[written:])
        except OSError as exc:
            # Perhaps half a frame: nothing may follow it.
            self._abandon(offset)
            raise translate(exc, own.path) from exc
        own.end = offset + size
        if self._group is not None:
            self._group.note(own.path)
        return own.number << OFFSET_BITS | (offset or len(HEADER))

    def finish(self) -> None:
        """Finish the own segment; the next append starts another."""
        own, self._own = self._own, None
        if own is not None:
            os.fchmod(self._fd, self._writer.modes.object)
            own.sealed = True
        self._close_own()

    @property
    def own_name(self) -> str | None:
        """The name of the segment that this process writes to, None where it has none."""
        return None if self._own is None else self._own.name

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
        super().close()

    # -- inside ---------------------------------------------------------------------------------

    def _start(self, stamp: int) -> Segment:
        self.finish()
        self.root.ensure()
        name = f"{stamp:016x}-{os.urandom(6).hex()}{SUFFIX}"
        path = f"{self.directory}/{name}"
        self._fd = self._writer.create(path)
        os.fchmod(self._fd, self._writer.modes.object | 0o200)
        try_flock(self._fd)
        self._own = self._adopt(name)
        if self._writer.durable and self._group is None:
            # Made here: its thread must not be there when a controller forks its schedulers.
            self._group = self._writer.group or Group()
        return self._own

    def _is_lost(self) -> bool:
        """Whether others took the segment for abandoned: possible only after a long silence."""
        return os.fstat(self._fd).st_nlink == 0

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

    def _forget(self, segment: Segment) -> None:
        if segment is self._own:  # somebody has removed it
            self._own = None
            self._close_own()
        super()._forget(segment)
