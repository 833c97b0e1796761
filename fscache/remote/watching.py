"""The changes to a server's keys: a call that parks there until there are some."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fscache.kv.watching import Watching

if TYPE_CHECKING:
    from fscache.remote.rpc import RPC

_PARK = 30.0


class RemoteWatch(Watching):
    """The changes to a server's keys, as they happen; see `KeyValues.watch`."""

    def __init__(self, rpc: RPC, name: str, timeout: float | None) -> None:
        """Ask `rpc` for the changes of the watch that it calls `name`."""
        super().__init__(timeout)
        self._rpc = rpc
        self._name = name

    def wait(self, timeout: float | None = None) -> list[str]:
        """Wait for changes; see `Watching.wait`.

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
