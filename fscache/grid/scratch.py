"""Directories for what is needed only as long as a process lives: removed by it, or after it.

A process that is killed removes nothing. So it holds a lock on its directory as long as it lives, and
whoever makes the next one removes those of this user that nobody holds.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from typing import TYPE_CHECKING

from fscache.fs.lock import has_locks, try_flock

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "fscache-scratch-"
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Scratch:
    """A directory in the system's temporary one; `with` gives its path."""

    def __init__(self) -> None:
        """Make it, and remove those whose processes are gone."""
        for path in _abandoned():
            shutil.rmtree(path, ignore_errors=True)
        self.path, fd = _locked()
        self._end = weakref.finalize(self, _remove, self.path, fd, os.getpid())

    def remove(self) -> None:
        """Remove it with all that is in it; happens by itself at the end of the process."""
        self._end()

    def __enter__(self) -> str:
        return self.path

    def __exit__(self, *_exc: object) -> None:
        self.remove()


def _locked() -> tuple[str, int]:
    """Return a new directory, and what it is locked by."""
    while True:
        path = tempfile.mkdtemp(prefix=PREFIX)
        try:
            fd = os.open(path, _FLAGS)
        except FileNotFoundError:
            continue  # somebody took it for abandoned, as it was not locked yet
        if try_flock(fd) and os.path.isdir(path):
            return path, fd
        os.close(fd)


def _abandoned() -> Iterator[str]:
    """Yield the directories of this user that nobody holds; each is locked until the next is asked for.

    Where a file system knows no locks, nobody can tell, and none is.
    """
    with os.scandir(tempfile.gettempdir()) as found:
        for item in found:
            if not item.name.startswith(PREFIX):
                continue
            try:
                fd = os.open(item.path, _FLAGS)
            except OSError:
                continue  # removed meanwhile, another user's, or no directory
            try:
                if os.fstat(fd).st_uid == os.getuid() and has_locks(fd):
                    yield item.path
            finally:
                os.close(fd)


def _remove(path: str, fd: int, owner: int) -> None:
    if os.getpid() == owner:  # a forked child leaves it to its parent
        shutil.rmtree(path, ignore_errors=True)
        os.close(fd)
