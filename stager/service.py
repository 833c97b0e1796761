"""`FetchService`: many URLs at once, each of them only once.

- The same URL asked for by many is one flight; it is given up when the last asker cancels. Over
  processes the destination's claim does the same: a flight that finds its URL claimed looks again
  after 2 ms, growing to 100 ms, while other flights go on.
- One place for limits: `workers` threads, `per_host` exchanges at once, `rate` per host and second.
- Two drivers over the same transfers: threads with a blocking transport, and, as soon as enough
  flights are ready for a transport that can drive many from one thread, one such thread.
- Threads start when there is work, are daemons, and end with `close`. A process that ends without
  `close` loses its transfers and nothing else: their partial files are resumed. After a fork the
  child has an empty service of its own; what it inherited stays the parent's.
"""

from __future__ import annotations

import os
import random
import time
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from credentials.errors import FscacheError
from stager.errors import InvalidURLError
from stager.jobs import checked_headers, make_job
from stager.request import FetchRequest, Meter
from stager.retry import RetryPolicy
from stager.scheduler import Order, Scheduler
from stager.steps import Setup
from stager.transports.base import Timeouts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from credentials.model import Credential
    from stager.destination import Destination, Validator
    from stager.lanes import Origin
    from stager.scheduler import Active
    from stager.transports import Transports

_services: weakref.WeakSet[FetchService] = weakref.WeakSet()
_inherited: list[Scheduler] = []
"""What a forked child must neither use nor destroy: a destructor would close the parent's claims."""


class FetchService:
    """Fetches URLs into a destination; a context manager that waits for its flights at the end."""

    def __init__(
        self,
        destination: Destination,
        transports: Transports,
        *,
        user_agent: str,
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
        setup = Setup(
            destination=destination,
            credentials=credentials,
            user_agent=user_agent,
            policy=policy or RetryPolicy(),
            timeouts=timeouts or Timeouts(),
            target_policy=target_policy,
            dice=dice,
        )
        self._make_scheduler = partial(
            Scheduler, setup, transports, clock, workers=workers, per_host=per_host, rate=rate
        )
        self._scheduler = self._make_scheduler()
        _services.add(self)

    def submit(
        self,
        urls: str | Sequence[str],
        checksum: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        credential: Credential | None = None,
        revalidate: Validator | None = None,
        convert: Callable[[str], Any] | None = None,
    ) -> FetchRequest:
        """Ask for one URL; what is wrong with it comes as the request's error.

        Args:
            urls: The URL, or the URL and its mirrors in the order to ask them.
            checksum: `algorithm:hex` that the bytes must have.
            headers: For the host of the (first) URL only.
            credential: For the host of the (first) URL, before all others.
            revalidate: Fetch only what differs from this; on "not modified" the destination's
                `touch` decides.
            convert: Applied to the path to make the result.

        Raises:
            ValueError: a header that cannot be sent.
        """
        wanted = [(urls, checksum)]
        return self._submit(wanted, headers, credential, revalidate, convert)[0]

    def submit_many(
        self,
        wanted: Iterable[tuple[str | Sequence[str], str | None]],
        *,
        headers: Mapping[str, str] | None = None,
        credential: Credential | None = None,
        convert: Callable[[str], Any] | None = None,
    ) -> list[FetchRequest]:
        """Ask for many (URLs, checksum), in one turn; arguments as in `submit`."""
        return self._submit(wanted, headers, credential, None, convert)

    def limit(self, origin: Origin, count: int | None) -> None:
        """From now on have up to `count` exchanges at once with this host, None: `per_host`."""
        self._scheduler.limit(origin, count)

    def active(self) -> list[Active]:
        """Return the flights as they are now."""
        return self._scheduler.active()

    def close(self, *, cancel: bool = False) -> None:
        """Let the flights land, or cancel them; then end the threads and close connections."""
        self._scheduler.close(cancel=cancel)
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

    def _submit(
        self,
        wanted: Iterable[tuple[str | Sequence[str], str | None]],
        headers: Mapping[str, str] | None,
        credential: Credential | None,
        revalidate: Validator | None,
        convert: Callable[[str], Any] | None,
    ) -> list[FetchRequest]:
        sent = checked_headers(headers)
        schemes = self._transports.schemes
        requests: list[FetchRequest | None] = []
        orders: list[Order] = []
        for urls, checksum in wanted:
            try:
                job = make_job(
                    urls,
                    checksum,
                    headers=sent,
                    credential=credential,
                    revalidate=revalidate,
                    schemes=schemes,
                    rewrite=self._rewrite,
                )
            except FscacheError as error:
                requests.append(self._refused(error, checksum))
            else:
                requests.append(None)
                orders.append(Order(job, checksum, convert))
        added = iter(self._scheduler.add(orders))
        return [next(added) if request is None else request for request in requests]

    def _refused(self, error: FscacheError, checksum: str | None) -> FetchRequest:
        url = error.url if isinstance(error, InvalidURLError) else ""
        refused = FetchRequest((url,), checksum, Meter(self._clock), leave=lambda _: None)
        refused.fail(error)
        return refused

    def _leave_to_parent(self) -> None:
        """Begin clean in a forked child."""
        _inherited.append(self._scheduler)
        self._transports.leave_to_parent()
        self._scheduler = self._make_scheduler()


def _after_fork() -> None:
    for service in list(_services):
        service._leave_to_parent()  # noqa: SLF001 - one module


os.register_at_fork(after_in_child=_after_fork)
