"""The threads that run exchanges: workers, one exchange each, and one that drives many at once.

They start when there is work for them, take what the lanes give them, and stay until they are dismissed.

One thread that drives many costs half the processor time of as many threads, but what it does beside, to
claim a URL and to commit its file, it does for one at a time. Where the file system makes it wait (NFS
and the like: 0.3 to 1 ms for each of ten names that are made or removed) it hands the rest over to the
workers: with 1 ms, 70 small files a second become 700; on tmpfs, 2,400 would become 1,600.

Everything here lies under the scheduler's lock, which a method takes itself unless it says otherwise; an
exchange runs outside of it. What becomes of a flight afterwards is the scheduler's.
"""

from __future__ import annotations

import logging
import threading
from functools import partial
from time import thread_time
from typing import TYPE_CHECKING

from stager.transports.base import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from stager.flight import Flight
    from stager.lanes import Lanes
    from stager.transports import Transports
    from stager.transports.base import Transport

MANY = 8
"""Ready flights from which one thread that drives many is worth starting."""
AT_ONCE = 64
"""Exchanges under way in that thread."""
LONG = 0.002
"""Seconds without the processor, for a file's claim and commit, from which one waits for the file system.
Where it takes the processor instead (ext4 with 2 ms a file) threads make it a tenth slower."""
_WINDOW = 16
"""Files over which that is averaged."""
_OUTLIER = 0.008
"""Seconds that one of them counts for at most: a keyring may have been asked, the processor been busy."""
_AGAIN = 60.0
"""Seconds until driving many is tried again."""


class Drivers:
    """The threads of one scheduler."""

    def __init__(
        self,
        lock: threading.Lock,
        lanes: Lanes[Flight],
        transports: Transports,
        clock: Callable[[], float],
        prepare: Callable[[Flight], Exchange | None],
        *,
        workers: int,
    ) -> None:
        """Start no thread.

        Args:
            lock: The scheduler's.
            lanes: What there is to do.
            transports: Who does it.
            clock: Of the lanes.
            prepare: Returns the exchange of a flight that was taken, if it can begin now.
            workers: See `workers`.
        """
        self.workers = workers
        """The most threads; changed under the lock."""
        self._lock = lock
        self._turn = threading.Condition(lock)
        """Told when a worker may have something to do."""
        self._lanes = lanes
        self._transports = transports
        self._clock = clock
        self._prepare = prepare
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._watch: float | None = None
        """The moment for which an idle worker waits."""
        self._may_drive = True
        self._driving = False
        self._waited = 0.0
        self._waits: list[float] = []
        self._drive_from = float("-inf")
        """The moment from which many are driven: a while after it was handed over."""
        self._hungry = False
        self._dismissed = False

    # --- under the lock ----------------------------------------------------------------------

    def kick(self) -> None:
        """Start or wake threads for what can be taken."""
        lanes = self._lanes
        wanted, many = lanes.takeable[False], lanes.takeable[True]
        startable = lanes.ready[True] >= MANY and self._may_drive and lanes.has_open(many=True)
        if startable and not self._driving and not self._is_handed_over():
            self._driving = True
            self._start(self._drive)
        if not self._takes_many():
            wanted += many
        elif many and self._hungry:
            self._hungry = False
            self._transports.many().wake()
        if self._is_unwatched():
            wanted += 1
        if self._idle:
            self._turn.notify(wanted)
        for _ in range(min(wanted - self._idle, self.workers - len(self._threads))):
            self._start(self._work)

    def wake(self) -> None:
        """Have the one that drives many look at what it has under way."""
        if self._driving:
            self._transports.many().wake()

    def free(self, flight: Flight) -> None:
        """Give the slot back that a flight holds, if it holds one."""
        if flight.slot is not None:
            self._lanes.release(flight.slot)
            flight.slot = None

    def dismiss(self) -> None:
        """Have the threads end: no flight is left, and none will come."""
        self._dismissed = True
        self._turn.notify_all()

    def threads(self) -> list[threading.Thread]:
        """Return those that there are."""
        return list(self._threads)

    def _is_unwatched(self) -> bool:
        """Tell whether no idle worker waits for the next moment at which something is due."""
        due = self._lanes.next_due()
        return due is not None and (self._watch is None or due < self._watch)

    def _is_handed_over(self) -> bool:
        return self._clock() < self._drive_from

    def _takes_many(self) -> bool:
        """Tell whether a thread drives many, and takes more: not one that has handed over."""
        return self._driving and not self._is_handed_over()

    def _start(self, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, name="stager", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _pop(self, kinds: tuple[bool, ...]) -> Flight | None:
        if self._lanes.wake(self._clock()):
            self.kick()
        while (taken := self._lanes.pop(self._clock(), kinds)) is not None:
            origin, flight = taken
            if flight.queued:
                flight.queued = False
                flight.slot = origin
                return flight
            self._lanes.release(origin)  # given up while it was queued
        return None

    # --- the threads' own --------------------------------------------------------------------

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
            self._transport(flight.origin[0]).fetch(exchange.ask, exchange.sink)
        except Exception as error:  # noqa: BLE001 - judged by the transfer, whatever it is
            failure = error
        with self._lock:  # while the file is committed another may come from its host
            self.free(flight)
            self.kick()
        exchange.on_end(failure)

    def _transport(self, scheme: str) -> Transport:
        """Return what a worker fetches with: what many were driven with, where they were handed over."""
        if self._transports.drives_many(scheme) and self._is_handed_over():
            return self._transports.many()
        return self._transports.blocking(scheme)

    def _wait_for_flight(self) -> Flight | None:
        with self._lock:
            while True:
                flight = self._pop((False,) if self._takes_many() else (False, True))
                if flight is not None:
                    if self._is_unwatched():
                        self.kick()  # who watched the clock has work now
                    return flight
                if self._dismissed:
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
                self.kick()

    def _next_exchange(self, may_block: bool) -> Exchange | None:  # noqa: ARG002 - see `drive`
        """Return an exchange for the driving thread, None for none now.

        When it may block there is nothing under way, and the thread is not worth keeping: what is
        due later is left to the workers, or to the next such thread.
        """
        while True:
            with self._lock:
                flight = self._pop((True,)) if self._takes_many() else None
                if flight is None:
                    if self._is_unwatched():
                        self.kick()
                    self._hungry = True
                    return None
            idle = self._off_processor()
            exchange = self._prepare(flight)
            self._waited += self._off_processor() - idle
            if exchange is not None:
                return Exchange(exchange.ask, exchange.sink, partial(self._ended, exchange.on_end))

    def _off_processor(self) -> float:
        """Return seconds that grow while this thread has not got the processor."""
        return self._clock() - thread_time()

    def _ended(self, on_end: Callable[[Exception | None], None], failure: Exception | None) -> None:
        """Pass on that an exchange has ended; hand over where files make one wait again and again."""
        idle = self._off_processor()
        on_end(failure)
        self._waits.append(min(self._waited + self._off_processor() - idle, _OUTLIER))
        self._waited = 0.0
        if len(self._waits) < _WINDOW:
            return
        long = sum(self._waits) > _WINDOW * LONG
        self._waits.clear()
        if not long:
            return
        with self._lock:
            self._drive_from = self._clock() + _AGAIN
            self.kick()
