"""The rows of a query as they come: an iterator of Arrow record batches that can be cancelled."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

_AHEAD = 8  # batches that may wait for the reader; beyond that the query waits


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
        thread = threading.Thread(
            target=self._work, args=(produce,), name="fscache sql", daemon=True
        )
        thread.start()

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
        """Cancel, unless all has been read."""
        if not self._ended:
            self.cancel()
            self._ended = True

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
        if not self._cancelled.is_set():
            self._put(end)

    def _put(self, item: pa.RecordBatch | BaseException | None) -> None:
        while not self._cancelled.is_set():
            try:
                self._queue.put(item, timeout=0.2)
            except queue.Full:
                continue
            return
        raise CancelledError
