"""The three calls of an old metastore, worded for its clients: `get`, `put`, `multiget`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fscache.kv.sdb import as_column
from fscache.server.auth import ANONYMOUS
from fscache.server.kv import DEFAULT
from fscache.server.rpc import Method

if TYPE_CHECKING:
    from fscache.server.kv import Stores
    from fscache.server.rpc import Caller


class Metastore:
    """The default store, as a metastore."""

    def __init__(self, stores: Stores) -> None:
        """Serve the default one of `stores`."""
        self._store = stores

    def methods(self) -> list[Method]:
        """Return the table; the role `anonymous` suffices."""
        return [
            Method("get", self.get, ANONYMOUS, plain=True),
            Method("put", self.put, ANONYMOUS, plain=True),
            Method("multiget", self.multiget, ANONYMOUS, plain=True),
        ]

    def get(self, _caller: Caller, key: str) -> Any:
        """Return a key's value, as the metastore did."""
        try:
            return self._store(DEFAULT).get(key)
        except KeyError:
            raise KeyError from None  # without the key, as the metastore raised it

    def put(self, _caller: Caller, key: str, value: Any) -> bool:
        """Keep a value, as the metastore did: in a column of text, so that numbers become text."""
        kept = as_column(value) if isinstance(value, int | float) else value
        self._store(DEFAULT).put(key, kept)
        return True

    def multiget(self, caller: Caller, keys: list[str]) -> dict[str, Any]:
        """Return the values of many keys, as the metastore did: a fault if any is missing."""
        return {key: self.get(caller, key) for key in keys}
