"""Guards for what rename alone does not: purge against put, take-overs, read-modify-write.

Plain reads and puts are correct without any lock; a lock that lies (Lustre, GPFS, NFS) costs
bandwidth or a retried purge, never wrong bytes.

Two kinds of the same kernel lock (`flock`), so that they exclude each other:

- `SharedLock`, for the many: a put holds it for the microseconds between finding an object and
  naming it in an entry. 2 µs a turn on a descriptor held per thread.
- `exclusive` and `guard`, for the few: `filelock`, with a timeout and a typed error. 64–95 µs a
  turn and 40 ms to import, so no hit and no plain put comes near it.

Shared holders that overlap for ever would keep an exclusive one out for ever (flock is not fair),
so everyone passes a gate first: a short lock that the exclusive holder keeps while it waits for
those inside to leave.
"""

from __future__ import annotations

import fcntl
import os
import threading
from contextlib import contextmanager

from fscache.errors import LockTimeoutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC


class _Descriptors(threading.local):
    """The two lock files, opened per thread: flock belongs to the open file, not to the caller."""

    def __init__(self) -> None:
        self.pid = -1
        self.gate = -1
        self.root = -1
        self.depth = 0

    def open(self, directory: str, mode: int) -> None:
        # After a fork the child shares the parent's open files, and its unlock would unlock the
        # parent: it must open its own.
        self.close()
        self.gate = os.open(f"{directory}/gate", _FLAGS, mode)
        try:
            self.root = os.open(f"{directory}/root", _FLAGS, mode)
        except BaseException:
            self.close()
            raise
        self.pid = os.getpid()
        self.depth = 0

    def close(self) -> None:
        for fd in (self.gate, self.root):
            if fd >= 0:
                os.close(fd)
        self.gate = self.root = self.pid = -1

    def __del__(self) -> None:
        self.close()


class SharedLock:
    """`with lock:` — nothing is purged, migrated or re-split meanwhile. Re-entrant in a thread."""

    __slots__ = ("_directory", "_local", "_mode")

    def __init__(self, directory: str, mode: int = 0o600) -> None:
        """Use the lock files in `directory`, which must exist when the lock is first taken."""
        self._directory = directory
        self._mode = mode
        self._local = _Descriptors()

    def __enter__(self) -> None:
        held = self._local
        if held.pid != os.getpid():
            held.open(self._directory, self._mode)
        if held.depth == 0:
            fcntl.flock(held.gate, fcntl.LOCK_SH)
            fcntl.flock(held.root, fcntl.LOCK_SH)
            fcntl.flock(held.gate, fcntl.LOCK_UN)
        held.depth += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        held = self._local
        held.depth -= 1
        if held.depth == 0:
            fcntl.flock(held.root, fcntl.LOCK_UN)


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
