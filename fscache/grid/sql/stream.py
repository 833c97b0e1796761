"""The rows of a query as they come: an iterator of Arrow record batches that can be cancelled.

`close` returns when the query's thread has ended, and what is still open when the program ends is closed
then: an interpreter that goes while a thread is within DuckDB aborts the process.
"""

from __future__ import annotations

import atexit
import os
import queue
import threading
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from fscache.grid.sql.result import Result

_AHEAD = 8  # batches that may wait for the reader; beyond that the query waits
_END = 10.0  # s for a query to end: DuckDB takes 0.1, a file on a server that hangs would take for ever
_running: set[Stream] = set()


class Stream:
    """Batches of a query that runs in a thread of its own; ends with what ends the query."""

    def __init__(
        self, produce: Callable[[Callable[[pa.RecordBatch], None]], None], stop: Callable[[], None]
    ) -> None:
        """Start.

        Args:
            produce: Runs the query and hands on each batch; a batch that is not wanted any more
                raises CancelledError in it.
            stop: Ends the query, from any thread.
        """
        self._stop = stop
        self._cancelled = threading.Event()
        self._queue: queue.Queue[pa.RecordBatch | BaseException | None] = queue.Queue(_AHEAD)
        self._ended = False
        self._thread = threading.Thread(
            target=self._work, args=(produce,), name="fscache sql", daemon=True
        )
        _running.add(self)
        self._thread.start()

    def cancel(self) -> None:
        """End the query; whoever waits for a batch gets CancelledError."""
        if self._cancelled.is_set():
            return
        self._cancelled.set()
        self._stop()
        while True:  # let go who waits for room, and tell who waits for a batch
            try:
                self._queue.get_nowait()
            except queue.Empty:
                break
        self._queue.put(CancelledError())

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> pa.RecordBatch:
        """Return the next batch."""
        if self._ended:
            raise StopIteration
        item = self._queue.get()
        if item is None:
            self._ended = True
            raise StopIteration
        if isinstance(item, BaseException):
            self._ended = True
            raise item
        return item

    def close(self) -> None:
        """Cancel, unless all has been read; and wait for the query's end."""
        if not self._ended:
            # Whoever reads in another thread must not take what has come for all there is.
            self.cancel()
        self._thread.join(_END)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _work(self, produce: Callable[[Callable[[pa.RecordBatch], None]], None]) -> None:
        end: BaseException | None = None
        try:
            produce(self._put)
        except BaseException as exc:  # noqa: BLE001 - raised where the rows are asked for
            end = exc
        finally:
            _running.discard(self)
        with suppress(CancelledError):  # nobody wants to know any more
            self._put(end)

    def _put(self, item: pa.RecordBatch | BaseException | None) -> None:
        while not self._cancelled.is_set():
            try:
                self._queue.put(item, timeout=0.2)
            except queue.Full:
                continue
            return
        raise CancelledError


def streamed(result: Result) -> Stream:
    """Return rows that are all there as a stream."""

    def produce(put: Callable[[pa.RecordBatch], None]) -> None:
        for batch in result.batches():
            put(batch)

    return Stream(produce, lambda: None)


def _close_all() -> None:
    for stream in tuple(_running):
        stream.close()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_running.clear)  # a child has none of the threads
