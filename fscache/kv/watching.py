"""Waiting for changes of a store's keys, without a busy loop and without missing one.

The directories are asked, not the journal: a directory's mtime moves with every entry that gets or
loses its name in it, whoever did it, whatever was killed meanwhile, on every file system. One look at
256 directories costs 0.5 ms; looks come 20 to 100 ms apart, and further where a store is so large
that looking takes longer: never more than a fifth of one core, a hundredth while nothing changes.
Rejected: inotify (`watchdog` costs 39 ms to import, sees nothing of other hosts and drops events
silently), and the journal (its record comes before the change, and a full disk may lose it).

Beginning to watch costs 2 µs and 300 bytes for each key that is there.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod

from fscache.kv.checks import seconds_to_wait
from fscache.kv.names import leaves

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SOON, _LATE = 0.02, 0.1  # seconds between looks; _SOON is longer than a tick of the kernel's clock
_SHARE = 4  # a look is followed by a pause of at least this many times its own length


class _Directory:
    """What a directory held when it was last looked into."""

    __slots__ = ("files", "mtime_ns", "settled")

    def __init__(self) -> None:
        self.mtime_ns = -1
        self.settled = False
        self.files: dict[str, tuple[int, int]] = {}

    def changed(self, path: str) -> list[str]:
        """Return the files that were made, replaced or removed since the last look."""
        try:
            mtime_ns = os.stat(path).st_mtime_ns
        except FileNotFoundError:
            mtime_ns = 0
        if mtime_ns == self.mtime_ns and self.settled:
            return []
        # Two changes within one tick have one mtime, so what has just changed is looked at again.
        self.settled = mtime_ns == self.mtime_ns
        self.mtime_ns = mtime_ns
        before, self.files = self.files, _files(path)
        found = [name for name, at in self.files.items() if before.get(name) != at]
        return found + [name for name in before if name not in self.files]


class Watching(ABC):
    """The changes of keys: an iterator over the keys, which `wait` brings several at a time."""

    def __init__(self, timeout: float | None) -> None:
        """End the iterator after `timeout` seconds without a change; None waits for ever.

        Raises:
            TypeError: that is no number.
            ValueError: it is nan.
        """
        self._timeout = seconds_to_wait(timeout)
        self._pending: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self._pending:
            self._pending = self.wait(self._timeout)[::-1]
            if not self._pending:
                raise StopIteration
        return self._pending.pop()

    @abstractmethod
    def wait(self, timeout: float | None = None) -> list[str]:
        """Wait for changes; return their keys, none if nothing changed for `timeout` seconds."""


class DirectoryWatch(Watching):
    """The changes of the keys of one store, seen in its directories."""

    def __init__(
        self,
        top: str,
        parts: tuple[int, ...],
        key_of: Callable[[str], str | None],
        prefix: str,
        timeout: float | None,
    ) -> None:
        """Begin to watch: changes from now on are told.

        Args:
            top: The directory of the store's entries; it need not be there yet.
            parts: The lengths of the parts of their split.
            key_of: The key whose entry lies, or lay, at a path.
            prefix: What the keys begin with.
            timeout: Seconds without a change after which the iterator ends; None waits for ever.
        """
        self._top = top
        self._parts = parts
        self._key_of = key_of
        self._prefix = prefix
        super().__init__(timeout)
        self._directories: dict[str, _Directory] = {}
        for _, path in leaves(top, parts):
            directory = self._directories[path] = _Directory()
            directory.changed(path)

    def wait(self, timeout: float | None = None) -> list[str]:
        """Wait for changes; see `Watching.wait`."""
        seconds = seconds_to_wait(timeout)
        deadline = None if seconds is None else time.monotonic() + seconds
        pause = _SOON
        while True:
            start = time.monotonic()
            found = self._look()
            if found:
                return found
            end = time.monotonic()
            if deadline is not None and end >= deadline:
                return []
            nap = max(pause, _SHARE * (end - start))
            time.sleep(nap if deadline is None else min(nap, deadline - end))
            pause = min(pause * 1.2, _LATE)

    def _look(self) -> list[str]:
        """Return the keys that changed since the last look, each once."""
        keys: dict[str, None] = {}
        for _, path in leaves(self._top, self._parts):
            directory = self._directories.get(path)
            if directory is None:
                directory = self._directories[path] = _Directory()
            for name in directory.changed(path):
                key = self._key_of(f"{path}/{name}")
                if key is not None and key.startswith(self._prefix):
                    keys[key] = None
        return list(keys)


def _files(path: str) -> dict[str, tuple[int, int]]:
    found = {}
    try:
        with os.scandir(path) as scan:
            for item in scan:
                try:
                    status = item.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                # Not the ctime: it moves once more when a new file loses its temporary name.
                found[item.name] = (status.st_ino, status.st_mtime_ns)
    except FileNotFoundError:
        pass
    return found
