"""The file of an entry: its bytes, which file it is, and the one quick way to read a small one.

    fse1 url 0123456789abcdef 24
    https://host/path/file.x
    …payload…

The first line holds the kind (three letters), the XXH3-64 of all that follows it, and the length of
the name in bytes; then the name, a newline, the payload. A file holds its full name, so two names
with one hash are told apart, and a file that was put under a wrong name is seen.
"""

from __future__ import annotations

import errno
import os

from xxhash import xxh3_64_hexdigest, xxh3_128_hexdigest

MAGIC = b"fse1 "
SUM = slice(9, 25)
FIRST_READ = 16384  # most entries in one read, those of 4 KiB values in two cells among them
READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe is not waited for
TOMBSTONE = b"del"


class BadEntryError(ValueError):
    """An entry's bytes cannot be believed; the message says why. Never leaves this package."""


class Place:
    """Where the entry of a name lies, and which file that is: inode, size and mtime."""

    __slots__ = ("inode", "mtime_ns", "new", "path", "size")

    def __init__(
        self, path: str, inode: int, size: int, mtime_ns: int, *, new: bool = False
    ) -> None:
        """Describe a file; `new` says that the name had none before."""
        self.path = path
        self.inode = inode
        self.size = size
        self.mtime_ns = mtime_ns
        self.new = new

    @classmethod
    def of(cls, path: str, status: os.stat_result, *, new: bool = False) -> Place:
        """Return the place of a file with this status."""
        return cls(path, status.st_ino, status.st_size, status.st_mtime_ns, new=new)

    def is_current(self) -> bool:
        """Whether the very same file lies there now; one `stat`."""
        try:
            status = os.stat(self.path)
        except OSError:
            return False
        return (
            status.st_ino == self.inode
            and status.st_mtime_ns == self.mtime_ns
            and status.st_size == self.size
        )


class StuckError(Exception):
    """A bad entry that could not be moved out of the way. Never leaves this package."""


def name_hash(name: bytes) -> str:
    """Return the 20 hex digits under which a name's entry lies."""
    return xxh3_128_hexdigest(name)[:20]


def encode(kind: bytes, name: bytes, payload: bytes) -> bytes:
    """Return the bytes of an entry's file."""
    rest = b" %d\n%b\n%b" % (len(name), name, payload)
    return b"%b%b %b%b" % (MAGIC, kind, xxh3_64_hexdigest(rest).encode("ascii"), rest)


def decode(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Return kind, name and payload of an entry's file.

    Raises:
        BadEntryError: the bytes are not a whole entry.
    """
    if data[:5] != MAGIC or data[8:9] != b" ":
        raise BadEntryError("no entry, or of an unknown version")
    rest = data[25:]
    if xxh3_64_hexdigest(rest).encode("ascii") != data[SUM]:
        raise BadEntryError("checksum of the entry is wrong")
    line_end = rest.index(b"\n")
    name_end = line_end + 1 + int(rest[:line_end])
    return data[5:8], rest[line_end + 1 : name_end], rest[name_end + 1 :]


def slot_path(base: str, slot: int) -> str:
    """Return where the entry in a slot lies, `base` being where that in the first one does."""
    return f"{base}-{slot}" if slot else base


def read_small(path: str, statuses: list[os.stat_result] | None = None) -> bytes:
    """Read a file that is expected to fit one read; one system call fewer than `open().read()`.

    Args:
        path: The file.
        statuses: Gets the status of the very file that was read, where that is wanted.
    """
    for _ in range(3):
        try:
            fd = os.open(path, READ)
            try:
                if statuses is not None:
                    statuses.append(os.fstat(fd))
                return _read_all(fd)
            finally:
                os.close(fd)
        except OSError as exc:
            if exc.errno != errno.ESTALE:  # NFS: the file was replaced while we had it open
                raise
    raise FileNotFoundError(errno.ENOENT, "the file keeps being replaced", path)


def _read_all(fd: int) -> bytes:
    data = os.read(fd, FIRST_READ)
    if len(data) < FIRST_READ:
        return data
    chunks = [data]
    while chunk := os.read(fd, os.fstat(fd).st_size):
        chunks.append(chunk)
    return b"".join(chunks)
