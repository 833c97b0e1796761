"""When to try again, and when not. Pure: the dice are handed in.

Transient is what may be gone in a moment: no connection, silence, a body cut short, 408, 425, 429
and 5xx. Everything the server says on purpose (401, 403, 404, 410, a redirect into nowhere) and
every wrong checksum is final for that mirror; a full disk is final for the request.
"""

from __future__ import annotations

from dataclasses import dataclass

from stager.errors import BusyServerError, ConnectionFailedError, LengthError, StageError

TRANSIENT_STATUSES = frozenset({408, 425, 429})
"""Beside every 5xx."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long. Seconds."""

    attempts: int = 5
    """Rounds over the mirrors without progress, the first one included."""
    base: float = 0.5
    """The longest first pause; it doubles with each round."""
    cap: float = 30.0
    """The longest pause of our own choosing."""
    retry_after_cap: float = 120.0
    """The longest pause a server may choose; one that asks for more is not asked again."""
    progress: int = 1 << 20
    """Bytes beyond the farthest point so far that start the count of attempts anew, so that a
    large file comes through a line that breaks every few minutes."""

    def pause(self, failures: int, retry_after: float | None, dice: float) -> float | None:
        """Return how long to wait before the next round, None for not at all.

        Args:
            failures: Rounds that failed so far, from 1.
            retry_after: What the server asked for, in s.
            dice: From [0, 1): jitter over the upper half of `base * 2**(failures-1)`. Many
                clients must spread, and none may hammer.
        """
        if failures >= self.attempts:
            return None
        # 2**16 is beyond any cap; larger exponents only make larger numbers.
        ceiling = min(self.cap, self.base * 2.0 ** min(failures - 1, 16))
        pause = ceiling * (0.5 + 0.5 * dice)
        return pause if retry_after is None else max(pause, retry_after)

    def is_transient(self, error: Exception) -> bool:
        """Tell whether the same request to the same server may yet succeed, and soon enough."""
        if isinstance(error, StageError) and error.relayed:
            return False
        if isinstance(error, BusyServerError):
            return error.retry_after is None or error.retry_after <= self.retry_after_cap
        if isinstance(error, ConnectionFailedError):
            return not error.lasting
        return isinstance(error, LengthError)


def is_transient_status(status: int) -> bool:
    """Tell whether a status means "not now"."""
    return status >= 500 or status in TRANSIENT_STATUSES


def parse_retry_after(value: str | None, date: str | None) -> float | None:
    """Read `Retry-After` in s; None where it says nothing usable.

    A moment is compared with the answer's own `Date`, so that neither clock has to be right.

    Args:
        value: The header: seconds or an HTTP date.
        date: The answer's `Date` header.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    from email.utils import parsedate_to_datetime  # 10 ms, and hardly a server sends a date

    try:
        until = parsedate_to_datetime(value) - parsedate_to_datetime(date or "")
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, until.total_seconds())
