"""What a transport is: one request out, the answer's head and body pushed into a sink.

A transport moves bytes and translates its library's errors; it decides nothing. It never follows a
redirect, never retries, never decodes a content encoding and never reads the environment: all that
is `stager.transfer`'s, once for all transports.

Two shapes:

- `Transport.fetch` blocks its thread for one exchange;
- a `MultiTransport` also drives many exchanges from one thread, which is what makes thousands of
  small files fast (docs/performance.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stager.request import Progress


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds."""

    connect: float = 15.0
    stall: float = 60.0
    """The longest silence while headers or bytes are awaited."""


# Tuples from here on: there is one of each to every small file, and a frozen dataclass takes twice as
# long to make (0.6 against 0.3 µs with three fields).


class Ask(NamedTuple):
    """One exchange with one server."""

    url: str
    headers: Mapping[str, str] = MappingProxyType({})
    timeouts: Timeouts = Timeouts()
    credential_from: str = ""
    """Where the credential among the headers was found, for an error; empty where there is none."""


class Head(NamedTuple):
    """What came before the body. Header names are lower case; repeated ones joined by `, `."""

    status: int
    headers: Mapping[str, str]


class Sink(Protocol):
    """Where one exchange's answer goes; every method may raise to end the exchange."""

    def on_wait(self, progress: Progress) -> None:
        """Take note of how far a server is that fetches the body itself before it answers."""

    def on_head(self, head: Head) -> bool:
        """Take the head; False says that the body is not wanted."""

    def on_data(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the body. The buffer is reused after the call."""

    def on_pipe(self, pipe: int, size: int) -> None:
        """Take the next `size` bytes of the body, which wait in a pipe, out of it."""

    def on_wake(self) -> None:
        """Say whether the answer is still wanted; asked by a `MultiTransport` that was woken."""


class Transport(Protocol):
    """Speaks some URL schemes."""

    schemes: frozenset[str]

    def fetch(self, ask: Ask, sink: Sink) -> None:
        """Perform one exchange; return when the body has ended.

        Raises:
            StageError: the exchange failed (`ConnectionFailedError`, `StalledError`, …).
            Exception: whatever the sink raised, unchanged.
        """

    def close(self) -> None:
        """Close kept connections."""


class Exchange(NamedTuple):
    """One exchange among many; `on_end` gets None, or what `Transport.fetch` would have raised."""

    ask: Ask
    sink: Sink
    on_end: Callable[[Exception | None], None]


class MultiTransport(Transport, Protocol):
    """A transport that can also drive many exchanges in the calling thread."""

    def drive(self, take: Callable[[bool], Exchange | None], limit: int) -> None:
        """Run exchanges until there are none left.

        Args:
            take: Called for the next one; its argument says whether it may block (nothing else is
                under way). None means: nothing now; when it was allowed to block: the end.
            limit: The most exchanges at once.
        """

    def wake(self) -> None:
        """Have `drive`, in another thread, call `take` and every sink's `on_wake` soon.

        Harmless at any time. Without it an exchange that is given up while its server is silent would
        last until the stall timeout.
        """
