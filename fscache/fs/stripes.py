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

from fscache.errors import LockTimeoutError, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

NUMBERS = 1 << 16
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_RANGE = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux
_BUSY = (errno.EAGAIN, errno.EACCES)
_NONE = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_LONGEST_NAP = 0.005  # seconds; a turn takes 50 µs, so waiting longer means somebody is stopped


class _Descriptor(threading.local):
    def __init__(self) -> None:
        self.pid = -1
        self.fd = -1

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


class Stripes:
    """The locks of one file."""

    __slots__ = ("_local", "_mode", "path", "timeout")

    def __init__(self, path: str, *, mode: int, timeout: float) -> None:
        """Use the lock file at `path`, made with `mode` when a lock is first taken.

        Args:
            path: The file; its directory must exist by then.
            mode: Its permissions, whatever the umask.
            timeout: The longest wait for one number, in seconds.
        """
        self.path = path
        self.timeout = timeout
        self._mode = mode
        self._local = _Descriptor()

    def held(self, number: int, *, needed: bool = False) -> Held:
        """`with stripes.held(n):` — nobody else is inside with the same number.

        Raises (on entry):
            LockTimeoutError: somebody else has been for the whole timeout.
            StoreError: `needed`, and the file system has no locks.
        """
        return Held(self, number, needed)

    def descriptor(self) -> int:
        """Return this thread's own open file description."""
        local = self._local
        if local.pid != os.getpid():
            # After a fork the child shares the parent's description, and would share its locks.
            if local.fd >= 0:
                os.close(local.fd)
            local.fd = -1
            local.fd = os.open(self.path, _FLAGS, self._mode)
            local.pid = os.getpid()
            status = os.fstat(local.fd)
            if status.st_mode & 0o777 != self._mode and status.st_uid == os.geteuid():
                os.fchmod(local.fd, self._mode)
        return local.fd


class Held:
    """One turn with one number."""

    __slots__ = ("_fd", "_needed", "_number", "_stripes")

    def __init__(self, stripes: Stripes, number: int, needed: bool) -> None:
        """See `Stripes.held`."""
        self._stripes = stripes
        self._number = number
        self._needed = needed
        self._fd = -1

    def __enter__(self) -> None:
        fd = self._stripes.descriptor()
        wanted = _RANGE.pack(fcntl.F_WRLCK, os.SEEK_SET, self._number, 1, 0)
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, wanted)
        except OSError as exc:
            if exc.errno in _NONE:
                if self._needed:
                    why = "the file system has no locks, so nothing can be changed in place"
                    raise StoreError(path=self._stripes.path, why=why) from exc
                return
            if exc.errno not in _BUSY:
                raise
            self._wait(fd, wanted)
        self._fd = fd

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._fd >= 0:
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
