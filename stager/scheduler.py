"""Flights and who waits for them: what is asked for becomes a flight, goes on, and lands.

All state, also that of the threads (`drivers`), lies under one lock, which is held for bookkeeping
only: what touches the network, the destination or a caller's callback runs outside it, in the thread
that holds the flight.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from stager.drivers import Drivers
from stager.flight import Flight
from stager.jobs import job_key
from stager.lanes import Lanes
from stager.request import FetchRequest
from stager.steps import Finished, Wait
from stager.transports.base import Exchange
from stager.urls import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stager.jobs import Job
    from stager.lanes import Origin
    from stager.request import Progress, State
    from stager.steps import Setup
    from stager.transports import Transports

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
        self._clock = clock
        self._lock = threading.Lock()
        self._landed = threading.Condition(self._lock)
        """Told when the last flight has landed."""
        self._lanes: Lanes[Flight] = Lanes(per_host, rate, transports.drives_many)
        self._flights: dict[object, Flight] = {}
        self._drivers = Drivers(
            self._lock, self._lanes, transports, clock, self._prepare, workers=workers
        )
        self._closed = False

    # --- the face ----------------------------------------------------------------------------

    def add(self, orders: Iterable[Order]) -> list[FetchRequest]:
        """Return a request for each order, of a new flight or of one that is under way."""
        with self._lock:
            if self._closed:
                raise RuntimeError("this FetchService is closed")
            requests = [self._request(*order) for order in orders]
            self._drivers.kick()
        return requests

    def limit(self, origin: Origin, count: int | None) -> None:
        """Set a limit of exchanges at once for one host, None for that of all."""
        with self._lock:
            self._lanes.limit(origin, count)
            self._drivers.kick()

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
            if not self._flights:
                self._drivers.dismiss()
            threads = self._drivers.threads()
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
                self._drivers.wake()  # its server may be silent
                return  # the thread that has it will notice
            flight.queued = False
            flight.exchange = None
        # Nobody has it: end it here, not when its turn comes, so that its claim is free at once.
        self._after(flight)

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
            self._drivers.free(flight)
            if isinstance(step, Exchange):
                flight.exchange = step
                self._requeue(flight, first=True)
            elif isinstance(step, Wait):
                self._requeue(flight, step.seconds)
            elif step.path is None and step.error is None and flight.requests:
                flight.forget()  # somebody asked again while it was being given up
                self._requeue(flight)
            else:
                landed = self._land(flight)
            self._drivers.kick()
        if isinstance(step, Finished):
            for request in landed:
                if step.path is not None:
                    request.deliver(step.path)
                elif step.error is not None:
                    request.fail(step.error)

    def _requeue(self, flight: Flight, seconds: float = 0.0, *, first: bool = False) -> None:
        flight.queued = True
        if seconds:
            self._lanes.push_later(self._clock() + seconds, flight.origin, flight)
        else:
            self._lanes.push(flight.origin, flight, first=first)

    def _land(self, flight: Flight) -> list[FetchRequest]:
        del self._flights[flight.key]
        flight.forget()
        flight.meter.stop()
        requests, flight.requests = flight.requests, []
        if not self._flights:
            self._landed.notify_all()
            if self._closed:
                self._drivers.dismiss()
        return requests
