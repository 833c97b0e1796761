"""Locks by number: two writers of one name take turns, writers of different names do not meet.

All 65,536 numbers are single bytes of one lock file, taken as ranges of an open file description
(`F_OFD_SETLK`): 0.8 µs a turn, one descriptor per thread whatever the number of locks, excluding
threads as well as processes, released by the kernel when a holder is killed, and carried to the
server on NFS. Rejected: filelock (64–95 µs a turn, more than the put it would guard), `flock` (a file
and, per thread, a descriptor for each stripe), `lockf` (does not exclude the threads of a process).

Where the file system has no such locks, whoever only replaces a name goes on without one: rename
alone keeps that correct. Whoever reads first and writes then says so (`needed`) and is refused.

Not re-entrant: a thread that takes a number it holds gets it, and releases it at the first exit.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import threading
import time
from contextlib import suppress

from fscache.errors import LockTimeoutError, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

NUMBERS = 1 << 16
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_RANGE = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux
_BUSY = (errno.EAGAIN, errno.EACCES)
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_LONGEST_NAP = 0.005  # seconds; a turn takes 50 µs, so waiting longer means somebody is stopped


class _Opened:
    """The lock file as one thread of one process has it open; closed when the thread ends."""

    __slots__ = ("fd", "pid")

    def __init__(self, path: str, mode: int) -> None:
        self.pid = os.getpid()
        self.fd = -1
        self.fd = os.open(path, _FLAGS, mode)
        if os.fstat(self.fd).st_mode & 0o777 != mode:  # the umask took some bits
            with suppress(PermissionError):
                os.fchmod(self.fd, mode)

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


class Stripes:
    """The locks of one file."""

    __slots__ = ("_local", "_make", "_mode", "path", "timeout", "works")

    def __init__(
        self, path: str, *, mode: int, make: Callable[[str], None], timeout: float
    ) -> None:
        """Use the lock file at `path`, made when a lock is first taken.

        Args:
            path: The file.
            mode: Its permissions, whatever the umask: whoever may write must be able to open it.
            make: Makes its directory where that is not there.
            timeout: The longest wait for one number, in seconds.
        """
        self.path = path
        self.timeout = timeout
        self.works = True
        """Whether the file system has locks, as far as is known; without, some go on all the same."""
        self._mode = mode
        self._make = make
        self._local = threading.local()

    def held(self, number: int, *, needed: bool = False) -> Held:
        """`with stripes.held(n):` — nobody else is inside with the same number.

        Raises (on entry):
            LockTimeoutError: somebody else has been for the whole timeout.
            StoreError: `needed`, and the file system has no locks.
        """
        return Held(self, number, needed)

    def descriptor(self) -> int:
        """Return this thread's own open file description."""
        opened: _Opened | None = getattr(self._local, "opened", None)
        # After a fork the child shares the parent's description, and would share its locks.
        if opened is None or opened.pid != os.getpid():
            try:
                opened = _Opened(self.path, self._mode)
            except FileNotFoundError:
                self._make(os.path.dirname(self.path))
                opened = _Opened(self.path, self._mode)
            self._local.opened = opened
        return opened.fd


class Held:
    """One turn with one number."""

    __slots__ = ("_fd", "_needed", "_number", "_pid", "_stripes")

    def __init__(self, stripes: Stripes, number: int, needed: bool) -> None:
        """See `Stripes.held`."""
        self._stripes = stripes
        self._number = number
        self._needed = needed
        self._fd = -1
        self._pid = -1

    def __enter__(self) -> None:
        fd = self._stripes.descriptor()
        wanted = _RANGE.pack(fcntl.F_WRLCK, os.SEEK_SET, self._number, 1, 0)
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, wanted)
        except OSError as exc:
            if exc.errno in _NO_LOCKS:
                if self._needed:
                    why = "the file system has no locks, so nothing can be changed in place"
                    raise StoreError(path=self._stripes.path, why=why) from exc
                self._stripes.works = False
                return
            if exc.errno not in _BUSY:
                raise
            self._wait(fd, wanted)
        self._fd = fd
        self._pid = os.getpid()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._pid == os.getpid():  # else a child forked inside: the lock is its parent's
            free = _RANGE.pack(fcntl.F_UNLCK, os.SEEK_SET, self._number, 1, 0)
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, free)

    def _wait(self, fd: int, wanted: bytes) -> None:
        # Naps instead of F_OFD_SETLKW, which has no timeout: a stopped holder would stop us too.
        deadline = time.monotonic() + self._stripes.timeout
        nap = 0.00002
        while True:
            time.sleep(nap)
            try:
                fcntl.fcntl(fd, fcntl.F_OFD_SETLK, wanted)
            except OSError as exc:
                if exc.errno not in _BUSY:
                    raise
            else:
                return
            if time.monotonic() > deadline:
                why = f"locked by another process for {self._stripes.timeout:g} s"
                raise LockTimeoutError(path=self._stripes.path, why=why)
            nap = min(nap * 1.5, _LONGEST_NAP)
