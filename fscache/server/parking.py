"""Calls that wait at the server: how long they may, and how a stop ends them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from fscache import errors
from fscache.server.rpc import SERVER

if TYPE_CHECKING:
    from collections.abc import Callable

Found = TypeVar("Found")

MAX_PARK = 60.0
"""Seconds that a call may park; who waits longer calls again."""
_STEP = 1.0  # seconds after which a parked call looks whether the server is about to stop


def checked_timeout(timeout: object) -> float:
    """Return the seconds that a call may park."""
    if not isinstance(timeout, int | float) or not timeout >= 0:
        raise errors.RefusedRequestError(SERVER, "timeout is a number of seconds")
    return min(float(timeout), MAX_PARK)


def park(wait: Callable[[float], Found], timeout: object, stopping: Callable[[], bool]) -> Found:
    """Wait for what nobody can wake up: in steps, between which a stop is seen.

    Args:
        wait: Waits so many seconds, and returns something true as soon as there is something.
        timeout: What the client gave, in seconds.
        stopping: Whether the server is about to stop.

    Returns:
        What `wait` returned last.

    Raises:
        RefusedRequestError: that is no timeout.
        TryAgainError: the server is stopping.
    """
    until = time.monotonic() + checked_timeout(timeout)
    while True:
        left = max(0.0, until - time.monotonic())
        found = wait(min(left, _STEP))
        if found or left <= _STEP:
            return found
        if stopping():
            raise errors.TryAgainError(SERVER, "stopping")
