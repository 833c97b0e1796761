"""What a transfer's servers answer, as the transport brings it: heads judged, bytes on into the body.

The sink of all exchanges of one transfer. What an answer leads to is for `transfer` to say, once its
exchange has ended; nothing of it outlives `expect`, but for what is in the body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stager import heads
from stager.checks import promises

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stager.body import Body
    from stager.checks import Promise
    from stager.request import Meter, Progress
    from stager.transports.base import Head


class AbandonedError(Exception):
    """Raised into the transport when nobody waits for the transfer any more; never leaves it."""


class Reception:
    """Takes the answers of one transfer; a `Sink`."""

    def __init__(self, body: Body, meter: Meter, checksum: Promise | None) -> None:
        """Take bytes into `body`; `checksum` is what the caller promises of them."""
        self.abandoned = False
        """Set it (from any thread) to end the exchange at its next bytes."""
        self.answer: heads.Answer | None = None
        """What the head means; None while none has come."""
        self.headers: Mapping[str, str] = {}
        self.promises: list[Promise] = []
        """All that is promised of the body's bytes."""
        self._body = body
        self._meter = meter
        self._checksum = checksum
        self._source = ""
        self._asked_from: int | None = None
        self._conditional = False

    def expect(self, source: str, asked_from: int | None, *, conditional: bool) -> None:
        """Take the answer of another exchange.

        Args:
            source: See `Validator.source`.
            asked_from: The first byte asked for, None for all.
            conditional: Whether it may be that nothing has changed.
        """
        self.answer = None
        self._source = source
        self._asked_from = asked_from
        self._conditional = conditional

    def on_wait(self, progress: Progress) -> None:
        """Take note of how far a server is that fetches for us."""
        self.on_wake()
        self._meter.ahead = progress

    def on_head(self, head: Head) -> bool:
        """Take the head of an answer; False where its body is not wanted."""
        self.on_wake()
        self.headers = head.headers
        self.answer = heads.judge(
            head.status,
            head.headers,
            asked_from=self._asked_from,
            kept=self._body.validator,
            conditional=self._conditional,
        )
        if not isinstance(self.answer, heads.Bytes):
            return False
        first, total = self.answer
        self.promises = promises(head.headers, whole=not first)
        if self._checksum is not None:
            self.promises.append(self._checksum)
        self._body.begin(
            first,
            total,
            heads.validator(head.headers, total, self._source),
            {promise.algorithm for promise in self.promises} if self.promises else (),
        )
        return True

    def on_data(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the body."""
        self.on_wake()
        self._body.write(data)

    def on_pipe(self, pipe: int, size: int) -> None:
        """Take the next bytes of the body, which wait in a pipe."""
        self.on_wake()
        self._body.write_from(pipe, size)

    def on_wake(self) -> None:
        """End the exchange if nobody wants it any more."""
        if self.abandoned:
            raise AbandonedError
