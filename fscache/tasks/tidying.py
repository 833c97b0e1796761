"""Freeing what dropped records held, beside the calls that drop: soon, or all of it before one returns.

`fscache.tasks.upkeep` says how, in parts. Between two of them others get the lock: a purge of 50,000
records takes a second, in which a controller's clients would else wait.
"""

from __future__ import annotations

import contextlib
import threading
import time

from fscache.errors import FscacheError
from fscache.telling import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from fscache.tasks.parts import Upkeep

_PAUSE = 0.0001
"""Between two parts, in s: a thread that takes a lock again at once always gets it."""
_STEP = 0.002
"""Between two steps in the background, in s: a third of one processor at most."""


class Tidier:
    """Looks after one database, with its lock."""

    def __init__(self, upkeep: Upkeep, lock: threading.RLock) -> None:
        """Do nothing yet; a thread is made by `begin` alone."""
        self._upkeep = upkeep
        self.forked(lock)

    def forked(self, lock: threading.RLock) -> None:
        """Go on as a child process, with the lock of its own."""
        self._lock = lock
        self._whole = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def compact(self) -> None:
        """Free all there is; the lock must not be held."""
        upkeep = self._upkeep
        with self._whole, contextlib.closing(upkeep.compact()) as parts:
            left = True
            while left:
                with self._lock:
                    left = next(parts, self) is None
                time.sleep(_PAUSE)
            upkeep.discard()

    def begin(self, owner: object) -> None:
        """Go on in a thread with what a drop has left to do; the lock is held.

        Perhaps nobody calls for hours: a controller, once its clients have purged what it had.

        Args:
            owner: Is kept alive meanwhile; its end would close what is in use here.
        """
        if self._thread is None and self._upkeep.is_due:
            self._stop = threading.Event()
            self._thread = threading.Thread(
                target=self._go_on,
                args=(owner, self._stop),
                name="fscache-task-upkeep",
                daemon=True,
            )
            self._thread.start()

    @contextlib.contextmanager
    def ended(self) -> Iterator[None]:
        """End the thread, wait for a compaction, and hold the lock; it must not be held before."""
        thread = self._thread
        if thread is not None:
            self._stop.set()
            thread.join()
            self._thread = None
        with self._whole, self._lock:
            yield

    def _go_on(self, owner: object, stop: threading.Event) -> None:  # noqa: ARG002 - kept alive
        while not stop.wait(_STEP) and self._step():
            pass

    def _step(self) -> bool:
        """Do a part; return whether there is more. Where there is not, `begin` may be called again."""
        with self._lock:
            try:
                if self._upkeep.is_due:
                    self._upkeep.step()
                    return True
            except (OSError, FscacheError) as exc:
                warn("upkeep of the task log is put off: %s", exc)
            self._thread = None
            return False
