"""Names that one party declares met and others wait for.

What is met stays met, over restarts too: a file each, `preconditions/` in the root. Every request is
one by itself, named `request:<id>`, met when it has ended in whatever way.

Waiting parks. What processes of the root declare met without asking this server (`Cache.met`) is seen
after `LOOK` seconds; they, in turn, are woken at once (`fscache.tasks.needs`). Not promised: that a name
is ever forgotten; choose one per run.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ALL_COMPLETED, Future
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fscache import errors
from fscache.records.root import translated
from fscache.server.rpc import SERVER
from fscache.tasks.wakeup import root_bell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from fscache.records.root import Root

REQUEST = "request:"
LOOK = 1.0
"""Seconds between two looks into the root: one `stat` for each name that is waited for."""
_MAX_NAME = 512
_MAX_NAMES = 10_000


class _Waited:
    """A name that somebody waits for."""

    __slots__ = ("future", "waiters")

    def __init__(self) -> None:
        self.future: Future[Any] = Future()
        self.waiters = 0


class Preconditions:
    """The preconditions of one root."""

    def __init__(
        self,
        root: Root,
        request: Callable[[str], Future[Any]],
        stopping: Callable[[], bool],
    ) -> None:
        """Keep names in `root`.

        Args:
            root: Exists.
            request: Returns the future of a request's id; raises UnknownRequestError.
            stopping: Whether the server is about to stop; `close` wakes who waits.
        """
        self._root = root
        self._entries = root.entries("preconditions", b"pre")
        self._bell = root_bell(root)
        self._request = request
        self._stopping = stopping
        self._mutex = threading.Lock()
        self._waited: dict[str, _Waited] = {}

    def met(self, name: str, by: str) -> None:
        """Declare a name met; doing so again is harmless."""
        key = _checked(name)
        if name.startswith(REQUEST):
            raise errors.RefusedRequestError(SERVER, "a request ends by itself")
        with translated(self._root.path):
            if self._entries.read(key) is None:
                self._entries.write(key, f"{by}\n{self._root.now():.3f}".encode())
        self._look(name)
        self._bell()

    def wait(self, names: Sequence[str], timeout: float) -> list[str]:
        """Return those of `names` that are met: when all are, or after `timeout` seconds.

        Raises:
            TryAgainError: the server is stopping.
            UnknownRequestError: a `request:` names none.
        """
        if len(names) > _MAX_NAMES:
            raise errors.RefusedRequestError(SERVER, f"at most {_MAX_NAMES} names")
        with self._futures(names) as futures:
            until = time.monotonic() + timeout
            while True:
                left = until - time.monotonic()
                wait_for(futures.values(), max(0.0, min(left, LOOK)), return_when=ALL_COMPLETED)
                if self._stopping():
                    raise errors.TryAgainError(SERVER, "stopping")
                if left <= LOOK or all(future.done() for future in futures.values()):
                    return [name for name in names if futures[name].done()]
                for name in futures:
                    self._look(name)

    def close(self) -> None:
        """Wake everybody who waits; they are told to try again."""
        with self._mutex:
            for waited in self._waited.values():
                if not waited.future.done():
                    waited.future.set_result(None)

    def _look(self, name: str) -> None:
        """Wake who waits for a name that lies in the root."""
        if name.startswith(REQUEST) or self._entries.read(_checked(name)) is None:
            return
        with self._mutex:
            waited = self._waited.get(name)
            if waited is not None and not waited.future.done():
                waited.future.set_result(None)

    @contextmanager
    def _futures(self, names: Sequence[str]) -> Iterator[dict[str, Future[Any]]]:
        found: dict[str, Future[Any]] = {}
        own: list[str] = []
        try:
            for name in dict.fromkeys(names):
                _checked(name)
                if name.startswith(REQUEST):
                    found[name] = self._request(name[len(REQUEST) :])
                    continue
                with self._mutex:
                    waited = self._waited.setdefault(name, _Waited())
                    waited.waiters += 1
                    own.append(name)
                    found[name] = waited.future
                # After the future is there: whoever declares it met from now on will set it.
                self._look(name)
            yield found
        finally:
            with self._mutex:
                for name in own:
                    waited = self._waited[name]
                    waited.waiters -= 1
                    if not waited.waiters:
                        del self._waited[name]


def _checked(name: str) -> bytes:
    if isinstance(name, str) and name.startswith(REQUEST):
        return b""  # an id is judged by whoever gave it
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME or not name.isprintable():
        why = f"a precondition's name has 1 to {_MAX_NAME} printable characters"
        raise errors.RefusedRequestError(SERVER, why)
    return name.encode("utf-8")
