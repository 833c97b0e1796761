from __future__ import annotations

import queue
import threading
from typing import Any

import pytest

from fscache.grid import failure
from fscache.grid.pickles import dumps, loads
from fscache.grid.serving import GET, SET, WINDOW, Listener, Published, Server


class Channel:
    """Takes what is posted."""

    def __init__(self) -> None:
        self.posted: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.closed = False

    def post(self, item: Any) -> None:
        self.posted.put(item)

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def items(self) -> Any:
        raise NotImplementedError


class Counter:
    def __init__(self) -> None:
        self.count = 0
        self.thread = threading.get_ident()

    def add(self, by: int = 1) -> int:
        self.count += by
        return self.count

    def same_thread(self) -> bool:
        return threading.get_ident() == self.thread

    def fail(self) -> None:
        raise SystemExit("not really")


@pytest.fixture
def served() -> Any:
    server = Server("k", "Counter", "node")
    methods = server.start(dumps(Published(loader=Counter)))
    listener = Listener(Channel())
    server.listeners.add(listener)
    yield server, listener, methods
    server.stop()
    if server._thread is not None:
        server._thread.join()


def call(server: Server, listener: Listener, number: int, method: str, *args: Any) -> Any:
    server.call(listener, number, method, dumps((args, {})))
    done, got, good, payload = listener.channel.posted.get(timeout=5)
    assert (done, got) == ("done", number)
    if good:
        return loads(payload)
    raise failure.unpack(payload)


def test_the_copy_is_made_and_called_in_one_thread(served: Any) -> None:
    server, listener, methods = served
    assert {"add", "same_thread", "fail"} <= set(methods)
    assert call(server, listener, 1, ".same_thread") is True


def test_attributes_are_read_and_set(served: Any) -> None:
    server, listener, _ = served
    call(server, listener, 1, SET, "count", 40)
    assert call(server, listener, 2, ".add", 2) == 42
    assert call(server, listener, 3, GET, "count") == 42


def test_whatever_a_method_raises_the_server_goes_on(served: Any) -> None:
    server, listener, _ = served
    with pytest.raises(SystemExit):
        call(server, listener, 1, ".fail")
    assert call(server, listener, 2, ".add") == 1
    stats = server.stats()
    assert (stats["calls"], stats["failures"]) == (2, 1)
    assert stats["last_error"] == "SystemExit: not really"


def test_durations_are_the_calls_own_and_the_last_fifty(served: Any) -> None:
    server, listener, _ = served
    for number in range(WINDOW + 5):
        call(server, listener, number, ".add")
    durations = server.stats()["durations"]
    assert len(durations) == WINDOW
    assert all(seconds > 0 for seconds in durations)  # not primed with zeros


def test_calls_of_who_is_gone_are_not_run(served: Any) -> None:
    server, listener, _ = served
    gone = Listener(Channel())
    gone.open = False
    server.call(gone, 1, ".add", dumps(((), {})))
    assert call(server, listener, 2, ".add") == 1


def test_listeners_are_told_of_the_end(served: Any) -> None:
    server, listener, _ = served
    server.stop()
    assert listener.channel.posted.get(timeout=5) == ["ended"]
    assert listener.channel.closed


def test_a_copy_that_cannot_be_made_is_an_error_not_a_hang() -> None:
    def broken() -> None:
        raise OSError("no licence on this host")

    with pytest.raises(OSError, match="no licence"):
        Server("k", "x", "node").start(dumps(Published(loader=broken)))
