"""Bytes from one open file to another, and opening a file without using it.

Nothing here gives a file its name: that is `fs.atomic`'s.
"""

from __future__ import annotations

import errno
import os

from fscache.fs import atomic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_NOT_IN_THE_KERNEL = (
    *(errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS),
    errno.EBADF,  # of a file that is appended to
)
_COPY_BYTES = 256 * 1024  # fastest on ext4 of 64 KiB … 1 MiB (docs/performance.md)


def copy_bytes(
    readinto: Callable[[memoryview], int | None], write: Callable[[memoryview], None]
) -> int:
    """Pass what `readinto` gives, until it gives none, to `write`; return the bytes copied."""
    view = memoryview(bytearray(_COPY_BYTES))
    total = 0
    while count := readinto(view):
        write(view[:count])
        total += count
    return total


def reader(fd: int) -> Callable[[memoryview], int]:
    """Return a `readinto` for a descriptor, from its position on."""
    return lambda view: os.readv(fd, [view])


def copy_whole(source_fd: int, target_fd: int) -> None:
    """Copy a file of known length to an open one, in the kernel where it can."""
    size = os.fstat(source_fd).st_size
    done = 0
    try:
        # In the kernel, and a reflink where the file system has them.
        while done < size:
            count = os.copy_file_range(source_fd, target_fd, size - done)
            if not count:
                break
            done += count
    except OSError as exc:
        if exc.errno not in _NOT_IN_THE_KERNEL:
            raise
    if done < size:
        os.lseek(source_fd, done, os.SEEK_SET)
        copy_bytes(reader(source_fd), lambda data: atomic.write_all(target_fd, data))


def open_quietly(path: str) -> int:
    """Open a file for reading that is no use of it: its access time stays, where that can be had.

    Does not follow a link, and does not wait for a pipe.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return os.open(path, flags | os.O_NOATIME)
    except PermissionError:  # for a file's owner only
        return os.open(path, flags)
