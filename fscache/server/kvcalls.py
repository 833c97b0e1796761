"""The calls `kv.*`: they take and give plain values, by which any XML-RPC client can use them.

With `packed` true each value travels as bytes (letter and body, `fscache.kv.codec`), which also carries
arrays and what a client's own serializer made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fscache import errors
from fscache.kv import codec
from fscache.kv.face import ABSENT, Version
from fscache.server.kv import DEFAULT, Passing, decoded
from fscache.server.rpc import SERVER, Method

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.server.kv import Stores
    from fscache.server.rpc import Caller


class KVCalls:
    """The key-values of one root."""

    def __init__(self, stores: Stores) -> None:
        """Serve `stores`."""
        self._store = stores

    def methods(self) -> list[Method]:
        """Return the table."""
        calls: dict[str, Callable[..., Any]] = {
            "get": self.get,
            "put": self.put,
            "multiget": self.multiget,
            "multiput": self.multiput,
            "delete": self.delete,
            "pop": self.pop,
            "keys": self.keys,
            "incr": self.incr,
            "cas": self.cas,
            "version": self.version,
            "expire": self.expire,
            "ttl": self.ttl,
            "tags": self.tags,
            "tagged": self.tagged,
            "sweep": self.sweep,
            "flush": self.flush,
            "stores": self.stores,
        }
        return [Method(f"kv.{name}", call) for name, call in calls.items()]

    def get(self, _caller: Caller, key: str, store: str = DEFAULT, packed: bool = False) -> Any:
        """Return a key's value; a KeyError where there is none."""
        return _out(self._store(store).get(key), packed=packed)

    def put(
        self,
        _caller: Caller,
        key: str,
        value: Any,
        store: str = DEFAULT,
        ttl: float | None = None,
        tags: list[str] | None = None,
    ) -> bool:
        """Keep a value, for `ttl` seconds or for ever."""
        self._store(store).put(key, value, ttl=ttl, tags=tags or ())
        return True

    def multiget(
        self, _caller: Caller, keys: list[str], store: str = DEFAULT, packed: bool = False
    ) -> list[list[Any]]:
        """Return [key, value] of those keys that have one."""
        missing = object()
        found = self._store(store).multiget(keys, missing)
        return [
            [key, _out(value, packed=packed)]
            for key, value in found.items()
            if value is not missing
        ]

    def multiput(
        self,
        _caller: Caller,
        pairs: list[list[Any]],
        store: str = DEFAULT,
        ttl: float | None = None,
        tags: list[str] | None = None,
        packed: bool = False,
    ) -> bool:
        """Keep many values, given as [key, value]."""
        given = [(key, _in(value, packed=packed)) for key, value in pairs]
        self._store(store).multiput(given, ttl=ttl, tags=tags or ())
        return True

    def delete(self, _caller: Caller, key: str, store: str = DEFAULT) -> bool:
        """Remove a key; false if it was not there."""
        return self._store(store).delete(key)

    def pop(self, _caller: Caller, key: str, store: str = DEFAULT, packed: bool = False) -> Any:
        """Remove a key and return its value; of many callers one gets it."""
        return _out(self._store(store).pop(key), packed=packed)

    def keys(self, _caller: Caller, prefix: str = "", store: str = DEFAULT) -> list[str]:
        """Return the keys that begin with a prefix, sorted."""
        return self._store(store).keys(prefix)

    def incr(
        self,
        _caller: Caller,
        key: str,
        delta: float = 1,
        store: str = DEFAULT,
        default: float = 0,
        once: str = "",
    ) -> Any:
        """Add to a number and return the sum; asked again with the same `once`, nothing is added."""
        return self._store(store).incr(key, delta, default=default, once=once)

    def cas(
        self,
        _caller: Caller,
        key: str,
        expected: Any,
        value: Any,
        store: str = DEFAULT,
        terms: dict[str, Any] | None = None,
    ) -> bool:
        """Put a value if the key still has the expected one.

        Terms: `expect` ("value", "version" or "absent"), ttl, tags, once, packed.
        """
        given = terms or {}
        packed = bool(given.get("packed"))
        expect = given.get("expect", "value")
        if expect == "absent":
            wanted: object = ABSENT
        elif expect == "version":
            wanted = Version(expected)
        else:
            wanted = _in(expected, packed=packed)
        return self._store(store).cas(
            key,
            wanted,
            _in(value, packed=packed),
            ttl=given.get("ttl"),
            tags=given.get("tags") or (),
            once=given.get("once", ""),
        )

    def version(self, _caller: Caller, key: str, store: str = DEFAULT) -> str:
        """Return which value a key has now, for `kv.cas`."""
        return str(self._store(store).version(key))

    def expire(self, _caller: Caller, key: str, ttl: float | None, store: str = DEFAULT) -> bool:
        """Let a key be gone after `ttl` seconds, null: never; false if it is not there."""
        return self._store(store).expire(key, ttl)

    def ttl(self, _caller: Caller, key: str, store: str = DEFAULT) -> float | None:
        """Return the seconds that a key has left, null for ever."""
        return self._store(store).ttl(key)

    def tags(self, _caller: Caller, key: str, store: str = DEFAULT) -> list[str]:
        """Return a key's tags."""
        return list(self._store(store).tags(key))

    def tagged(self, _caller: Caller, tag: str, store: str = DEFAULT) -> list[str]:
        """Return the keys that have a tag, sorted."""
        return self._store(store).tagged(tag)

    def sweep(self, _caller: Caller, store: str = DEFAULT) -> int:
        """Remove keys whose time is over; return how many."""
        return self._store(store).sweep()

    def flush(self, _caller: Caller, store: str = DEFAULT) -> bool:
        """Return when all that was put is durable."""
        self._store(store).flush()
        return True

    def stores(self, _caller: Caller) -> list[str]:
        """Return the names of the stores that hold something."""
        return self._store(DEFAULT).stores()


def _out(value: Any, *, packed: bool) -> Any:
    return codec.encode_whole(value, Passing) if packed else value


def _in(value: Any, *, packed: bool) -> Any:
    if not packed:
        return value
    if not isinstance(value, bytes) or not value:
        raise errors.RefusedRequestError(SERVER, "a packed value is bytes")
    return decoded(value[:1], value[1:])
