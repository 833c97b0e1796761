"""Promises of fscache.urls.progress, with real requests and a real terminal."""

from __future__ import annotations

import io
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from fscache.urls import progress
from fscache.urls.progress import follow
from fscache.urls.tally import Tally
from stager.request import FetchRequest, Meter
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def make(clock: Callable[[], float], name: str = "a.nc") -> tuple[FetchRequest, Meter]:
    meter = Meter(clock)
    url = f"https://example.org/{name}"
    return FetchRequest((url,), None, meter, leave=lambda request: None), meter


def come(meter: Meter, size: int, total: int | None = None) -> None:
    meter.start()
    meter.running = True
    meter.done = meter.received = size
    meter.total = total


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal(60, 24)
    yield made
    made.close()


def test_nothing_is_shown_of_requests_that_have_ended(clock: Callable[[], float]) -> None:
    request, _ = make(clock)
    request.deliver("/a")
    stream = io.StringIO()
    follow([request], stream=stream)
    assert stream.getvalue() == ""


def test_a_log_that_cannot_be_written_fails_no_fetch(
    clock: Callable[[], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open("/dev/full", "w") as full:
        for stream in (full, None):  # None: standard error was closed
            request, _ = make(clock)
            with ThreadPoolExecutor() as pool:
                pool.submit(request.deliver, "/a")
                monkeypatch.setattr("sys.stderr", None)
                follow([request], stream=stream)
            assert request.result() == "/a"


def test_a_wait_that_is_over_sums_up_what_has_ended(clock: Callable[[], float]) -> None:
    (one, meter), (two, _) = make(clock, "a"), make(clock, "b")
    come(meter, 2048)
    stream = io.StringIO()
    follow([one, two], stream=stream, timeout=0)
    assert stream.getvalue().startswith("0 of 2 files, 2.0 KiB in ")


def test_a_log_gets_a_line_for_each_file_and_one_for_all(clock: Any) -> None:
    (one, meter), (two, _), (three, _) = (make(clock, name) for name in "abc")
    come(meter, 2048, 2048)

    def end() -> None:
        clock.advance(2)
        one.deliver("/a")
        two.fail(OSError("no"))
        three.deliver("/c")

    thread = threading.Thread(target=end)
    stream = io.StringIO()
    started = threading.Event()

    def now() -> float:
        if not started.is_set():
            started.set()
            thread.start()
        return float(clock())

    follow([one, two, three], stream=stream, now=now)
    thread.join()
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("fetched https://example.org/a (2.0 KiB")
    assert lines[1] == "up to date https://example.org/c"  # no body came
    assert lines[2].startswith("3 files, 1 failed, 2.0 KiB in ")
    assert len(lines) == 3


def test_a_log_tells_what_another_process_has_fetched(clock: Any) -> None:
    made = [make(clock, name) for name in "abc"]
    (ours, meter), (theirs, fetched), (same, _) = made
    come(meter, 2048, 2048)
    fetched.elsewhere = True
    asked = 0

    def now() -> float:
        nonlocal asked
        asked += 1
        if asked == 8:
            clock.advance(2)
            ours.deliver("/a")
            fetched.done = fetched.total = 1024
            theirs.deliver("/b")
            same.deliver("/c")
        if asked < 8:
            clock.advance(progress.REMIND)
        return float(clock())

    stream = io.StringIO()
    follow([ours, theirs, same], stream=stream, now=now)
    *remind, first, second, third, summary = stream.getvalue().splitlines()
    assert re.fullmatch(r"0 of 3 files, 2.0 KiB, .+/s, 1 waiting for another process", remind[0])
    assert first.startswith("fetched https://example.org/a (2.0 KiB")
    assert second == "fetched by another process https://example.org/b (1.0 KiB)"
    assert third == "up to date https://example.org/c"
    assert summary.startswith("3 files, 1 by another process, 3.0 KiB in ")


def test_what_another_process_has_fetched_has_no_rate(clock: Any) -> None:
    (ours, meter), (theirs, fetched) = make(clock, "a"), make(clock, "b")
    come(meter, 1000)
    tally = Tally([ours, theirs], clock())
    fetched.elsewhere = True
    assert tally.waiting() == [theirs]
    fetched.done = fetched.total = 1 << 30
    theirs.deliver("/b")
    assert tally.waiting() == []
    tally.end(theirs)
    clock.advance(1)
    assert tally.rate(tally.size(tally.running()), clock()) == 1000
    ours.deliver("/a")
    tally.end(ours)
    assert tally.summary(clock()) == "2 files, 1 by another process, 1.0 GiB in 1 s (1000 B/s)"


def test_nothing_was_fetched_by_another_process_where_it_failed(clock: Any) -> None:
    request, meter = make(clock)
    meter.elsewhere = True
    tally = Tally([request], clock())
    request.cancel()
    tally.end(request)
    clock.advance(1)
    assert tally.summary(clock()) == "1 file, 1 failed, 0 B in 1 s"


def test_a_log_tells_an_empty_file_from_one_that_has_not_changed(clock: Any) -> None:
    request, meter = make(clock)
    come(meter, 0, 0)
    stream = io.StringIO()

    def now() -> float:
        if not request.done():
            request.deliver("/a")
        return float(clock())

    follow([request], stream=stream, now=now)
    assert stream.getvalue() == "fetched https://example.org/a.nc (0 B)\n"


def test_a_terminal_that_does_not_know_its_size_is_taken_for_a_usual_one(clock: Any) -> None:
    terminal = Terminal(0, 0)
    request, meter = make(clock)
    come(meter, 1 << 20, 2 << 20)
    asked = 0

    def now() -> float:
        nonlocal asked
        asked += 1
        if asked == 8:
            request.deliver("/a")
        clock.advance(progress.REDRAW)
        return float(clock())

    follow([request], stream=terminal.stream, now=now)
    assert "a.nc" in terminal.read()
    assert " 50%" in terminal.read()
    terminal.close()


def test_a_log_hears_now_and_then_of_a_long_transfer(clock: Any) -> None:
    request, meter = make(clock)
    come(meter, 5 << 20)
    asked = 0

    def now() -> float:
        nonlocal asked
        asked += 1
        if asked == 8:
            request.deliver("/a")
        clock.advance(progress.REMIND)
        return float(clock())

    stream = io.StringIO()
    follow([request], stream=stream, now=now)
    assert "0 of 1 files, 5.0 MiB, " in stream.getvalue()


def test_a_callable_is_called_while_requests_run_and_when_all_have_ended(clock: Any) -> None:
    request, _ = make(clock)
    seen: list[list[str]] = []

    def call(requests: list[FetchRequest]) -> None:
        seen.append([each.state for each in requests])
        request.deliver("/a")

    done, _ = make(clock)
    done.deliver("/d")
    follow([done, request], call)
    assert seen == [["done", "queued"], ["done", "done"]]
    follow([done], call)
    assert seen[2:] == [["done"]]


def test_a_terminal_shows_what_runs_and_then_the_summary(
    clock: Any, terminal: Terminal, until: Any
) -> None:
    made = [make(clock, f"file-{number}.nc") for number in range(5)]
    for _, meter in made[:3]:
        come(meter, 1 << 20, 4 << 20)
    follower = threading.Thread(
        target=follow, args=([request for request, _ in made],), kwargs={"stream": terminal.stream}
    )
    follower.start()
    until(lambda: "0/5 files" in terminal.read(), "first frame")
    shown = terminal.screen()
    assert [line.split()[0] for line in shown] == ["file-0.nc", "file-1.nc", "file-2.nc", "0/5"]
    assert all("25%" in line for line in shown[:3])
    made[0][0].deliver("/0")
    until(lambda: terminal.screen()[-1].startswith("1/5 files"), "frame after an end")
    assert [line.split()[0] for line in terminal.screen()] == ["file-1.nc", "file-2.nc", "1/5"]
    for request, _ in made[1:]:
        request.deliver("/x")
    follower.join(20)
    shown = terminal.screen()
    assert len(shown) == 1
    assert shown[0].startswith("5 files, 3.0 MiB in ")


def test_a_terminal_shows_what_another_process_fetches_below_what_runs(
    clock: Any, terminal: Terminal, until: Any
) -> None:
    terminal.resize(80, 24)
    (theirs, waiting), (ours, meter) = make(clock, "theirs.nc"), make(clock, "ours.nc")
    waiting.elsewhere = True
    come(meter, 1 << 20, 4 << 20)
    follower = threading.Thread(
        target=follow, args=([theirs, ours],), kwargs={"stream": terminal.stream}
    )
    follower.start()
    until(lambda: "0/2 files" in terminal.read(), "first frame")
    first, second, last = terminal.screen()
    assert (first.split()[:2], last.split()[0]) == (["ours.nc", "25%"], "0/2")
    assert second.split(maxsplit=1) == ["theirs.nc", "waiting for another process"]
    ours.deliver("/a")
    waiting.done = waiting.total = 1 << 20
    theirs.deliver("/b")
    follower.join(20)
    (last,) = terminal.screen()
    assert last.startswith("2 files, 1 by another process, 2.0 MiB in ")


def test_a_terminal_that_becomes_narrower_is_left_clean(
    clock: Any, terminal: Terminal, until: Any
) -> None:
    request, meter = make(clock, "a-file-with-a-long-name.nc")
    come(meter, 1 << 20, 4 << 20)
    follower = threading.Thread(
        target=follow, args=([request],), kwargs={"stream": terminal.stream}
    )
    follower.start()
    until(lambda: "0/1 files" in terminal.read(), "first frame")
    terminal.resize(20, 24)
    # Both lines of the wide frame, 59 columns each, have wrapped to three rows.
    until(lambda: "\x1b[6F" in terminal.read(), "frame that goes back over the wrapped rows")
    meter.done = 2 << 20
    until(lambda: " 50%" in terminal.read(), "narrow frame")
    assert "\x1b[2F" in terminal.read().rpartition("\x1b[6F")[2]
    request.cancel()
    follower.join(20)


def test_the_rate_is_that_of_the_last_seconds(clock: Any) -> None:
    request, meter = make(clock)
    come(meter, 0)
    tally = Tally([request], clock())
    for _ in range(60):
        clock.advance(1)
        meter.done += 1000
        rate = tally.rate(tally.size([request]), clock())
    assert rate == 1000
    clock.advance(10)
    assert tally.rate(tally.size([request]), clock()) < 1000
