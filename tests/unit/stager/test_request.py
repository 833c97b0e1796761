"""Promises of stager.request."""

from __future__ import annotations

import asyncio
import threading
import weakref
from concurrent.futures import CancelledError, as_completed, wait
from typing import Any

import pytest

from stager.request import FetchRequest, Meter, Progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def make(**options: Any) -> tuple[FetchRequest, Meter, list[FetchRequest]]:
    meter = Meter(Clock())
    left: list[FetchRequest] = []
    request = FetchRequest(("http://h/a",), None, meter, leave=left.append, **options)
    return request, meter, left


def test_it_goes_from_queued_over_running_to_done() -> None:
    request, meter, _ = make()
    assert (request.state, request.running(), request.done()) == ("queued", False, False)
    meter.running = True
    assert (request.state, request.running(), request.done()) == ("running", True, False)
    request.deliver("/path")
    assert (request.state, request.running(), request.done()) == ("done", False, True)
    assert request.result(timeout=0) == "/path"


def test_it_fails_with_the_error() -> None:
    request, _, _ = make()
    request.fail(OSError("no"))
    assert request.state == "failed"
    with pytest.raises(OSError, match="no"):
        request.result(timeout=0)


def test_cancelling_while_running_lets_every_kind_of_waiter_go() -> None:
    request, meter, left = make()
    meter.running = True
    seen: list[str] = []
    request.add_done_callback(lambda one: seen.append(one.state))  # type: ignore[attr-defined]
    waiters = [
        threading.Thread(target=lambda: seen.append(f"wait {len(wait([request]).done)}")),
        threading.Thread(target=lambda: seen.append(f"as {len(list(as_completed([request])))}")),
    ]
    for waiter in waiters:
        waiter.start()
    assert request.cancel()
    for waiter in waiters:
        waiter.join(20)
    assert sorted(seen) == ["as 1", "cancelled", "wait 1"]
    assert (request.state, request.cancelled(), left) == ("cancelled", True, [request])
    with pytest.raises(CancelledError):
        request.result(timeout=0)


def test_cancelling_twice_leaves_once_and_what_arrives_late_is_ignored() -> None:
    request, _, left = make()
    assert request.cancel()
    assert request.cancel()
    assert left == [request]
    request.deliver("/late")
    request.fail(OSError("late"))
    assert request.state == "cancelled"


def test_what_has_ended_cannot_be_cancelled() -> None:
    request, _, left = make()
    request.deliver("/path")
    assert not request.cancel()
    assert left == []


@pytest.mark.parametrize("error", [None, OSError("no")])
def test_what_has_ended_keeps_nothing_of_its_transfer_alive(error: OSError | None) -> None:
    class Transfer:
        def leave(self, request: FetchRequest) -> None:
            pass

    transfer = Transfer()
    known = weakref.ref(transfer)
    request = FetchRequest(("http://h/a",), None, Meter(Clock()), leave=transfer.leave)
    del transfer
    assert known() is not None
    if error is None:
        request.deliver("/path")
    else:
        request.fail(error)
    assert known() is None


def test_many_threads_that_cancel_leave_once() -> None:
    for _ in range(50):
        request, _, left = make()
        threads = [threading.Thread(target=request.cancel) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert left == [request]


def test_the_result_is_what_convert_makes_of_the_path() -> None:
    request, _, _ = make(convert=len)
    request.deliver("/path")
    assert request.result(timeout=0) == 5


def test_an_error_in_convert_reaches_the_waiter() -> None:
    request, _, _ = make(convert=int)
    request.deliver("/path")
    with pytest.raises(ValueError, match="/path"):
        request.result(timeout=0)


def test_it_can_be_awaited_and_cancelled_from_asyncio() -> None:
    async def main() -> None:
        request, _, left = make()
        waiting = asyncio.wrap_future(request)
        threading.Timer(0, request.deliver, ["/path"]).start()
        assert await waiting == "/path"
        request, meter, left = make()
        meter.running = True
        waiting = asyncio.wrap_future(request)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.sleep(0)  # asyncio tells the other future in the loop's next turn
        assert left == [request]

    asyncio.run(main())


def test_progress_counts_bytes_and_their_rate() -> None:
    clock = Clock()
    meter = Meter(clock)
    request = FetchRequest(("http://h/a",), None, meter, leave=lambda _: None)
    assert request.progress == Progress(0, None, 0.0)
    meter.done, meter.total = 500, 1000  # kept from an earlier attempt
    meter.start()
    assert request.progress == Progress(500, 1000, 0.0)
    clock.now += 2.0
    meter.done, meter.received = 700, 200
    assert request.progress == Progress(700, 1000, 100.0)
    meter.stop()
    clock.now += 50.0
    assert request.progress == Progress(700, 1000, 100.0)


def test_its_repr_shows_no_secret() -> None:
    request = FetchRequest(("http://h/a?token=s3cret",), None, Meter(Clock()), leave=lambda _: None)
    assert "s3cret" not in repr(request)
    assert "queued" in repr(request)


def test_before_any_byte_is_here_the_progress_is_that_of_the_server_that_fetches() -> None:
    request, meter, _ = make()
    meter.ahead = Progress(5, 10, 2.0)
    assert request.progress == Progress(5, 10, 2.0)
    meter.start()
    meter.total = 10
    assert request.progress == Progress(0, 10, 0.0)


@pytest.mark.parametrize("end", ["done", "failed", "cancelled"])
def test_one_that_follows_another_is_as_far_and_ends_as_that_does(end: str) -> None:
    request, _, _ = make(convert=lambda path: f"converted {path}")
    other, meter, _ = make()
    request.follow(other)
    meter.running, meter.done = True, 7
    assert (request.state, request.progress.done) == ("running", 7)
    {
        "done": lambda: other.deliver("/path"),
        "failed": lambda: other.fail(OSError("no")),
        "cancelled": other.cancel,
    }[end]()
    assert request.state == end
    if end == "done":
        assert request.result(0) == "/path"  # converted once, by the other


@pytest.mark.parametrize("before", [True, False])
def test_one_that_follows_another_cancels_it(before: bool) -> None:
    request, _, _ = make()
    other, _, left = make()
    if before:
        request.cancel()
    request.follow(other)
    request.cancel()
    assert (request.state, other.state) == ("cancelled", "cancelled")
    assert left == [other]
