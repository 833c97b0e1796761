"""Key-values on a server: the same methods as on a root.

One value is one plain HTTP request on a kept connection; many are one call. A connection that breaks
is made again where that is harmless: `incr` and `cas` carry a token by which the server knows that it
has done them already, `pop` and `delete` are not repeated.
"""

from __future__ import annotations

import json
import secrets
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fscache.kv import values
from fscache.kv.checks import store_name, tag_words
from fscache.kv.face import ABSENT, REQUIRED, KeyValues, Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fscache.kv.face import Pairs
    from fscache.kv.values import Serializer
    from fscache.remote.rpc import RPC

_KIND = b"\r\nFscache-Kind: "
_PARK = 30.0
_LONGEST_IN_PATH = 1000  # characters of a key; a server takes 8 KiB of a request line


class RemoteStore(KeyValues):
    """One store of one server."""

    def __init__(
        self, rpc: RPC, name: str = "default", *, serializer: Serializer | None = None
    ) -> None:
        """Use a store; nothing is sent before the first call.

        Args:
            rpc: The server.
            name: The store's name.
            serializer: For values of other types; its bytes are opaque to the server.

        Raises:
            ValueError: not a name for a store.
        """
        self.name = store_name(name)
        self._rpc = rpc
        self._client = rpc.client
        self._serializer = serializer
        self._top = f"/kv/{quote(self.name, safe='')}/"

    # -- one value ----------------------------------------------------------------------------

    def get(self, key: str, default: Any = REQUIRED) -> Any:
        if _is_long(key):
            return self.multiget([key], default)[key]
        try:
            answer = self._client.call("GET", self._path(key))
        except KeyError:
            return _missing(key, default)
        head = answer.head
        start = head.index(_KIND) + len(_KIND)
        return values.decode(head[start : start + 1], answer.body, self._serializer)

    def put(
        self, key: str, value: object, *, ttl: float | None = None, tags: Iterable[str] = ()
    ) -> None:
        if _is_long(key):
            self.multiput([(key, value)], ttl=ttl, tags=tags)
            return
        letter, pieces = values.encode(value, self._serializer)
        headers = {"Fscache-Kind": letter.decode("ascii")}
        marks = list(tag_words(tags))
        if ttl is not None:
            headers["Fscache-TTL"] = repr(float(ttl))
        if marks:
            headers["Fscache-Tags"] = json.dumps(marks)
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._client.call("PUT", self._path(key), bytes(body), headers)

    def delete(self, key: str) -> bool:
        if _is_long(key):
            done: bool = self._rpc("kv.delete", key, self.name, repeatable=False)
            return done
        answer = self._client.call("DELETE", self._path(key), repeatable=False)
        return answer.body == b"true"

    # -- calls --------------------------------------------------------------------------------

    def multiget(self, keys: Iterable[str], default: Any = REQUIRED) -> dict[str, Any]:
        wanted = [_checked(key) for key in keys]
        found = dict(self._rpc("kv.multiget", wanted, self.name, True))
        result = {}
        for key in wanted:
            packed = found.get(key)
            result[key] = _missing(key, default) if packed is None else self._unpacked(packed)
        return result

    def multiput(self, pairs: Pairs, *, ttl: float | None = None, tags: Iterable[str] = ()) -> None:
        items: Any = pairs.items() if hasattr(pairs, "items") else pairs
        packed = [[_checked(key), self._packed(value)] for key, value in items]
        self._rpc("kv.multiput", packed, self.name, ttl, list(tag_words(tags)), True)

    def pop(self, key: str, default: Any = REQUIRED) -> Any:
        try:
            packed = self._rpc("kv.pop", _checked(key), self.name, True, repeatable=False)
        except KeyError:
            return _missing(key, default)
        return self._unpacked(packed)

    def keys(self, prefix: str = "") -> list[str]:  # type: ignore[override]
        found: list[str] = self._rpc("kv.keys", prefix, self.name)
        return found

    def incr(self, key: str, delta: float = 1, *, default: float = 0, once: str = "") -> Any:
        token = once or secrets.token_hex(8)
        return self._rpc("kv.incr", _checked(key), delta, self.name, default, token)

    def cas(
        self,
        key: str,
        expected: object,
        value: object,
        *,
        ttl: float | None = None,
        tags: Iterable[str] = (),
        once: str = "",
    ) -> bool:
        terms = {
            "ttl": ttl,
            "tags": list(tag_words(tags)),
            "once": once or secrets.token_hex(8),
            "packed": True,
        }
        wanted: object = None
        if expected is ABSENT:
            terms["expect"] = "absent"
        elif isinstance(expected, Version):
            terms["expect"], wanted = "version", str(expected)
        else:
            terms["expect"], wanted = "value", self._packed(expected)
        packed = self._packed(value)
        done: bool = self._rpc("kv.cas", _checked(key), wanted, packed, self.name, terms)
        return done

    def version(self, key: str) -> Version:
        return Version(self._there("kv.version", key))

    def expire(self, key: str, ttl: float | None) -> bool:
        done: bool = self._rpc("kv.expire", _checked(key), ttl, self.name)
        return done

    def ttl(self, key: str) -> float | None:
        left: float | None = self._there("kv.ttl", key)
        return left

    def tags(self, key: str) -> tuple[str, ...]:
        return tuple(self._there("kv.tags", key))

    def tagged(self, tag: str) -> list[str]:
        found: list[str] = self._rpc("kv.tagged", tag, self.name)
        return found

    def sweep(self) -> int:
        removed: int = self._rpc("kv.sweep", self.name)
        return removed

    def watch(self, prefix: str = "", timeout: float | None = None) -> RemoteWatch:
        return RemoteWatch(self._rpc, self._rpc("kv.watch", prefix, self.name), timeout)

    def store(self, name: str, *, serializer: Serializer | None = None) -> RemoteStore:
        """Return another store of the same server; see `LocalStore.store`."""
        return RemoteStore(self._rpc, name, serializer=serializer)

    def stores(self) -> list[str]:
        found: list[str] = self._rpc("kv.stores")
        return found

    def __repr__(self) -> str:
        return f"RemoteStore({self._client.name!r}, {self.name!r})"

    # -- inside -------------------------------------------------------------------------------

    def _path(self, key: str) -> str:
        if not isinstance(key, str):
            raise TypeError(f"a key is text, not {type(key).__name__}")
        if key.isascii() and key.isalnum():
            return self._top + key
        return self._top + quote(key.encode("utf-8", "surrogatepass"), safe="")

    def _there(self, method: str, key: str) -> Any:
        try:
            return self._rpc(method, _checked(key), self.name)
        except KeyError:
            raise KeyError(key) from None

    def _packed(self, value: object) -> bytes:
        return values.encode_whole(value, self._serializer)

    def _unpacked(self, packed: bytes) -> Any:
        return values.decode(packed[:1], packed[1:], self._serializer)


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


def _is_long(key: object) -> bool:
    return isinstance(key, str) and len(key) > _LONGEST_IN_PATH


def _checked(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a key is text, not {type(key).__name__}")
    return key


def _missing(key: str, default: Any) -> Any:
    if default is REQUIRED:
        raise KeyError(key)
    return default
