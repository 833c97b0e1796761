"""The changes to a server's keys: a call that parks there until there are some."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fscache.remote.rpc import RPC

_PARK = 30.0


class RemoteWatch:
    """The changes to a server's keys, as they happen; see `KeyValues.watch`."""

    def __init__(self, rpc: RPC, name: str, timeout: float | None) -> None:
        """Ask `rpc` for the changes of the watch that it calls `name`."""
        self._rpc = rpc
        self._name = name
        self._timeout = timeout
        self._pending: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self._pending:
            self._pending = self.wait(self._timeout)[::-1]
            if not self._pending:
                raise StopIteration
        return self._pending.pop()

    def wait(self, timeout: float | None = None) -> list[str]:
        """Wait for changes; return their keys, none if nothing changed for `timeout` seconds.

        Raises:
            UnknownRequestError: the server has restarted; watch anew, and look at what there is.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _PARK if until is None else max(0.0, min(_PARK, until - time.monotonic()))
            # Not repeated: changes that were told to a broken connection would be lost.
            found: list[str] = self._rpc(
                "kv.changes", self._name, left, parked=left, repeatable=False
            )
            if found or (until is not None and time.monotonic() >= until):
                return found
