"""One transfer and everyone who waits for it: the unit the service schedules.

A flight goes: queued → claim taken (or waiting for whoever has it) → exchanges → landed. Its methods
that touch the destination run outside the service's lock, by the one thread that holds the flight.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from stager.request import Meter
from stager.steps import Finished, Wait
from stager.transfer import Transfer

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from stager.jobs import Job
    from stager.lanes import Origin
    from stager.request import FetchRequest
    from stager.steps import Setup
    from stager.transports.base import Exchange

FIRST_LOOK = 0.002
"""Seconds until somebody else's fetch is looked at again: small files take about that long."""
LAST_LOOK = 0.1
"""Seconds that the pause grows to. A look costs some 30 µs, so eight waiting threads cost nothing;
no file system tells us that a lock on another node has been given up."""


class Flight:
    """One transfer."""

    __slots__ = (
        "_look",
        "_transfer",
        "exchange",
        "job",
        "key",
        "meter",
        "queued",
        "requests",
        "slot",
    )

    def __init__(self, key: Hashable, job: Job, clock: Callable[[], float]) -> None:
        self.key = key
        self.job = job
        self.meter = Meter(clock)
        self.requests: list[FetchRequest] = []
        """Who waits; changed under the service's lock."""
        self.queued = False
        """Whether it stands in a queue, now or for later."""
        self.slot: Origin | None = None
        """The host whose slot it holds."""
        self.exchange: Exchange | None = None
        """What to do next, where that is known."""
        self._transfer: Transfer | None = None
        self._look = FIRST_LOOK

    @property
    def origin(self) -> Origin:
        """The host that its next exchange goes to."""
        return (self.job.mirrors[0] if self._transfer is None else self._transfer.target).origin

    def abandon(self, *, abandoned: bool) -> None:
        """Say that nobody waits any more, or that somebody does again."""
        if self._transfer is not None:
            self._transfer.abandoned = abandoned

    def advance(self, setup: Setup, after: Callable[[Flight], None]) -> Exchange | Wait | Finished:
        """Return what to do next; takes the claim first where that has not been done."""
        if self.exchange is not None:
            exchange, self.exchange = self.exchange, None
            return exchange
        if self._transfer is None:
            try:
                outcome = self._take_claim(setup, after)
            except Exception as error:  # noqa: BLE001 - the waiters must learn of it, whatever it is
                return Finished(error=error)
            if outcome is not None:
                return outcome
        assert self._transfer is not None  # noqa: S101 - for the type checker: made just above
        return self._transfer.next_exchange()

    def forget(self) -> None:
        """Forget a transfer that has ended; the next `advance` would begin another.

        It knows its flight: kept, the two would wait for the garbage collector.
        """
        self._transfer = None
        self.exchange = None

    def _take_claim(self, setup: Setup, after: Callable[[Flight], None]) -> Wait | Finished | None:
        if not self.requests:
            return Finished()
        destination, job = setup.destination, self.job
        url = job.home.url
        checksum = None if job.checksum is None else job.checksum.pair
        looked_before = self._look > FIRST_LOOK
        if looked_before and job.revalidate is None:
            path = destination.lookup(url, checksum)
            if path is not None:
                return self._brought(path)
        claim = destination.claim(url)
        if claim is None:
            self.meter.elsewhere = True
            pause, self._look = self._look, min(2 * self._look, LAST_LOOK)
            return Wait(pause)
        try:
            # Somebody may have finished between the caller's look and our claim.
            path = None if job.revalidate is not None else destination.lookup(url, checksum)
            if path is None:
                self._transfer = Transfer(job, claim, setup, self.meter, partial(after, self))
                self.meter.elsewhere = False
                self.meter.running = True
                return None
        except BaseException:
            claim.release(keep=True)
            raise
        claim.release(keep=False)
        return self._brought(path)

    def _brought(self, path: str) -> Finished:
        """End with what somebody else has fetched."""
        meter = self.meter
        meter.elsewhere = True
        with suppress(OSError):  # purged since it was seen: no counter is worth an error
            meter.done = meter.total = os.stat(path).st_size
        return Finished(path)
