"""Waking those who wait for a task: in other processes of this host at once, elsewhere in a second.

Who waits makes a named pipe in `tasks/waiting/` and sleeps in `poll` on it; whoever completes a task
writes a byte to each pipe. One that nobody reads any more is removed. With nobody waiting, ringing
costs one failed `access`, 1 µs.

The pipe only shortens the wait: on other hosts, and where there are no pipes, the log is looked at
again after at most `LONGEST` seconds. (Rejected: inotify, which sees no other host either and would
have to be read by a thread; a lock that the running process holds, which needs a file for each task.)
"""

from __future__ import annotations

import errno
import os
import select
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from fscache.records.root import Root

SHORTEST, LONGEST = 0.05, 1.0


class Bell:
    """Wakes the processes that wait for tasks of one root."""

    def __init__(self, directory: str, mode: int) -> None:
        """Use the pipes in `directory`, made with `mode`."""
        self._directory = directory
        self._mode = mode
        self._host = os.uname().nodename

    def __call__(self) -> None:
        """Wake everybody who waits."""
        if not os.access(self._directory, os.R_OK):
            return  # mostly so; a failing `listdir` would cost three times this
        try:
            names = os.listdir(self._directory)
        except OSError:
            return
        for name in names:
            if name.partition(":")[0] == self._host:
                self._wake(f"{self._directory}/{name}")

    def listen(self) -> Listener:
        """Begin to wait; what happens from now on is not missed."""
        return Listener(self._make())

    def _make(self) -> str | None:
        path = f"{self._directory}/{self._host}:{os.getpid()}:{os.urandom(6).hex()}"
        for _ in range(3):
            try:
                os.mkfifo(path, self._mode)
                return path
            except FileNotFoundError:
                try:
                    os.mkdir(self._directory, 0o777 if self._mode & 0o020 else 0o700)
                except OSError:
                    continue  # somebody was faster, or we may not
            except OSError:
                break
        return None

    @staticmethod
    def _wake(path: str) -> None:
        try:
            fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as exc:
            if exc.errno == errno.ENXIO:  # its reader was killed
                _remove(path)
            return
        try:
            os.write(fd, b".")
        except OSError:
            pass  # it is full: its reader has been woken often enough
        finally:
            os.close(fd)


def root_bell(root: Root) -> Bell:
    """Return the bell of a root: for its tasks, and for what they wait for."""
    return Bell(f"{root.path}/tasks/waiting", root.modes.partial)


class Listener:
    """One that waits; use as a context."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._fd = -1
        if path is not None:
            # For writing, too: else the pipe would be at its end as soon as a writer closes it.
            self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._pause = SHORTEST

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._path is not None:
            os.close(self._fd)
            _remove(self._path)
            try:
                os.rmdir(os.path.dirname(self._path))
            except OSError:
                pass  # others wait

    def wait(self, seconds: float | None = None) -> None:
        """Return when something has happened, when it is time to look, or after `seconds`."""
        pause = self._pause if seconds is None else min(self._pause, seconds)
        self._pause = min(self._pause * 2, LONGEST)
        if self._fd < 0:
            time.sleep(pause)
            return
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        if poll.poll(pause * 1000):
            os.read(self._fd, 4096)


class MemoryBell:
    """Wakes the threads that wait for tasks of a database in memory."""

    def __init__(self) -> None:
        self._rung = threading.Condition()
        self._count = 0

    def __call__(self) -> None:
        """Wake everybody who waits."""
        with self._rung:
            self._count += 1
            self._rung.notify_all()

    def listen(self) -> MemoryListener:
        """Begin to wait; what happens from now on is not missed."""
        return MemoryListener(self)

    def after(self, count: int, seconds: float | None) -> int:
        """Wait until it has been rung more often than `count`; return how often."""
        with self._rung:
            self._rung.wait_for(lambda: self._count > count, seconds)
            return self._count


class MemoryListener:
    """One that waits; use as a context."""

    def __init__(self, bell: MemoryBell) -> None:
        self._bell = bell
        self._count = bell.after(-1, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def wait(self, seconds: float | None = None) -> None:
        """Return when something has happened, or after `seconds`."""
        self._count = self._bell.after(self._count, seconds)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
