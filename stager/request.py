"""`FetchRequest`: what a caller holds while a URL is on its way.

A `concurrent.futures.Future` in every respect (`result`, `wait`, `as_completed`, callbacks,
`asyncio.wrap_future`), with one difference: it can be cancelled while it runs. For that it stays
PENDING inside until it ends, so that the library's `cancel` lets waiters go at once, and says
`running` itself. The transfer notices at its next bytes, and is given up only when nobody else asks
for the same URL.

Callbacks run in the thread that carries the bytes: they should return quickly.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, InvalidStateError
from math import inf
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from stager.urls import redact

if TYPE_CHECKING:
    from collections.abc import Callable

State = Literal["queued", "running", "done", "failed", "cancelled"]

_cancelling = threading.Lock()


class Progress(NamedTuple):
    """How far a transfer is."""

    done: int
    """Bytes of the body that are here, those kept from an earlier attempt included; as long as there
    are none, those that a data server has which fetches for us."""
    total: int | None
    """Bytes of the whole body; None while the server has not said."""
    rate: float
    """Bytes per second that came over the network since the first of them."""


class Meter:
    """The counters of one transfer, shared by all requests that wait for it."""

    __slots__ = (
        "_clock",
        "ahead",
        "began",
        "done",
        "elsewhere",
        "ended",
        "received",
        "running",
        "total",
    )

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.running = False
        self.ahead: Progress | None = None
        """Of a server that fetches for us, and has sent nothing yet."""
        self.elsewhere = False
        """Whether somebody else has the claim; at the end, whether it was they who brought the bytes."""
        self.done = 0
        self.total: int | None = None
        self.received = 0
        self.began: float | None = None
        self.ended: float | None = None

    def start(self) -> None:
        """Note that bytes begin to come."""
        if self.began is None:
            self.began = self._clock()

    def stop(self) -> None:
        """Note that no more bytes come."""
        self.running = False
        if self.began is not None and self.ended is None:
            self.ended = self._clock()

    def progress(self) -> Progress:
        """Return the counters as they are now."""
        if self.began is None:
            return self.ahead or Progress(self.done, self.total, 0.0)
        seconds = (self._clock() if self.ended is None else self.ended) - self.began
        return Progress(self.done, self.total, self.received / seconds if seconds > 0 else 0.0)


class FetchRequest(Future[Any]):
    """One asker's claim on the outcome; its result is the path (or what `convert` makes of it)."""

    def __init__(
        self,
        urls: tuple[str, ...],
        checksum: str | None,
        meter: Meter,
        *,
        leave: Callable[[FetchRequest], None],
        convert: Callable[[str], Any] | None = None,
    ) -> None:
        """Wait for a transfer.

        Args:
            urls: The URL asked for and its mirrors, without user information.
            checksum: As the caller gave it.
            meter: Of the transfer.
            leave: Called once when this request is cancelled.
            convert: Applied to the path.
        """
        super().__init__()
        self.urls = urls
        self.checksum = checksum
        self._meter = meter
        self._leave = leave
        self._convert = convert
        self._left = False

    @property
    def state(self) -> State:
        """One of queued, running, done, failed, cancelled."""
        if not self.done():
            return "running" if self._meter.running else "queued"
        if self.cancelled():
            return "cancelled"
        return "done" if self.exception() is None else "failed"

    @property
    def progress(self) -> Progress:
        """Bytes done, bytes in all (None: not known), bytes per second."""
        return self._meter.progress()

    @property
    def elsewhere(self) -> bool:
        """Whether another process (or another fetch in this one) has the claim on the URL.

        Once this request is done: whether the other has fetched it, and no byte came to us.
        """
        return self._meter.elsewhere

    def running(self) -> bool:
        """Tell whether bytes are on their way."""
        return self.state == "running"

    def result(self, timeout: float | None = None) -> Any:
        """Return the path; raise what the transfer failed with, or TimeoutError after `timeout` s."""
        try:
            return super().result(None if timeout == inf else timeout)  # no lock waits for inf s
        except TimeoutError:
            if self.done():
                raise  # it may be the outcome
            why = f"{redact(self.urls[0])}: still {self.state} after {timeout} s"
            raise TimeoutError(why) from None

    def cancel(self) -> bool:
        """Give up waiting, also while running; False when it has already ended otherwise."""
        if not super().cancel():
            return False
        with _cancelling:
            first, self._left = not self._left, True
        if first:
            self.set_running_or_notify_cancel()  # which is what tells wait() and as_completed()
            self._leave(self)
        return True

    def follow(self, other: FetchRequest) -> None:
        """From here on be as far as another request is, and end as it does; cancelled, cancel it."""
        self._meter = other._meter

        def leave(_: FetchRequest) -> None:
            other.cancel()

        self._leave = leave
        if self.cancelled():
            other.cancel()

        def end(ended: Future[Any]) -> None:
            if ended.cancelled():
                self.cancel()
            elif (error := ended.exception()) is not None:
                self.fail(error)
            else:
                self._succeed(ended.result())  # the other has converted it

        other.add_done_callback(end)

    def deliver(self, path: str) -> None:
        """End with a path, unless cancelled meanwhile."""
        try:
            value = path if self._convert is None else self._convert(path)
        except Exception as error:  # noqa: BLE001 - whatever it is, the waiter must learn of it
            self.fail(error)
            return
        self._succeed(value)

    def _succeed(self, value: object) -> None:
        try:
            self.set_result(value)
        except InvalidStateError:
            return
        self._leave = _ended

    def fail(self, error: BaseException) -> None:
        """End with an error, unless cancelled meanwhile."""
        try:
            self.set_exception(error)
        except InvalidStateError:
            return
        self._leave = _ended

    def __repr__(self) -> str:
        return f"<FetchRequest {self.state} {redact(self.urls[0])}>"


def _ended(_: FetchRequest) -> None:
    """Stand in for what a request was left by: whoever keeps it keeps nothing of its transfer alive."""
