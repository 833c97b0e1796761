"""Group commit: files that have their names are made durable together, soon after.

An fsync of file and directory costs a put 0.5–0.8 ms; twenty puts that share the directories' syncs
and the file system's commits cost a fraction of that each, and nobody waits for it. Files are synced
at the same time, since the disk then flushes once for several: 300 take 0.14 s instead of 0.6. `syncfs`
would take 0.03, and wait for all that anybody has written to the file system.

Promise: `WINDOW` seconds after `note`, plus the time that the syncs themselves take, the file and its
name survive a loss of power. Before that, a file that is new may be lost, or be found torn (readers
check what they read); a file that replaced another was synced before it got the name (`sync`), so
the one or the other is found whole. A process that ends in order syncs what is noted; one that is
killed leaves it to the file system (ext4 and XFS: half a minute).

A sync that fails is tried again and logged: the pages may be gone by then, so it is not hidden.
"""

from __future__ import annotations

import os
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW = 0.1  # seconds
_AT_ONCE = 16  # syncs
_MANY = 4096  # noted files above which a writer syncs itself: the window must stay near its word


def sync_file(path: str) -> None:
    """Make a file's bytes durable, or a directory's names; nothing to do where it is gone."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Group:
    """What is to be made durable together."""

    __slots__ = (
        "_flushing",
        "_pid",
        "_registered",
        "_state",
        "_sync",
        "_thread",
        "_waiting",
        "window",
    )

    def __init__(self, window: float = WINDOW, sync: Callable[[str], None] = sync_file) -> None:
        """Sync what is noted once every `window` seconds; no thread before the first note."""
        self.window = window
        self._sync = sync
        self._registered = False
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._state = threading.Lock()
        self._flushing = threading.Lock()
        self._waiting: dict[str, None] = {}
        self._thread: threading.Thread | None = None

    def sync(self, path: str) -> None:
        """Make one file's bytes durable now."""
        self._sync(path)

    def note(self, path: str) -> None:
        """Have a file, and its name (or its removal), made durable within the window."""
        if self._pid != os.getpid():
            self._reset()  # a forked child has no thread, and what was noted is the parent's to do
        with self._state:
            self._waiting[path] = None
            many = len(self._waiting) > _MANY
            if self._thread is None:
                self._start()
        if many:
            self.flush()

    def flush(self) -> None:
        """Make everything noted so far durable before returning; raises OSError."""
        if self._pid != os.getpid():
            return
        with self._flushing:
            with self._state:
                paths, self._waiting = self._waiting, {}
            try:
                self._sync_all(list(paths))
                self._sync_all(list({os.path.dirname(path): None for path in paths}))
            except BaseException:
                with self._state:
                    self._waiting = {**paths, **self._waiting}
                raise

    def _sync_all(self, paths: list[str]) -> None:
        if len(paths) > 1:
            from concurrent.futures import ThreadPoolExecutor

            try:
                with ThreadPoolExecutor(min(_AT_ONCE, len(paths))) as pool:
                    for _ in pool.map(self._sync, paths):
                        pass
            except RuntimeError:
                pass  # the interpreter is ending and starts no threads: one after the other, then
            else:
                return
        for path in paths:
            self._sync(path)

    def _start(self) -> None:
        if not self._registered:
            import atexit

            self._registered = True
            atexit.register(self.flush)
        thread = threading.Thread(target=self._run, name="fscache-group-commit", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return  # the interpreter is ending: `flush` is about to be called
        self._thread = thread

    def _run(self) -> None:
        import logging
        import time

        while True:
            time.sleep(self.window)
            try:
                self.flush()
            except OSError:
                logging.getLogger("fscache").exception("writes are not durable yet; trying again")
            with self._state:
                if not self._waiting:
                    self._thread = None  # the next note starts another: once a window at most
                    return
