"""Many requests at once: single flight, limits, cancelling, closing, forking."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import CancelledError, as_completed, wait
from typing import TYPE_CHECKING, Any

import pytest

from stager import drivers
from stager.body import Body
from stager.destination import Validator
from stager.errors import ChecksumError, ConnectionFailedError, InvalidURLError
from stager.flight import Flight
from stager.request import Progress
from stager.retry import RetryPolicy
from stager.service import FetchService
from stager.transfer import Transfer
from stager.transports import Transports, default_transports
from stager.transports.base import Timeouts
from tests.support.origin import Origin, Page, failing
from tests.unit.stager.directory import DirectoryClaim, DirectoryDestination
from tests.unit.stager.test_fetching import BODY, SMALL, SOON, read, sha256, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


# --- single flight ---------------------------------------------------------------------------


def test_many_askers_share_one_transfer(
    origin: Origin, make_service: Callable[..., FetchService]
) -> None:
    go = threading.Event()
    url = origin.add("/a", Page(BODY, gate=go.wait))
    service = make_service()
    requests: list[Any] = []
    threads = [
        threading.Thread(target=lambda: requests.extend(service.submit(url) for _ in range(8)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (active,) = service.active()
    assert (active.url, active.host, active.askers) == (url, "127.0.0.1", 64)
    go.set()
    assert len({request.result(SOON) for request in requests}) == 1
    assert len(origin.seen("/a")) == 1
    assert service.active() == []


def test_another_checksum_is_another_question(origin: Origin, service: FetchService) -> None:
    url = origin.add("/a", BODY)
    right, wrong = service.submit(url, sha256(BODY)), service.submit(url, sha256(SMALL))
    assert read(right) == BODY
    assert isinstance(wrong.exception(SOON), ChecksumError)


def test_what_has_landed_is_gone_without_the_garbage_collector(
    origin: Origin, service: FetchService
) -> None:
    wanted = [(origin.add(f"/{number}", SMALL), None) for number in range(5)]
    gc.collect()
    gc.disable()
    try:
        requests = service.submit_many(wanted)
        assert [read(request) for request in requests] == [SMALL] * 5
        service.close()  # a thread may still have the last one in hand
        left = [one for one in gc.get_objects() if isinstance(one, Flight | Transfer | Body)]
    finally:
        gc.enable()
    assert left == []


def test_two_services_on_one_destination_fetch_once(
    origin: Origin, make_service: Callable[..., FetchService]
) -> None:
    go = threading.Event()
    url = origin.add("/a", Page(BODY, gate=go.wait))
    first = make_service().submit(url)
    origin.wait_seen("/a")
    second = make_service()
    waiting, free = second.submit(url), second.submit(origin.add("/b", SMALL))
    assert read(free) == SMALL  # the claimed one holds up nobody
    go.set()
    assert read(first) == read(waiting) == BODY
    assert len(origin.seen("/a")) == 1


def test_a_request_knows_that_another_service_has_fetched(
    origin: Origin, make_service: Callable[..., FetchService]
) -> None:
    url = origin.add("/a", Page(BODY, gate=origin.release.wait))
    first = make_service().submit(url)
    origin.wait_seen("/a")
    waiting = make_service().submit(url)
    wait_for(lambda: waiting.elsewhere)
    assert (waiting.state, waiting.progress) == ("queued", Progress(0, None, 0.0))
    origin.release.set()
    assert read(first) == read(waiting) == BODY
    late = make_service().submit(url)  # which finds the claim free and the file there
    assert read(late) == BODY
    assert [each.elsewhere for each in (first, waiting, late)] == [False, True, True]
    assert waiting.progress == late.progress == Progress(len(BODY), len(BODY), 0.0)


def test_what_has_not_changed_was_fetched_by_nobody(
    origin: Origin,
    make_service: Callable[..., FetchService],
    destination: DirectoryDestination,
) -> None:
    url = origin.add("/a", Page(SMALL, etag='"1"'))
    service = make_service()
    read(service.submit(url))
    theirs = destination.claim(url)
    assert theirs is not None
    request = service.submit(url, revalidate=Validator('"1"'))
    wait_for(lambda: request.elsewhere)
    theirs.release(keep=False)
    assert read(request) == SMALL
    assert not request.elsewhere
    assert len(destination.touched) == 1


def test_when_the_other_fetch_dies_this_one_takes_over(
    origin: Origin,
    make_service: Callable[..., FetchService],
    destination: DirectoryDestination,
) -> None:
    url = origin.add("/a", SMALL)
    theirs = destination.claim(url)
    assert theirs is not None
    request = make_service().submit(url)
    with pytest.raises(TimeoutError):
        request.result(0.3)
    assert (request.state, origin.seen("/a")) == ("queued", [])
    assert request.elsewhere
    theirs.release(keep=False)
    assert read(request) == SMALL
    assert not request.elsewhere


# --- cancelling ------------------------------------------------------------------------------


def test_cancelling_a_running_request_ends_the_transfer_and_keeps_what_came(
    origin: Origin, service: FetchService, destination: DirectoryDestination
) -> None:
    step = threading.Semaphore(2)
    page = Page(BODY, step=1_000_000, gate=step.acquire)
    request = service.submit(origin.add("/a", page))
    wait_for(lambda: request.progress.done == 2_000_000)
    assert request.cancel()
    assert wait([request], SOON).done == {request}
    with pytest.raises(CancelledError):
        request.result(0)
    step.release(9)
    with destination.free:
        assert destination.free.wait_for(lambda: not destination.open_claims, SOON)
    assert len(destination.leftovers()) == 2
    assert destination.reserved == 0


def test_one_asker_that_cancels_does_not_end_it_for_the_others(
    origin: Origin, service: FetchService
) -> None:
    go = threading.Event()
    url = origin.add("/a", Page(SMALL, gate=go.wait))
    leaving, staying = service.submit(url), service.submit(url)
    origin.wait_seen("/a")
    leaving.cancel()
    go.set()
    assert read(staying) == SMALL
    assert leaving.cancelled()


def test_asking_again_while_it_is_being_given_up_fetches_it(
    origin: Origin, service: FetchService
) -> None:
    go = threading.Event()
    url = origin.add("/a", Page(SMALL, gate=go.wait))
    for _ in range(3):
        request = service.submit(url)
        origin.wait_seen("/a")
        request.cancel()
    last = service.submit(url)
    go.set()
    assert read(last) == SMALL


def test_cancelling_while_queued_or_waiting_for_a_retry_is_immediate(
    origin: Origin,
    make_service: Callable[..., FetchService],
    destination: DirectoryDestination,
) -> None:
    service = make_service(policy=RetryPolicy(attempts=3, base=100.0, cap=100.0))
    request = service.submit(origin.add("/a", failing(503)))
    wait_for(lambda: len(origin.seen("/a")) == 1 and request.state == "running")
    request.cancel()
    with destination.free:
        assert destination.free.wait_for(lambda: not destination.open_claims, SOON)
    assert service.active() == []


def test_a_request_is_awaitable_from_asyncio(origin: Origin, service: FetchService) -> None:
    url = origin.add("/a", SMALL)

    async def main() -> Any:
        return await asyncio.wrap_future(service.submit(url, convert=os.path.getsize))

    assert asyncio.run(main()) == 4096


def test_while_all_wait_for_a_distant_moment_no_thread_turns(
    origin: Origin, make_service: Callable[..., FetchService]
) -> None:
    looked = 0

    def clock() -> float:
        nonlocal looked
        looked += 1
        return 0.0

    service = make_service(policy=RetryPolicy(base=100.0, cap=100.0), clock=clock)
    good = service.submit_many([(origin.add(f"/{n}", SMALL), None) for n in range(7)])
    assert {read(request) for request in good} == {SMALL}
    waiting = service.submit_many([(origin.add(f"/w{n}", failing(503)), None) for n in range(7)])
    for n in range(7):
        origin.wait_seen(f"/w{n}")
    pause = threading.Event()
    counts = [0, looked]
    while counts[-1] != counts[-2] and len(counts) < 100:
        pause.wait(0.2)
        counts.append(looked)
    assert len(counts) < 100
    assert not any(request.done() for request in waiting)


# --- limits ----------------------------------------------------------------------------------


def test_one_host_gets_no_more_than_its_exchanges_at_once(
    origin: Origin, make_service: Callable[..., FetchService]
) -> None:
    lock, now, most, three = threading.Lock(), 0, 0, threading.Event()

    def gate() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
            if now == 3:
                three.set()
        three.wait(SOON)
        with lock:
            now -= 1

    service = make_service(per_host=3)
    urls = [(origin.add(f"/{n}", Page(SMALL, gate=gate)), None) for n in range(20)]
    for request in service.submit_many(urls):
        assert read(request) == SMALL
    assert most == 3


def test_a_slow_host_does_not_hold_up_another(
    origin: Origin, make_service: Callable[..., FetchService]
) -> None:
    with Origin() as slow:
        service = make_service(per_host=2)
        stuck = [
            service.submit(slow.add(f"/{n}", Page(SMALL, gate=slow.release.wait)))
            for n in range(10)
        ]
        assert read(service.submit(origin.add("/a", SMALL))) == SMALL
        slow.release.set()
        assert [read(request) for request in stuck] == [SMALL] * 10


def test_a_rate_is_kept_to(origin: Origin, make_service: Callable[..., FetchService]) -> None:
    now = 0.0
    service = make_service(rate=0.001, clock=lambda: now)
    first = service.submit(origin.add("/a", SMALL))
    assert read(first) == SMALL
    second = service.submit(origin.add("/b", SMALL))
    with pytest.raises(TimeoutError):
        second.result(0.2)
    now = 1001.0
    third = service.submit(origin.add("/c", SMALL))  # whose coming makes it look at the clock
    assert read(second) == SMALL
    third.cancel()


# --- many ------------------------------------------------------------------------------------


@pytest.mark.parametrize("many", [1, 8])
def test_hundreds_of_files_come_right(
    origin: Origin,
    make_service: Callable[..., FetchService],
    monkeypatch: pytest.MonkeyPatch,
    many: int,
) -> None:
    monkeypatch.setattr(drivers, "MANY", many)
    bodies = {f"/{n}": BODY[n : n + 50 * n] for n in range(300)}
    service = make_service()
    wanted = [(origin.add(path, body), sha256(body)) for path, body in bodies.items()]
    requests = service.submit_many(wanted)
    assert len(list(as_completed(requests, SOON))) == 300
    assert [read(request) for request in requests] == list(bodies.values())
    assert len(origin.requests) == 300


def test_a_few_files_need_no_libcurl_and_many_use_it(
    origin: Origin, destination: DirectoryDestination
) -> None:
    transports = default_transports()
    with FetchService(destination, transports, user_agent="x") as service:
        assert read(service.submit(origin.add("/a", SMALL))) == SMALL
        assert transports._many is None
        urls = [(origin.add(f"/{n}", SMALL), None) for n in range(20)]
        assert {read(request) for request in service.submit_many(urls)} == {SMALL}
        assert transports._many is not None
        assert len(transports._made) == 1


def test_without_a_working_libcurl_threads_do_it_all(
    origin: Origin, destination: DirectoryDestination, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Any:
        raise ImportError("libcurl.so.4: no such file")

    transports = Transports(default_transports()._makers, broken)
    with FetchService(destination, transports, user_agent="x") as service:
        urls = [(origin.add(f"/{n}", SMALL), None) for n in range(30)]
        assert {read(request) for request in service.submit_many(urls)} == {SMALL}
    assert "cannot drive many" in caplog.text


def test_a_driver_that_breaks_down_fails_what_it_carries_and_nothing_hangs(
    origin: Origin, destination: DirectoryDestination, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stager.transports import curl_loop

    def broken(*_: Any) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(curl_loop.Loop, "_reap", broken)
    policy = RetryPolicy(attempts=3, base=0.01)
    with FetchService(destination, default_transports(), user_agent="x", policy=policy) as service:
        urls = [(origin.add(f"/{n}", SMALL), None) for n in range(30)]
        assert {read(request) for request in service.submit_many(urls)} == {SMALL}


# --- file systems that wait ------------------------------------------------------------------


class Watched(DirectoryDestination):
    """Says who claims; once somebody else than the first one does, two must be at it at once."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.threads: list[int] = []
        self.side_by_side = False
        self._claiming = 0
        self._turn = threading.Condition()

    def claim(self, url: str) -> DirectoryClaim | None:
        with self._turn:
            self.threads.append(threading.get_ident())
            if self.threads[-1] != self.threads[0]:
                self._claiming += 1
                self._turn.notify_all()
                if self._turn.wait_for(lambda: self.side_by_side or self._claiming > 1, SOON):
                    self.side_by_side = True
                self._claiming -= 1
        return super().claim(url)


