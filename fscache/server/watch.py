"""Wakes the daemon when a node drops a request into the spool; the only user of watchdog.

A hint, never the truth: inotify sees nothing that another host does on a network file system, and
watchdog drops overflows silently. The periodic scan finds every file all the same.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from watchdog.events import FileSystemEvent
    from watchdog.observers.api import BaseObserver

_log = logging.getLogger("fscache.server")


class Watch:
    """Watches one directory, not what is below it."""

    def __init__(self, path: str, wake: Callable[[], None]) -> None:
        """Call `wake`, from another thread, when something appears in `path`."""
        self._path = path
        self._wake = wake
        self._observer: BaseObserver | None = None

    def start(self) -> bool:
        """Begin; False where the system has no watches left, which the scan makes up for."""
        from watchdog.events import FileSystemEventHandler
        from watchdog.observers import Observer

        wake = self._wake

        class Handler(FileSystemEventHandler):
            def on_created(self, event: FileSystemEvent) -> None:  # noqa: ARG002 - the scan looks
                wake()

            def on_moved(self, event: FileSystemEvent) -> None:  # noqa: ARG002 - as above
                wake()

        observer = Observer()
        try:
            observer.schedule(Handler(), self._path, recursive=False)
            observer.start()
        except OSError as exc:
            _log.warning("%s is not watched (%s); it is scanned instead", self._path, exc.strerror)
            return False
        self._observer = observer
        return True

    def stop(self) -> None:
        """End."""
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.stop()
            observer.join()
