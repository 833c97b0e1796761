"""Work on a node that can be stopped: what `Runs` keeps a list of.

Cancelling `Work` raises in the thread that does it, which ends a loop in Python at once; and where it
does not (a sleep, a long call into a library), whoever waits for it is let go all the same, and the
thread ends when it comes back to Python. What may hold the thread up longer than that is not known here.
"""

from __future__ import annotations

import ctypes
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.grid.batches import Stretch


class Cancelled(BaseException):  # no error, and no `except Exception` must catch it
    """Raised in a mapper's thread when its run is cancelled."""


class Guest:
    """Work that somebody else does here, and that can be stopped."""

    def __init__(self, name: str, owner: str, cancel: Callable[[], None]) -> None:
        self.name = name
        self.owner = owner
        self.cancel = cancel


class Work:
    """One task: a thread that does it, and one that waits and can stop waiting."""

    def __init__(self, function: Callable[[], list[Stretch]], name: str, owner: str) -> None:
        self.name = name
        self.owner = owner
        self._function = function
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._inside = False  # whether an exception raised in the thread hits the user's code
        self._cancelled = False
        self._value: list[Stretch] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._do, name=f"fscache {name}", daemon=True)

    def run(self) -> list[Stretch]:
        """Do it and wait."""
        self._thread.start()
        self._ended.wait()
        if self._cancelled:
            return []
        if self._error is not None:
            raise self._error
        return self._value

    def cancel(self) -> None:
        """Raise Cancelled in the thread, and let go whoever waits."""
        with self._lock:
            self._cancelled = True
            if self._inside and self._thread.ident is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._thread.ident), ctypes.py_object(Cancelled)
                )
        self._ended.set()

    def _do(self) -> None:
        try:
            with self._lock:
                if self._cancelled:
                    return
                self._inside = True
            try:
                self._value = self._function()
            finally:
                with self._lock:
                    self._inside = False
        except Cancelled:
            pass
        except BaseException as exc:  # noqa: BLE001 - raised in the thread that waits
            self._error = exc
        self._ended.set()
