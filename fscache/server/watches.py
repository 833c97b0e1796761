"""The calls `kv.watch` and `kv.changes`: a watch has a name, and whoever knows it asks what changed.

Watches live in this process: after a restart their names are unknown, and the client watches anew.
"""

from __future__ import annotations

import secrets
import threading
import time
from typing import TYPE_CHECKING

from fscache import errors
from fscache.server.kv import DEFAULT
from fscache.server.parking import park
from fscache.server.rpc import SERVER, Method

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.kv.face import Watch
    from fscache.server.kv import Stores
    from fscache.server.rpc import Caller

_MOST = 1000
_IDLE = 600.0  # seconds


class _Watched:
    """A watch, and when it was asked last."""

    __slots__ = ("used", "watch")

    def __init__(self, watch: Watch, now: float) -> None:
        self.watch = watch
        self.used = now


class Watches:
    """The watches of all clients."""

    def __init__(self, stores: Stores, stopping: Callable[[], bool]) -> None:
        """Watch `stores`; `stopping` says whether the server is about to stop."""
        self._store = stores
        self._stopping = stopping
        self._mutex = threading.Lock()
        self._watches: dict[str, _Watched] = {}

    def methods(self) -> list[Method]:
        """Return the table."""
        return [Method("kv.watch", self.watch), Method("kv.changes", self.changes)]

    def watch(self, _caller: Caller, prefix: str = "", store: str = DEFAULT) -> str:
        """Begin to watch keys with a prefix; return a name for `kv.changes`, good for 10 minutes."""
        watch = self._store(store).watch(prefix)
        now = time.monotonic()
        name = secrets.token_hex(8)
        with self._mutex:
            for old, watched in list(self._watches.items()):
                if now - watched.used > _IDLE:
                    del self._watches[old]
            if len(self._watches) >= _MOST:
                raise errors.TryAgainError(SERVER, f"{_MOST} watches already")
            self._watches[name] = _Watched(watch, now)
        return name

    def changes(self, _caller: Caller, name: str, timeout: float = 30.0) -> list[str]:
        """Wait for changes to what is watched; return their keys, none after `timeout` seconds."""
        with self._mutex:
            watched = self._watches.get(name)
        if watched is None:
            raise errors.UnknownRequestError(SERVER, "no such watch")
        watched.used = time.monotonic()
        return park(watched.watch.wait, timeout, self._stopping)
