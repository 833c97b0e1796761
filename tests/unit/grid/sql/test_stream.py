"""Rows as they come: whoever reads knows whether they are all."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from fscache.grid.sql.stream import _AHEAD, Stream

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH = pa.record_batch({"x": [1]})


def produce(put: Callable[[pa.RecordBatch], None]) -> None:
    for _ in range(_AHEAD):
        put(BATCH)


def test_rows_of_a_stream_that_was_closed_elsewhere_are_not_all() -> None:
    stream = Stream(produce, lambda: None)
    next(stream)
    closer = threading.Thread(target=stream.close)
    closer.start()
    closer.join()
    with pytest.raises(CancelledError):
        list(stream)
    assert list(stream) == []


def test_nothing_is_said_of_the_end_of_a_stream_that_nobody_wants(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", said.append)

    def stop() -> None:  # it takes a while
        stream._thread.join()

    stream = Stream(produce, stop)
    while stream._queue.qsize() < _AHEAD:  # its end waits for room behind all rows
        threading.Event().wait(0.001)
    stream.close()
    assert not stream._thread.is_alive()
    assert not said