def test_where_the_file_system_takes_long_many_are_fetched_by_many_threads(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers, "LONG", -1.0)
    destination, transports = Watched(tmp_path), default_transports()
    with FetchService(destination, transports, user_agent="x") as service:
        urls = [(origin.add(f"/{n}", SMALL), None) for n in range(60)]
        assert {read(request) for request in service.submit_many(urls)} == {SMALL}
        assert destination.side_by_side
        assert transports._made == {}  # by libcurl still
    assert len(origin.requests) == 60


def test_where_they_do_not_one_thread_drives_them_all_and_is_tried_again_later(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    destination = Watched(tmp_path)
    with FetchService(
        destination, default_transports(), user_agent="x", clock=lambda: now
    ) as service:

        def threads_of(name: str) -> int:
            destination.threads.clear()
            destination.side_by_side = False
            urls = [(origin.add(f"/{name}{n}", SMALL), None) for n in range(40)]
            assert {read(request) for request in service.submit_many(urls)} == {SMALL}
            return len(set(destination.threads))

        monkeypatch.setattr(drivers, "LONG", float("inf"))
        assert threads_of("a") == 1
        monkeypatch.setattr(drivers, "LONG", -1.0)
        assert threads_of("b") > 1
        monkeypatch.setattr(drivers, "LONG", float("inf"))
        assert threads_of("c") > 1
        now = 61.0
        assert threads_of("d") == 1


# --- ends ------------------------------------------------------------------------------------


def test_leaving_the_context_waits_for_the_flights(
    origin: Origin, make_service: Callable[..., FetchService]
) -> None:
    with make_service() as service:
        requests = service.submit_many([(origin.add(f"/{n}", BODY), None) for n in range(20)])
    assert all(request.done() for request in requests)
    with pytest.raises(RuntimeError, match="closed"):
        service.submit(origin.url("/0"))


def test_closing_with_cancel_ends_what_runs_and_what_waits(
    origin: Origin, make_service: Callable[..., FetchService]
) -> None:
    service = make_service(per_host=1)
    pages = [Page(BODY, gate=origin.release.wait) for _ in range(5)]
    requests = [service.submit(origin.add(f"/{n}", page)) for n, page in enumerate(pages)]
    wait_for(lambda: any(request.running() for request in requests))
    threading.Timer(0.1, origin.release.set).start()
    service.close(cancel=True)
    assert all(request.cancelled() for request in requests)


def test_what_nobody_waits_for_is_dropped_while_its_server_is_silent(
    origin: Origin, destination: DirectoryDestination, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers, "MANY", 1)
    silent = Timeouts(connect=5.0, stall=600.0)
    with FetchService(
        destination, default_transports(), user_agent="x", timeouts=silent
    ) as service:
        urls = [(origin.add(f"/{n}", Page(BODY, stall_at=1000)), None) for n in range(3)]
        requests = service.submit_many(urls)
        wait_for(lambda: all(request.progress.done == 1000 for request in requests))
        for request in requests[:2]:
            request.cancel()
        with destination.free:
            assert destination.free.wait_for(lambda: destination.open_claims == 1, SOON)
        assert not requests[2].done()
        assert read(service.submit(origin.add("/other", SMALL))) == SMALL
        requests[2].cancel()


def test_closing_with_cancel_waits_once_for_all_silent_servers(
    origin: Origin, make_service: Callable[..., FetchService]
) -> None:
    count = 16
    silent = Timeouts(connect=5.0, stall=600.0)
    service = make_service(per_host=count, workers=count, timeouts=silent)
    urls = [(origin.add(f"/{n}", Page(BODY, stall_at=1000)), None) for n in range(count)]
    requests = service.submit_many(urls)
    wait_for(lambda: all(request.progress.done == 1000 for request in requests))
    closing = threading.Thread(target=lambda: service.close(cancel=True))
    closing.start()
    closing.join(SOON)  # in turn they would take twice as long
    assert not closing.is_alive()
    assert all(request.cancelled() for request in requests)
    origin.release.set()


def test_a_fork_leaves_the_child_a_service_of_its_own(
    origin: Origin, make_service: Callable[..., FetchService], destination: DirectoryDestination
) -> None:
    service = make_service()
    assert read(service.submit(origin.add("/before", SMALL))) == SMALL
    go = threading.Event()
    running = service.submit(origin.add("/running", Page(BODY, gate=go.wait)))
    origin.wait_seen("/running")
    origin.add("/child", SMALL)
    child = os.fork()
    if not child:
        code = 1
        try:
            ok = service.active() == [] and read(service.submit(origin.url("/child"))) == SMALL
            code = 0 if ok else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    go.set()
    assert read(running) == BODY
    assert read(service.submit(origin.add("/after", SMALL))) == SMALL


@pytest.mark.parametrize("many", [1, 10])
def test_the_interpreter_ends_while_transfers_run(
    origin: Origin, tmp_path_factory: pytest.TempPathFactory, many: int
) -> None:
    root = tmp_path_factory.mktemp("root")
    urls = [(origin.add(f"/{n}", Page(BODY, stall_at=500_000)), None) for n in range(many)]
    script = f"""
        from stager.service import FetchService
        from stager.transports import default_transports
        from tests.unit.stager.directory import DirectoryDestination
        destination = DirectoryDestination({str(root)!r})
        service = FetchService(destination, default_transports(), user_agent="x")
        requests = service.submit_many({urls!r})
        import threading
        while not any(request.progress.done for request in requests):
            threading.Event().wait(0.01)
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        check=False,
        capture_output=True,
        timeout=60,
        cwd=os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(__file__)))),
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_importing_the_service_imports_neither_requests_nor_pycurl() -> None:
    script = (
        "import sys, stager.service, stager.transports;"
        "print({*sys.modules} & {'requests', 'pycurl', 'ftplib', 'fsspec'})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout == b"set()\n"


def test_an_unknown_scheme_says_so(service: FetchService) -> None:
    error = service.submit("gopher://h/a").exception(SOON)
    assert isinstance(error, InvalidURLError)
    assert "gopher" in error.why


def test_a_fault_in_a_credential_place_or_a_policy_reaches_the_waiter(
    origin: Origin, make_service: Callable[..., FetchService], destination: DirectoryDestination
) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    url = origin.add("/a", SMALL)
    assert isinstance(
        make_service(credentials=broken).submit(url).exception(SOON), ZeroDivisionError
    )
    assert isinstance(
        make_service(target_policy=broken).submit(url).exception(SOON), ZeroDivisionError
    )
    assert (destination.leftovers(), destination.open_claims) == ([], 0)


def test_a_destination_that_cannot_commit_is_the_requests_error(
    origin: Origin,
    service: FetchService,
    destination: DirectoryDestination,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_staged: Any) -> None:
        raise ConnectionFailedError("x", "a destination's own error is final, whatever its type")

    monkeypatch.setattr(destination, "record", broken)
    error = service.submit(origin.add("/a", SMALL)).exception(SOON)
    assert isinstance(error, ConnectionFailedError)
