"""The calls `kv.watch` and `kv.changes`: a watch has a name, and whoever knows it asks what changed.

Watches live in this process: after a restart their names are unknown, and the client watches anew.
"""

from __future__ import annotations

import secrets
import threading
import time
from typing import TYPE_CHECKING

from fscache import errors
from fscache.server.calls import checked_timeout
from fscache.server.kv import DEFAULT
from fscache.server.rpc import SERVER, Method

if TYPE_CHECKING:
    from fscache.kv.face import Watch
    from fscache.server.kv import Stores
    from fscache.server.rpc import Caller

_MOST = 1000
_IDLE = 600.0  # seconds


class Watches:
    """The watches of all clients."""

    def __init__(self, stores: Stores) -> None:
        """Watch `stores`."""
        self._store = stores
        self._mutex = threading.Lock()
        self._watches: dict[str, tuple[Watch, float]] = {}

    def methods(self) -> list[Method]:
        """Return the table."""
        return [Method("kv.watch", self.watch), Method("kv.changes", self.changes)]

    def watch(self, _caller: Caller, prefix: str = "", store: str = DEFAULT) -> str:
        """Begin to watch keys with a prefix; return a name for `kv.changes`, good for 10 minutes."""
        watch = self._store(store).watch(prefix)
        now = time.monotonic()
        name = secrets.token_hex(8)
        with self._mutex:
            for old, (_, used) in list(self._watches.items()):
                if now - used > _IDLE:
                    del self._watches[old]
            if len(self._watches) >= _MOST:
                raise errors.TryAgainError(SERVER, f"{_MOST} watches already")
            self._watches[name] = (watch, now)
        return name

    def changes(self, _caller: Caller, name: str, timeout: float = 30.0) -> list[str]:
        """Wait for changes to what is watched; return their keys, none after `timeout` seconds."""
        with self._mutex:
            found = self._watches.get(name)
        if found is None:
            raise errors.UnknownRequestError(SERVER, "no such watch")
        changed = found[0].wait(checked_timeout(timeout))
        with self._mutex:
            self._watches[name] = (found[0], time.monotonic())
        return changed
