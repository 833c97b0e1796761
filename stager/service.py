"""`FetchService`: many URLs at once, each of them only once.

- The same URL asked for by many is one flight; it is given up when the last asker cancels. Over
  processes the destination's claim does the same: a flight that finds its URL claimed looks again
  after 2 ms, growing to 100 ms, while other flights go on.
- One place for limits: `workers` threads, `per_host` exchanges at once, `rate` per host and second.
- Two drivers over the same transfers: threads with a blocking transport, and, as soon as `MANY`
  flights are ready for a transport that can drive many from one thread, one such thread.
- Threads start when there is work, are daemons, and end with `close`. A process that ends without
  `close` loses its transfers and nothing else: their partial files are resumed. After a fork the
  child has an empty service of its own; what it inherited stays the parent's.
"""

from __future__ import annotations

import os
import random
import threading
import time
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from credentials.errors import FscacheError
from stager.errors import InvalidURLError
from stager.flight import Flight
from stager.jobs import checked_headers, job_key, make_job
from stager.lanes import Lanes
from stager.request import FetchRequest, Meter
from stager.retry import RetryPolicy
from stager.transfer import Finished, Job, Setup, Wait
from stager.transports.base import Exchange, Timeouts
from stager.urls import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from credentials.model import Credential
    from stager.destination import Destination, Validator
    from stager.request import Progress, State
    from stager.transports import Transports
    from stager.transports.base import MultiTransport

MANY = 8
"""Ready flights from which one thread that drives many is worth starting."""
AT_ONCE = 64
"""Exchanges under way in that thread."""
_PARTING = 2.0
"""Seconds that `close(cancel=True)` waits for threads that may hang on a silent server."""

_services: weakref.WeakSet[FetchService] = weakref.WeakSet()
_inherited: list[object] = []
"""What a forked child must neither use nor destroy: a destructor would close the parent's claims."""


class Active(NamedTuple):
    """One flight, for status pages."""

    url: str
    """Redacted."""
    host: str
    """Where its next or present exchange goes."""
    state: State
    progress: Progress
    askers: int


