"""Queries as the server sees them: started by somebody else, followed, ended once.

An error is told as it is where our own tree knows it; of a fault of the program only that it happened.
"""

from __future__ import annotations

import os
import queue
import secrets
import threading
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, Protocol

from fscache import errors
from fscache.remote import faults
from fscache.server.rpc import SERVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_AHEAD = 4  # encoded batches that may wait for a slow client; beyond that the query waits
_TICK = 0.25  # s between looks whether the client is still there


class Rows(Protocol):
    """A query under way: its encoded rows, batch by batch."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield the rows; raises what the query fails with."""

    def cancel(self) -> None:
        """End the query, from any thread."""


class Run(Protocol):
    """Starts a query."""

    def __call__(
        self,
        query: str,
        *,
        shared: dict[str, Any],
        max_gather: int | None,
        kind: str,
        progress: Callable[[Any], None],
    ) -> Rows:
        """Start a query; `kind` is `arrow` or `json`."""

    def close(self) -> None:
        """Let go of what queries run on; none will be started any more."""


class Query:
    """One query, its progress and its end."""

    def __init__(self, kind: str, by: str, clock: Callable[[], float]) -> None:
        self.id = secrets.token_hex(16)
        self.kind = kind
        self.by = by
        self.state = "running"
        self.error: BaseException | None = None
        self.progress: tuple[int, int] = (0, 0)
        self.rows: Rows | None = None
        self.deferred = False
        """Whether its rows are kept; settled before anybody knows its id."""
        self.file: Any = None
        """Rows of a deferred query."""
        self.ended = 0.0
        self._unwanted = False
        self._clock = clock
        self._begun = clock()
        self._lock = threading.Lock()

    def begin(self, rows: Rows) -> None:
        """Take the rows; they are cancelled if that was asked for before there were any."""
        self.rows = rows
        if self._unwanted:
            rows.cancel()

    def told(self, progress: Any) -> None:
        """Take progress."""
        self.progress = (progress.done, progress.total)

    def end(self, error: BaseException | None = None) -> None:
        """Note the end; only the first counts."""
        with self._lock:
            if self.state != "running":
                return
            self.ended = self._clock()
            self.error = error
            if error is None:
                self.state = "done"
            elif isinstance(error, CancelledError):
                self.state = "cancelled"
            else:
                self.state = "failed"

    def cancel(self) -> None:
        """End it, whatever it is at."""
        self._unwanted = True
        if self.rows is not None:
            self.rows.cancel()
        self.end(CancelledError())

    def forget(self) -> None:
        """Give back what it holds; those who read its rows already read on."""
        with self._lock:
            file, self.file = self.file, None
            if file is not None:
                file.close()

    def opened(self) -> tuple[int, int] | None:
        """Return a descriptor of the rows that are kept, the caller's own, and their size.

        None if there are none any more. Under the lock: where the file was closed meanwhile, its number
        could be another file's already.
        """
        with self._lock:
            if self.file is None:
                return None
            number = self.file.fileno()
            return os.dup(number), os.fstat(number).st_size

    def describe(self) -> dict[str, Any]:
        """Return how far it is."""
        done, total = self.progress
        seconds = (self.ended or self._clock()) - self._begun
        found = {"id": self.id, "state": self.state, "done": done, "total": total}
        if self.state == "failed":
            found["error"] = faults.encode(told_as(self.error))
        return {**found, "seconds": round(seconds, 3)}


def ticking(rows: Rows) -> Iterator[bytes]:
    """Yield the rows, and an empty part whenever nothing has come for a moment."""
    parts: queue.Queue[bytes | BaseException | None] = queue.Queue(_AHEAD)
    over = threading.Event()

    def put(part: bytes | BaseException | None) -> bool:
        while not over.is_set():
            try:
                parts.put(part, timeout=_TICK)
            except queue.Full:
                continue
            return True
        return False

    def pump() -> None:
        try:
            if all(map(put, rows)):
                put(None)
        except BaseException as exc:  # noqa: BLE001 - raised where the rows are sent
            put(exc)

    threading.Thread(target=pump, name="sql", daemon=True).start()
    try:
        while True:
            try:
                part = parts.get(timeout=_TICK)
            except queue.Empty:
                yield b""
                continue
            if part is None:
                return
            if isinstance(part, BaseException):
                raise part
            if part:
                yield part
    finally:
        over.set()


def first(parts: Iterator[bytes], gone: Callable[[], bool]) -> bytes:
    """Return the first rows, none if there are none."""
    for part in parts:
        if part:
            return part
        if gone():
            raise CancelledError
    return b""


def told_as(error: BaseException | None) -> Exception:
    """Return an error as a client may see it; of a fault of this program only that it happened."""
    if isinstance(error, Exception) and faults.is_ours(error):
        return error
    if isinstance(error, CancelledError):
        return errors.RefusedRequestError(SERVER, "the query was cancelled")
    return errors.GridError(f"the query failed: {type(error).__name__}")
