"""Guards for what rename alone does not: purge against put, take-overs, read-modify-write.

Plain reads and puts are correct without any lock; a lock that lies (Lustre, GPFS, NFS) costs
bandwidth or a retried purge, never wrong bytes.

Two kinds of the same kernel lock (`flock`), so that they exclude each other:

- `SharedLock`, for the many: a put holds it for the microseconds between finding an object and
  naming it in an entry. 2 µs a turn on a descriptor held per thread.
- `exclusive` and `guard`, for the few: `filelock`, with a timeout and a typed error. 64–95 µs a
  turn and 40 ms to import, so no hit and no plain put comes near it.

Shared holders that overlap for ever would keep an exclusive one out for ever (flock is not fair),
so they pass a gate first: a short lock that the exclusive holder keeps while it waits for those
inside to leave. Who passed it a moment ago need not do so again: the gate is half of a turn's cost,
and an exclusive holder waits `_PASS` seconds longer at most.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from contextlib import contextmanager, suppress
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

_PASS = 0.01
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)


class _Held:
    """The two lock files as one thread of one process has them open."""

    __slots__ = ("depth", "gate", "passed", "pid", "root")

    def __init__(self, directory: str, mode: int) -> None:
        self.pid = os.getpid()
        self.depth = 0
        self.passed = -1.0
        self.gate = self.root = -1
        self.gate = _open(f"{directory}/gate", mode)
        self.root = _open(f"{directory}/root", mode)

    def __del__(self) -> None:
        for fd in (self.gate, self.root):
            if fd >= 0:
                os.close(fd)


class SharedLock:
    """`with lock:` — nothing is purged, migrated or re-split meanwhile. Re-entrant in a thread.

    On a file system without locks it keeps nobody out, and lets everybody go on.
    """

    __slots__ = ("_directory", "_local", "_make", "_mode")

    def __init__(self, directory: str, mode: int, make: Callable[[str], None]) -> None:
        """Use the lock files in `directory`, which `make` makes where it is not there.

        Args:
            directory: The directory.
            mode: Of the lock files: whoever may write to the root must be able to open them.
            make: Makes a directory.
        """
        self._directory = directory
        self._mode = mode
        self._make = make
        # Per thread, because flock belongs to the open file and not to who asks. What a thread
        # has open is closed when the thread ends: by `_Held`, for `local` itself is not told.
        self._local = threading.local()

    def __enter__(self) -> None:
        held: _Held | None = getattr(self._local, "held", None)
        # After a fork the child shares the parent's open files, and its unlock would unlock the
        # parent: it must open its own.
        if held is None or held.pid != os.getpid():
            held = self._local.held = self._open()
        if held.depth == 0:
            now = monotonic()
            if 0.0 <= now - held.passed < _PASS:
                _flock(held.root, fcntl.LOCK_SH)
            else:
                _flock(held.gate, fcntl.LOCK_SH)
                _flock(held.root, fcntl.LOCK_SH)
                _flock(held.gate, fcntl.LOCK_UN)
                held.passed = now
        held.depth += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        held: _Held = self._local.held
        if held.depth == 0 or held.pid != os.getpid():
            return  # a child forked inside: the lock is its parent's
        held.depth -= 1
        if held.depth == 0:
            _flock(held.root, fcntl.LOCK_UN)

    def _open(self) -> _Held:
        try:
            return _Held(self._directory, self._mode)
        except FileNotFoundError:
            self._make(self._directory)
            return _Held(self._directory, self._mode)


def _open(path: str, mode: int) -> int:
    fd = os.open(path, _FLAGS, mode)
    if os.fstat(fd).st_mode & 0o777 != mode:  # the umask has been applied to what open was given
        with suppress(PermissionError):
            os.fchmod(fd, mode)
    return fd


def _flock(fd: int, how: int) -> None:
    try:
        fcntl.flock(fd, how)
    except OSError as exc:
        if exc.errno not in _NO_LOCKS:
            raise


@contextmanager
def guard(path: str, *, timeout: float, mode: int = 0o600) -> Iterator[None]:
    """Hold an exclusive lock file.

    Raises:
        LockTimeoutError: somebody else held it for `timeout` seconds.
    """
    import filelock

    try:
        with filelock.FileLock(path, timeout=timeout, mode=mode):
            yield
    except filelock.Timeout as exc:
        from fscache.errors import LockTimeoutError  # the tree costs more than a listing

        raise LockTimeoutError(path=path, why=f"locked by another process for {timeout} s") from exc


@contextmanager
def exclusive(directory: str, *, timeout: float, mode: int = 0o600) -> Iterator[None]:
    """Keep every `SharedLock` of the same directory out; waits for those inside to leave."""
    with (
        guard(f"{directory}/gate", timeout=timeout, mode=mode),
        guard(f"{directory}/root", timeout=timeout, mode=mode),
    ):
        yield


def try_flock(fd: int) -> bool:
    """Take the exclusive lock of an open file without waiting; True if it is ours now.

    File systems without flock answer as if the lock were ours: correctness never rests on it.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def has_locks(fd: int) -> bool:
    """Whether a file whose exclusive lock is ours lies on a file system that knows locks at all."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
