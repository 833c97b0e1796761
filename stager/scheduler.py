"""Threads and flights: who runs which exchange when.

All state lies under one lock, which is held for bookkeeping only: what touches the network, the
destination or a caller's callback runs outside it, in the thread that holds the flight.
"""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from stager.flight import Flight
from stager.jobs import job_key
from stager.lanes import Lanes
from stager.request import FetchRequest
from stager.transfer import Finished, Wait
from stager.transports.base import Exchange
from stager.urls import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stager.jobs import Job
    from stager.request import Progress, State
    from stager.transfer import Setup
    from stager.transports import Transports

MANY = 8
"""Ready flights from which one thread that drives many is worth starting."""
AT_ONCE = 64
"""Exchanges under way in that thread."""
_PARTING = 2.0
"""Seconds that `close(cancel=True)` waits for all threads that may hang on a silent server."""


class Order(NamedTuple):
    """One asker's part in a job."""

    job: Job
    checksum: str | None
    """As the asker wrote it."""
    convert: Callable[[str], Any] | None


class Active(NamedTuple):
    """One flight, for status pages."""

    url: str
    """Redacted."""
    host: str
    """Where its next or present exchange goes."""
    state: State
    progress: Progress
    askers: int


class Scheduler:
    """Runs flights until all have landed."""

    def __init__(
        self,
        setup: Setup,
        transports: Transports,
        clock: Callable[[], float],
        *,
        workers: int,
        per_host: int,
        rate: float | None,
    ) -> None:
        """Start empty; arguments as in `FetchService`."""
        self._setup = setup
        self._transports = transports
        self._clock = clock
        self._workers = workers
        self._lock = threading.Lock()
        self._turn = threading.Condition(self._lock)
        """Told when a worker may have something to do."""
        self._landed = threading.Condition(self._lock)
        """Told when the last flight has landed."""
        self._lanes: Lanes[Flight] = Lanes(per_host, rate, transports.drives_many)
        self._flights: dict[object, Flight] = {}
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._watch: float | None = None
        """The moment for which an idle worker waits."""
        self._may_drive = True
        self._driving = False
        self._hungry = False
        self._closed = False

    # --- the face ----------------------------------------------------------------------------

    def add(self, orders: Iterable[Order]) -> list[FetchRequest]:
        """Return a request for each order, of a new flight or of one that is under way."""
        with self._lock:
            if self._closed:
                raise RuntimeError("this FetchService is closed")
            requests = [self._request(*order) for order in orders]
            self._kick()
        return requests

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

    def close(self, *, cancel: bool) -> None:
        """Let the flights land, or cancel them; then end the threads."""
        with self._lock:
            self._closed = True
            requests = [one for flight in self._flights.values() for one in flight.requests]
        if cancel:
            for request in requests:
                request.cancel()
        end = self._clock() + _PARTING if cancel else None
        with self._lock:
            self._landed.wait_for(lambda: not self._flights, _PARTING if cancel else None)
            self._turn.notify_all()
            threads = list(self._threads)
        for thread in threads:
            thread.join(None if end is None else max(0.0, end - self._clock()))

    # --- requests ----------------------------------------------------------------------------

    def _request(
        self, job: Job, checksum: str | None, convert: Callable[[str], Any] | None
    ) -> FetchRequest:
        key = job_key(job)
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = Flight(key, job, self._clock)
            self._requeue(flight)
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
            if not flight.queued:
                if self._driving:
                    self._transports.many().wake()  # its server may be silent
                return  # the thread that has it will notice
            flight.queued = False
            flight.exchange = None
        # Nobody has it: end it here, not when its turn comes, so that its claim is free at once.
        self._after(flight)

    # --- scheduling; all under the lock ------------------------------------------------------

    def _kick(self) -> None:
        """Start or wake threads for what can be taken."""
        lanes = self._lanes
        wanted, many = lanes.takeable[False], lanes.takeable[True]
        startable = lanes.ready[True] >= MANY and self._may_drive and lanes.has_open(many=True)
        if startable and not self._driving:
            self._driving = True
            self._start(self._drive)
        if not self._driving:
            wanted += many
        elif many and self._hungry:
            self._hungry = False
            self._transports.many().wake()
        if self._is_unwatched():
            wanted += 1
        if self._idle:
            self._turn.notify(wanted)
        for _ in range(min(wanted - self._idle, self._workers - len(self._threads))):
            self._start(self._work)

    def _is_unwatched(self) -> bool:
        """Tell whether no idle worker waits for the next moment at which something is due."""
        due = self._lanes.next_due()
        return due is not None and (self._watch is None or due < self._watch)

    def _start(self, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, name="stager", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _pop(self, kinds: tuple[bool, ...]) -> Flight | None:
        if self._lanes.wake(self._clock()):
            self._kick()
        while (taken := self._lanes.pop(self._clock(), kinds)) is not None:
            origin, flight = taken
            if flight.queued:
                flight.queued = False
                flight.slot = origin
                return flight
            self._lanes.release(origin)  # given up while it was queued
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
            self._fetch(flight)
            del flight  # a thread that waits must keep nothing alive

    def _fetch(self, flight: Flight) -> None:
        exchange = self._prepare(flight)
        if exchange is None:
            return
        failure: Exception | None = None
        try:
            self._transports.blocking(flight.origin[0]).fetch(exchange.ask, exchange.sink)
        except Exception as error:  # noqa: BLE001 - judged by the transfer, whatever it is
            failure = error
        exchange.on_end(failure)

    def _wait_for_flight(self) -> Flight | None:
        with self._lock:
            while True:
                flight = self._pop((False,) if self._driving else (False, True))
                if flight is not None:
                    if self._is_unwatched():
                        self._kick()  # who watched the clock has work now
                    return flight
                if self._closed and not self._flights:
                    self._threads.discard(threading.current_thread())
                    return None
                self._idle += 1
                self._wait()
                self._idle -= 1

    def _wait(self) -> None:
        """Wait to be called; one of those who wait watches the clock."""
        if not self._is_unwatched():
            self._turn.wait()
            return
        due = self._watch = self._lanes.next_due() or 0.0
        self._turn.wait(max(0.0, due - self._clock()))
        if self._watch == due:
            self._watch = None

    def _drive(self) -> None:
        """Run many exchanges at once; the body of the driving thread."""
        try:
            self._transports.many().drive(self._next_exchange, AT_ONCE)
        except Exception:
            # A pycurl that does not load, or a fault: without it all is slower, and works.
            self._may_drive = False
            logging.getLogger("stager").exception(
                "cannot drive many at once; going on with threads"
            )
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
                    if self._is_unwatched():
                        self._kick()
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
        landed: list[FetchRequest] = []
        with self._lock:
            if flight.slot is not None:
                self._lanes.release(flight.slot)
                flight.slot = None
            if isinstance(step, Exchange):
                flight.exchange = step
                self._requeue(flight, first=True)
            elif isinstance(step, Wait):
                self._requeue(flight, step.seconds)
            elif step.path is None and step.error is None and flight.requests:
                flight.begin_anew()  # somebody asked again while it was being given up
                self._requeue(flight)
            else:
                landed = self._land(flight)
            self._kick()
        if isinstance(step, Finished):
            for request in landed:
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
