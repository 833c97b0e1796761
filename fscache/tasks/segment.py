"""A segment: one file of frames, written by one process from its first byte to its last.

    fscache tasks 2↵        16 bytes; a larger number is another format, and is not read
    frame frame frame …     see `fscache.tasks.frames`

Version 1 is the same without folded bodies, and is read as before. What is written is version 2.

Nobody ever writes into another's segment, so appending takes no lock, and a writer that is killed
leaves at worst half a frame at the end of a file that nobody continues: it is never read as a frame,
and goes when the segment is rewritten. A segment without write permission is finished.

Reading goes on after damage, at the next whole frame, and after what has a right checksum and is no
frame; what was skipped is logged, once.
"""

from __future__ import annotations

import os
import stat

from xxhash import xxh3_64_intdigest

from fscache.errors import FormatError
from fscache.tasks import frames
from fscache.tasks.fragments import pack
from fscache.telling import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from fscache.tasks.index import Seen

VERSION = 2
SUFFIX = ".log"
_MAGIC = b"fscache tasks "
HEADER = b"%b%d\n" % (_MAGIC, VERSION)
_READABLE = (b"%b1\n" % _MAGIC, HEADER)
_CHUNK = 1 << 20


class Segment:
    """One segment, as far as this process has read or written it."""

    __slots__ = ("_fd", "damaged", "dead", "drops", "end", "name", "number", "path", "sealed")

    def __init__(self, number: int, name: str, path: str) -> None:
        self.number = number
        self.name = name
        self.path = path
        self.end = 0
        """Bytes that have been taken up."""
        self.dead = 0
        """Of those, bytes that nobody needs any more."""
        self.drops = 0
        """Frames that drop records; their bytes count as dead, and they may have to be kept."""
        self.sealed = False
        """Nobody will write to it any more."""
        self.damaged = False
        """It, or a record in it, cannot be read: it is neither rewritten nor removed."""
        self._fd = -1

    def __del__(self) -> None:
        self.close()

    @property
    def live(self) -> int:
        """Bytes that are needed."""
        return max(self.end - len(HEADER), 0) - self.dead

    @property
    def is_open(self) -> bool:
        """Whether the file is held open."""
        return self._fd >= 0

    def fd(self) -> int:
        """Return a descriptor for reading; raises FileNotFoundError where the file is gone."""
        if self._fd < 0:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        return self._fd

    def close(self) -> None:
        """Close the file; it is opened again when needed."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def status(self) -> os.stat_result:
        """Return the file's status, by its descriptor if it is open: an unlinked file too."""
        return os.fstat(self._fd) if self._fd >= 0 else os.stat(self.path)

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes; fewer where the file ends."""
        return os.pread(self.fd(), size, offset)

    def check_format(self) -> bool:
        """Whether this is a segment; False where its first bytes are not there yet.

        Raises:
            FormatError: it was made by a newer version.
        """
        is_file = stat.S_ISREG(os.lstat(self.path).st_mode)
        header = self.read(0, len(HEADER)) if is_file else b""
        if header in _READABLE:
            self.end = len(HEADER)
            return True
        rest = header[len(_MAGIC) :].strip()
        if header.startswith(_MAGIC) and rest.isdigit() and int(rest) > VERSION:
            self.damaged = True
            why = f"task log of version {rest.decode()}, newer than this program's ({VERSION})"
            raise FormatError(path=self.path, why=why)
        if len(header) == len(HEADER) or not is_file:
            warn("%s is no segment of a task log; it is not read", self.path)
            self.sealed = self.damaged = True
        return False

    def replay(self, *, settled: bool) -> Iterator[Seen]:
        """Yield the frames that have not been taken up, and take them up.

        Args:
            settled: Nobody has written for a while: a frame that is wrong will not become right.
        """
        if self.end == 0 and (self.damaged or not self.check_format()):
            return
        size = self.status().st_size
        data = b""
        start = self.end  # where `data` begins in the file
        while True:
            at = self.end - start
            need = frames.PREFIX.size
            damaged = False
            if len(data) - at >= need:
                marker, meta_size, blob_size, checksum = frames.PREFIX.unpack_from(data, at)
                need += meta_size + blob_size
                # A length that reaches beyond the file: half a frame, whose writer is at it or was
                # killed; or the length itself is what is damaged.
                damaged = marker != frames.MARKER or self.end + need > size
                if not damaged and len(data) - at >= need:
                    meta_end = at + frames.PREFIX.size + meta_size
                    meta = data[at + frames.PREFIX.size : meta_end]
                    if xxh3_64_intdigest(meta) == checksum:
                        where = pack(self.number, self.end)
                        self.end += need
                        frame = self._decoded(meta, need)
                        if frame is not None:
                            yield frame, where, meta_end - at, blob_size
                        continue
                    damaged = True
            if damaged:
                if not settled or not self._skip(size):
                    return
            elif self.end + need > size:
                return
            start = self.end
            data = self.read(start, max(need, _CHUNK))

    def _decoded(self, meta: bytes, size: int) -> frames.Frame | None:
        """Return the frame that ends where all is taken up; None, and it is dead, where it is none.

        Its checksum is right, and yet nobody has written it who knows how: it is skipped by itself.
        """
        try:
            return frames.decode_meta(meta)
        except frames.BadFrameError as exc:
            self.dead += size
            warn("%s: skipped a frame at %d: %s", self.path, self.end - size, exc)
            return None

    def _skip(self, size: int) -> bool:
        """Go on to the next whole frame after damage; False if there is none."""
        at = self.end + 1
        while at < size:
            data = self.read(at, _CHUNK)
            found = data.find(frames.MARKER)
            if found < 0:
                at += max(len(data) - len(frames.MARKER) + 1, 1)
                continue
            at += found
            if self._is_frame(at, size):
                warn("%s: skipped %d damaged bytes at %d", self.path, at - self.end, self.end)
                self.dead += at - self.end
                self.end = at
                return True
            at += 1
        return False

    def _is_frame(self, at: int, size: int) -> bool:
        prefix = self.read(at, frames.PREFIX.size)
        if len(prefix) < frames.PREFIX.size:
            return False
        _, meta_size, blob_size, checksum = frames.PREFIX.unpack(prefix)
        if at + frames.PREFIX.size + meta_size + blob_size > size:
            return False
        meta = self.read(at + frames.PREFIX.size, meta_size)
        return bool(xxh3_64_intdigest(meta) == checksum)
