"""Connecting to a scheduler, within the time given, whatever answers there; and leaving it.

The engine waits without end for the first words of somebody who accepts a connection and is silent, and
takes whatever comes for words of its own: an HTTP server's it takes for a message of 3 EiB.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import distributed
from distributed.utils import silence_logging_cmgr

_SOONER = 0.9  # of the time, for what the engine can end by itself: it then knows what was refused


class Client(distributed.Client):  # type: ignore[misc]  # Dask's classes are untyped here
    """The engine's client, where connecting ends in time and leaves nothing behind if it fails."""

    def start(self, **options: Any) -> None:
        """Connect; raises OSError."""
        try:
            super().start(**options)
        except BaseException:
            self.status = "closed"
            self._loop_runner.stop()  # or each attempt would leave a thread
            raise

    def leave(self) -> None:
        """Close, whether the scheduler is still there or not."""
        # Where it is gone, the engine logs that it stops looking for it.
        with (
            contextlib.suppress(OSError),
            silence_logging_cmgr(logging.CRITICAL, "distributed.client"),
        ):
            self.close(timeout=5)

    async def _ensure_connected(self, timeout: float) -> None:  # noqa: ASYNC109 - the engine's
        try:
            await asyncio.wait_for(super()._ensure_connected(timeout * _SOONER), timeout)
        except (OSError, ImportError) as exc:
            reason = str(_first(exc)) or f"no answer within {timeout:g} s"
            raise ConnectionError(reason) from exc
        except Exception as exc:
            raise ConnectionError(f"what answers is no scheduler ({exc!r})") from exc


def _first(exc: BaseException) -> BaseException:
    while exc.__cause__ is not None:
        exc = exc.__cause__
    return exc
