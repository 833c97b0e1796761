"""Calling what users have given to be called, where it may take its time.

The engine's event loop must not: whoever waits there for anything of the grid, waits for ever.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Aside:
    """Calls one function after the other, in a thread that lives as long as there is one to call."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def post(self, function: Callable[..., object], *args: Any) -> None:
        """Have a function called, after all that were posted before; from any thread, at once."""
        with self._changed:
            self._waiting.append((function, args))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._call_all, name="fscache callbacks", daemon=True
                )
                self._thread.start()

    def flush(self) -> None:
        """Wait until all have been called; called by one of them, it does not wait for itself."""
        with self._changed:
            if threading.current_thread() is not self._thread:
                self._changed.wait_for(lambda: self._thread is None)

    def _call_all(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._thread = None
                    self._changed.notify_all()
                    return
                function, args = self._waiting.popleft()
            try:
                function(*args)
            except BaseException:
                logging.getLogger("fscache").exception("a callback failed")
