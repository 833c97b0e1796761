"""Leases: "in use, do not purge".

A lease is a shared flock on the object itself: it costs no file, is shared by any number of readers,
and ends with its process however that ends. A purge takes the exclusive one, without waiting, before
it removes an object. A purge does not disturb whoever has an object open without a lease either; only
its name goes.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO


def _open(get: Callable[[], Path]) -> tuple[int, Path]:
    while True:
        path = get()
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # purged between the hit and the open: `get` sees a miss now
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_SH)
            except OSError:
                return fd, path  # no locks on this file system: its purge cannot see leases
            try:
                named = os.stat(path)
            except FileNotFoundError:
                pass
            else:
                ours = os.fstat(fd)
                if (named.st_ino, named.st_dev) == (ours.st_ino, ours.st_dev):
                    return fd, path
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def open_leased(get: Callable[[], Path]) -> BinaryIO:
    """Open what `get` returns; the lease ends when the file is closed."""
    fd, path = _open(get)
    # By its path, and not with os.fdopen: readers that look at a file's name want one.
    return open(path, "rb", opener=lambda _path, _flags: fd)


@contextmanager
def leased(get: Callable[[], Path]) -> Iterator[Path]:
    """Hold a lease on what `get` returns."""
    fd, path = _open(get)
    try:
        yield path
    finally:
        os.close(fd)