class FetchService:
    """Fetches URLs into a destination; a context manager that waits for its flights at the end."""

    def __init__(
        self,
        destination: Destination,
        transports: Transports,
        *,
        user_agent: str,
        now: Callable[[], float],
        credentials: Callable[[str, int | None], Credential | None] = lambda _host, _port: None,
        policy: RetryPolicy | None = None,
        timeouts: Timeouts | None = None,
        workers: int = 16,
        per_host: int = 8,
        rate: float | None = None,
        target_policy: Callable[[str], None] | None = None,
        rewrite: Callable[[str], Sequence[str]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        dice: Callable[[], float] = random.random,
    ) -> None:
        """Set up; starts no thread.

        Args:
            destination: Where the bytes go.
            transports: Who speaks which scheme.
            user_agent: What servers are told.
            now: Seconds of the Unix clock.
            credentials: The credential for a host and port, which no other host gets to see.
            policy: How often and how long to try.
            timeouts: Of one exchange.
            workers: The most threads with a blocking transport.
            per_host: The most exchanges at once with one scheme, host and port.
            rate: The most exchanges begun per second with one of them; None for no limit.
            target_policy: Called with every URL before it is asked for, redirects included; raises
                TargetRefusedError. Runs in the fetching threads and must not block.
            rewrite: The site's mirrors for a URL, in the order to ask them; none: the URL itself.
            clock: Seconds that only run forward.
            dice: Random numbers from [0, 1).
        """
        self._transports = transports
        self._rewrite = rewrite
        self._clock = clock
        self._workers = workers
        self._limits = (per_host, rate)
        self._setup = Setup(
            destination=destination,
            credentials=credentials,
            user_agent=user_agent,
            policy=policy or RetryPolicy(),
            timeouts=timeouts or Timeouts(),
            target_policy=target_policy,
            now=now,
            dice=dice,
        )
        self._begin_clean()
        _services.add(self)

    def _leave_to_parent(self) -> None:
        """Begin clean in a forked child."""
        _inherited.append((self._flights, self._lanes, self._turn, self._landed))
        self._transports.leave_to_parent()
        self._begin_clean()

    def _begin_clean(self) -> None:
        self._lock = threading.Lock()
        self._turn = threading.Condition(self._lock)
        """Told when a worker may have something to do."""
        self._landed = threading.Condition(self._lock)
        """Told when the last flight has landed."""
        self._lanes: Lanes[Flight] = Lanes(*self._limits, self._transports.drives_many)
        self._flights: dict[object, Flight] = {}
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._driving = False
        self._hungry = False
        self._closed = False

    # --- the face ----------------------------------------------------------------------------

    def submit(
        self,
        urls: str | Sequence[str],
        checksum: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        revalidate: Validator | None = None,
        convert: Callable[[str], Any] | None = None,
    ) -> FetchRequest:
        """Ask for one URL; what is wrong with it comes as the request's error.

        Args:
            urls: The URL, or the URL and its mirrors in the order to ask them.
            checksum: `algorithm:hex` that the bytes must have.
            headers: For the host of the (first) URL only.
            revalidate: Fetch only what differs from this; on "not modified" the destination's
                `touch` decides.
            convert: Applied to the path to make the result.

        Raises:
            ValueError: a header that cannot be sent.
        """
        return self._submit([(urls, checksum)], headers, revalidate, convert)[0]

    def submit_many(
        self,
        wanted: Iterable[tuple[str | Sequence[str], str | None]],
        *,
        headers: Mapping[str, str] | None = None,
        convert: Callable[[str], Any] | None = None,
    ) -> list[FetchRequest]:
        """Ask for many (URLs, checksum); arguments as in `submit`."""
        return self._submit(wanted, headers, None, convert)

    def active(self) -> list[Active]:
        """Return the flights as they are now."""
        with self._lock:
            return [
                Active(
                    redact(flight.job.home.url),
                    flight.origin[1],
                    "running" if flight.meter.running else "queued",
                    flight.meter.progress(),
                    len(flight.requests),
                )
                for flight in self._flights.values()
            ]

    def close(self, *, cancel: bool = False) -> None:
        """Let the flights land, or cancel them; then end the threads and close connections."""
        with self._lock:
            self._closed = True
            requests = [one for flight in self._flights.values() for one in flight.requests]
        if cancel:
            for request in requests:
                request.cancel()
        with self._lock:
            deadline = _PARTING if cancel else None
            self._landed.wait_for(lambda: not self._flights, deadline)
            self._turn.notify_all()
            threads = list(self._threads)
        for thread in threads:
            thread.join(deadline)
        self._transports.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(cancel=error is not None)

    # --- taking requests ---------------------------------------------------------------------

    def _submit(
        self,
        wanted: Iterable[tuple[str | Sequence[str], str | None]],
        headers: Mapping[str, str] | None,
        revalidate: Validator | None,
        convert: Callable[[str], Any] | None,
    ) -> list[FetchRequest]:
        sent = checked_headers(headers)
        schemes = self._transports.schemes
        made: list[tuple[Job | FscacheError, str | None]] = []
        for urls, checksum in wanted:
            try:
                job = make_job(urls, checksum, sent, revalidate, schemes, self._rewrite)
            except FscacheError as error:
                made.append((error, checksum))
            else:
                made.append((job, checksum))
        with self._lock:
            if self._closed:
                raise RuntimeError("this FetchService is closed")
            requests = [self._request(job, checksum, convert) for job, checksum in made]
            self._kick()
        return requests

    def _request(
        self, job: Job | FscacheError, checksum: str | None, convert: Callable[[str], Any] | None
    ) -> FetchRequest:
        if not isinstance(job, Job):
            url = job.url if isinstance(job, InvalidURLError) else ""
            failed = FetchRequest((url,), checksum, Meter(self._clock), leave=lambda _: None)
            failed.fail(job)
            return failed
        key = job_key(job)
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = Flight(key, job, self._clock)
            flight.queued = True
            self._lanes.push(flight.origin, flight)
        flight.abandon(abandoned=False)
        request = FetchRequest(
            tuple(dict.fromkeys((job.home.url, *(mirror.url for mirror in job.mirrors)))),
            checksum,
            flight.meter,
            leave=partial(self._leave, flight),
            convert=convert,
        )
        flight.requests.append(request)
        return request

    def _leave(self, flight: Flight, request: FetchRequest) -> None:
        with self._lock:
            if request not in flight.requests:
                return  # it has landed
            flight.requests.remove(request)
            if flight.requests:
                return
            flight.abandon(abandoned=True)
            if flight.queued:  # perhaps for much later: let its claim go now
                self._lanes.push(flight.origin, flight, first=True)
                self._kick()

    # --- scheduling; all under the lock ------------------------------------------------------

    def _kick(self) -> None:
        """Start or wake threads for what is ready."""
        ready = self._lanes.ready
        many, others = ready[True], ready[False]
        if many >= MANY and not self._driving:
            self._driving = True
            self._start(self._drive)
        if not self._driving:
            others += many
        elif many and self._hungry:
            self._hungry = False
            self._transports.many().wake()
        if self._lanes.next_due() is not None:
            others += 1  # somebody has to look at the clock
        if self._idle:
            self._turn.notify(others)
        for _ in range(min(others - self._idle, self._workers - len(self._threads))):
            self._start(self._work)

    def _start(self, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, name="stager", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _pop(self, kinds: tuple[bool, ...]) -> Flight | None:
        self._lanes.wake(self._clock())
        while (taken := self._lanes.pop(self._clock(), kinds)) is not None:
            origin, flight = taken
            if flight.queued:
                flight.queued = False
                flight.slot = origin
                return flight
            self._lanes.release(origin)  # it stood in two queues, as `_leave` lets it
        return None

    def _requeue(self, flight: Flight, seconds: float = 0.0, *, first: bool = False) -> None:
        flight.queued = True
        if seconds:
            self._lanes.push_later(self._clock() + seconds, flight.origin, flight)
        else:
            self._lanes.push(flight.origin, flight, first=first)

    # --- the drivers -------------------------------------------------------------------------

    def _work(self) -> None:
        """Run one exchange after the other; the body of a worker thread."""
        while (flight := self._wait_for_flight()) is not None:
            exchange = self._prepare(flight)
            if exchange is None:
                continue
            failure: Exception | None = None
            try:
                self._transports.blocking(flight.origin[0]).fetch(exchange.ask, exchange.sink)
            except Exception as error:  # noqa: BLE001 - judged by the transfer, whatever it is
                failure = error
            exchange.on_end(failure)
            del flight, exchange, failure  # a thread that waits must hold nothing alive

    def _wait_for_flight(self) -> Flight | None:
        with self._lock:
            while True:
                flight = self._pop((False,) if self._driving else (False, True))
                if flight is not None:
                    return flight
                if self._closed and not self._flights:
                    self._threads.discard(threading.current_thread())
                    return None
                due = self._lanes.next_due()
                self._idle += 1
                try:
                    self._turn.wait(None if due is None else max(0.0, due - self._clock()))
                finally:
                    self._idle -= 1
                self._kick()

    def _drive(self) -> None:
        """Run many exchanges at once; the body of the driving thread."""
        try:
            self._transports.many().drive(self._next_exchange, AT_ONCE)
        finally:
            with self._lock:
                self._driving = False
                self._threads.discard(threading.current_thread())
                self._kick()

    def _next_exchange(self, may_block: bool) -> Exchange | None:  # noqa: ARG002 - see `drive`
        """Return an exchange for the driving thread, None for none now.

        When it may block there is nothing under way, and the thread is not worth keeping: what is
        due later is left to the workers, or to the next such thread.
        """
        while True:
            with self._lock:
                flight = self._pop((True,))
                if flight is None:
                    self._hungry = True
                    return None
            exchange = self._prepare(flight)
            if exchange is not None:
                return exchange

    # --- flights -----------------------------------------------------------------------------

    def _prepare(self, flight: Flight) -> Exchange | None:
        """Return the flight's next exchange if it can begin now, in the slot that is held."""
        step = flight.advance(self._setup, self._after)
        if isinstance(step, Exchange) and flight.slot == flight.origin:
            return step
        self._go_on(flight, step)
        return None

    def _after(self, flight: Flight) -> None:
        """Take a flight up again at the end of an exchange."""
        self._go_on(flight, flight.advance(self._setup, self._after))

    def _go_on(self, flight: Flight, step: Exchange | Wait | Finished) -> None:
        with self._lock:
            if flight.slot is not None:
                self._lanes.release(flight.slot)
                flight.slot = None
            if isinstance(step, Finished):
                if step.path is None and step.error is None and flight.requests:
                    flight.begin_anew()  # somebody asked again while it was being given up
                    self._requeue(flight)
                    step = None
                else:
                    requests = self._land(flight)
            elif isinstance(step, Wait):
                self._requeue(flight, step.seconds)
            else:
                flight.exchange = step
                self._requeue(flight, first=True)
            self._kick()
        if not isinstance(step, Finished):
            return
        for request in requests:
            if step.path is not None:
                request.deliver(step.path)
            elif step.error is not None:
                request.fail(step.error)

    def _land(self, flight: Flight) -> list[FetchRequest]:
        del self._flights[flight.key]
        flight.meter.stop()
        requests, flight.requests = flight.requests, []
        if not self._flights:
            self._landed.notify_all()
            if self._closed:
                self._turn.notify_all()
        return requests


def _after_fork() -> None:
    for service in list(_services):
        service._leave_to_parent()  # noqa: SLF001 - one module


os.register_at_fork(after_in_child=_after_fork)
