"""Between a transfer and its driver: what it is given besides a job, and what it says is to be done.

Besides these, it says `Exchange`: ask a server.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from credentials.model import Credential
    from stager.destination import Destination
    from stager.retry import RetryPolicy
    from stager.transports.base import Timeouts


class Wait(NamedTuple):
    """Ask again after a pause."""

    seconds: float


class Finished(NamedTuple):
    """The end: a path, an error, or neither when the transfer was abandoned."""

    path: str | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Setup:
    """What all transfers of a service share."""

    destination: Destination
    credentials: Callable[[str, int | None], Credential | None]
    user_agent: str
    policy: RetryPolicy
    timeouts: Timeouts
    target_policy: Callable[[str], None] | None
    dice: Callable[[], float]
    """From [0, 1)."""
