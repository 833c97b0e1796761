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

Who writes into a file that is there (`records.inplace`) must know which of its states the disk has. The
group remembers that (`known`) of what it has synced itself: a state is inode, mtime and turn, so a change
by anybody else is another one, of which nothing is known. The files' syncs are fsync, not fdatasync: the
mtime tells readers, and `cas`, that a value is another one, so it must not be older than the value.

A sync that fails is tried again and logged: the pages may be gone by then, so it is not hidden. The
kernel tells of it once, and says yes the next time. So after one nothing is written in place any more
(`sound`): a new file has pages that nobody has lost.
"""

from __future__ import annotations

import os
import threading

from fscache.fs.directories import parent_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    State = tuple[int, int, int]  # inode, mtime in ns, turn

WINDOW = 0.1  # seconds
_AT_ONCE = 16  # syncs
_MANY = 4096  # noted files above which a writer syncs itself: the window must stay near its word
_REMEMBERED = 20_000  # files, twice: some 15 MB. What is forgotten costs the next change a sync


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


class Known:
    """A file that is written to in place, as this process last wrote it."""

    __slots__ = ("named", "settled", "state")

    def __init__(self, state: State) -> None:
        """Know of a file that it lies in this state, and no more."""
        self.state = state
        """Set when the file has all its bytes, so what is synced after one look at this has them."""
        self.settled: State | None = None
        """A state that is on the disk, whole."""
        self.named = False
        """Whether its name is on the disk, and the name of its directory."""

    @property
    def durable(self) -> bool:
        """Whether the state is on the disk."""
        return self.settled == self.state


class Group:
    """What is to be made durable together."""

    __slots__ = (
        "_directories",
        "_flushing",
        "_old",
        "_pid",
        "_registered",
        "_state",
        "_sync",
        "_thread",
        "_waiting",
        "_young",
        "sound",
        "window",
    )

    def __init__(self, window: float = WINDOW, sync: Callable[[str], None] = sync_file) -> None:
        """Sync what is noted once every `window` seconds; no thread before the first note."""
        self.window = window
        self._sync = sync
        self.sound = True
        """Whether no sync has failed yet."""
        self._registered = False
        # Two generations, as in `kv.memory`: no order of use to keep.
        self._young: dict[str, Known] = {}
        self._old: dict[str, Known] = {}
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._state = threading.Lock()
        self._flushing = threading.Lock()
        self._waiting: dict[str, Known | None] = {}
        self._directories: dict[str, None] = {}
        self._thread: threading.Thread | None = None

    def sync(self, path: str) -> None:
        """Make one file's bytes durable now."""
        self._sync(path)

    def known(self, path: str, status: os.stat_result, turn: int) -> Known:
        """Return what is known of a file that lies in a state: by its status, and its turn.

        Args:
            path: The file; its writer holds the lock of its name.
            status: Its status.
            turn: How often it was written to, as its bytes say: an mtime may stand still.
        """
        state = (status.st_ino, status.st_mtime_ns, turn)
        found = self._young.get(path) or self._old.get(path)
        return found if found is not None and found.state == state else Known(state)

    def secure(self, fd: int, known: Known) -> bool:
        """Make sure that the disk has a file's bytes, before some are written over.

        Args:
            fd: The file.
            known: What is known of it.

        Returns:
            False where the disk is not to be trusted with that.
        """
        if self.sound and not known.durable:
            try:
                os.fdatasync(fd)
            except OSError:
                self.sound = False
        return self.sound

    def note(self, path: str, known: Known | None = None) -> None:
        """Have a file, and its name (or its removal), made durable within the window.

        Args:
            path: The file.
            known: What is known of it, where it is written to in place: what the disk has already is
                not synced again. The name of its directory is made durable, too, which whoever made
                it may not have lived to do.
        """
        if self._pid != os.getpid():
            self._reset()  # a forked child has no thread, and what was noted is the parent's to do
        with self._state:
            self._waiting[path] = known
            if known is None or not known.named:
                directory = parent_of(path)
                self._directories[directory] = None
                if known is not None:
                    self._directories[parent_of(directory)] = None
            if known is not None:
                if len(self._young) >= _REMEMBERED:
                    self._old, self._young = self._young, {}
                self._young[path] = known
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
                waiting, self._waiting = self._waiting, {}
                directories, self._directories = self._directories, {}
                seen = [(known, known.state) for known in waiting.values() if known is not None]
                paths = [path for path, known in waiting.items() if not (known and known.durable)]
            try:
                self._sync_all(paths)
                self._sync_all(list(directories))
            except BaseException as exc:
                self.sound = self.sound and not isinstance(exc, OSError)
                with self._state:
                    self._waiting = {**waiting, **self._waiting}
                    self._directories = {**directories, **self._directories}
                raise
            for known, state in seen:
                known.settled = state
                known.named = True

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
