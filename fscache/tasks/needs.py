"""What tasks wait for: URLs to be fetched, and preconditions that somebody declares met.

A precondition that is met stays met: a file in `preconditions/` of the root. Who waits in a process of
this host is woken by who declares it met; elsewhere it is looked for again after at most a second.
"""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import Future

from fscache.errors import FscacheError, InvalidPreconditionError
from fscache.records.root import translated
from fscache.tasks import forks
from fscache.tasks.wakeup import root_bell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from fscache.records.root import Root

    WaitMet = Callable[[Sequence[str], float], list[str]]

_MAX_NAME = 512
_LOOK_SECONDS = 2.0  # after which a thread looks whether it is still wanted


class Preconditions:
    """The preconditions of one root."""

    def __init__(self, root: Root) -> None:
        """Keep names in `root`."""
        self._root = root
        self._entries = root.entries("preconditions", b"pre")
        self._bell = root_bell(root)

    def met(self, name: str) -> None:
        """Declare a name met; doing so again is harmless."""
        key = _checked(name)
        with translated(self._root.path):
            self._root.ensure()
            if self._entries.read(key) is None:
                by = f"{os.getuid()}@{os.uname().nodename}"
                self._entries.write(key, f"{by}\n{self._root.now():.3f}".encode())
        self._bell()

    def wait(self, names: str | Sequence[str], timeout: float) -> list[str]:
        """Return those of `names` that are met: when all are, or after `timeout` seconds."""
        if isinstance(names, str):
            names = [names]
        left = self._unmet({name: _checked(name) for name in names})
        deadline = time.monotonic() + timeout
        if left and timeout > 0:
            with self._bell.listen() as listener:  # from here on nothing is missed
                while (left := self._unmet(left)) and (wait := deadline - time.monotonic()) > 0:
                    listener.wait(wait)
        return [name for name in names if name not in left]

    def _unmet(self, names: dict[str, bytes]) -> dict[str, bytes]:
        return {name: key for name, key in names.items() if self._entries.read(key) is None}


class Needs:
    """Turns needs into futures."""

    def __init__(self, fetch: Callable[[str], Future[Any]], wait_met: WaitMet) -> None:
        """Meet needs.

        Args:
            fetch: Begins to fetch a URL.
            wait_met: Returns those of some preconditions that are met, when all are or after so
                many seconds.
        """
        self._fetch = fetch
        self._wait_met = wait_met
        self.forked()
        forks.tell(self)

    def forked(self) -> None:
        """Go on as a child process: the threads that wait are the parent's."""
        self._lock = threading.Lock()
        self._awaited: dict[str, Future[None]] = {}
        self._closed = threading.Event()

    def resolve(self, need: str) -> Future[Any] | None:
        """Return a future that ends when a URL is here or a precondition is met; None if it is."""
        if "://" in need:
            return self._fetch(need)
        if self._wait_met([need], 0.0):
            return None
        with self._lock:
            future = self._awaited.get(need)
            if future is None:
                future = self._awaited[need] = Future()
                # One for each name: it may come from a server, which answers when all are met.
                threading.Thread(
                    target=self._await, args=(need, future), name="fscache-need", daemon=True
                ).start()
        return future

    def close(self) -> None:
        """Let the threads end; they do within two seconds."""
        self._closed.set()

    def _await(self, name: str, future: Future[None]) -> None:
        failure: FscacheError | None = None
        try:
            while not self._wait_met([name], _LOOK_SECONDS):
                if self._closed.is_set():
                    return
        except FscacheError as exc:
            failure = exc
        with self._lock:
            del self._awaited[name]
        if failure is None:
            future.set_result(None)
        else:
            future.set_exception(failure)


def _checked(name: str) -> bytes:
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME or not name.isprintable():
        raise InvalidPreconditionError(str(name)[:_MAX_NAME])
    return name.encode()
