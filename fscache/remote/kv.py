"""Key-values on a server: the same methods as on a root.

One value is one plain HTTP request on a kept connection; many are one call, or as many as their bytes
need (`remote.portions`). A connection that breaks is made again where that is harmless: `incr` and
`cas` carry a token by which the server knows that it has done them already, `pop` and `delete` are
not repeated.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fscache.kv import checks, codec
from fscache.kv.face import ABSENT, REQUIRED, KeyValues, Version
from fscache.kv.serializers import name_of, of_name
from fscache.remote.portions import MOST, portions, weight
from fscache.remote.watching import RemoteWatch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fscache.kv.codec import Serializer
    from fscache.kv.face import Pairs
    from fscache.remote.rpc import RPC

_KIND = b"\r\nFscache-Kind: "
_LONGEST_PATH = 7000  # characters; a server takes 32 KiB of a head, and tags stand there, too


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
        self.name = checks.store_name(name)
        self._rpc = rpc
        self._client = rpc.client
        self._serializer = serializer
        self._top = f"/kv/{quote(self.name, safe='')}/"

    # -- one value ----------------------------------------------------------------------------

    def get(self, key: str, default: Any = REQUIRED) -> Any:
        found = self._found(key)
        if found is None:
            return _missing(key, default)
        return codec.decode(*found, self._serializer)

    def put(
        self, key: str, value: object, *, ttl: float | None = None, tags: Iterable[str] = ()
    ) -> None:
        path = self._path(key)
        letter, pieces = codec.encode(value, self._serializer)
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if path:
            self._put(path, letter, bytes(body), _headers(ttl, tags))
        else:
            self._multiput([(key, letter + body)], checks.ttl_seconds(ttl), checks.tag_words(tags))

    def _found(self, key: str) -> tuple[bytes, bytes] | None:
        """Return letter and body of a key's value, None where there is none."""
        path = self._path(key)
        if not path:
            packed = dict(self._rpc("kv.multiget", [key], self.name, True)).get(key)
            return None if packed is None else (packed[:1], packed[1:])
        try:
            answer = self._client.call("GET", path)
        except KeyError:
            return None
        head = answer.head
        start = head.index(_KIND) + len(_KIND)
        return head[start : start + 1], answer.body

    def _put(self, path: str, letter: bytes, body: bytes, headers: dict[str, str]) -> bool:
        kind = {"Fscache-Kind": letter.decode("ascii")}
        return self._client.call("PUT", path, body, kind | headers).body == b"true"

    def delete(self, key: str) -> bool:
        path = self._path(key)
        if not path:
            done: bool = self._rpc("kv.delete", key, self.name, repeatable=False)
            return done
        answer = self._client.call("DELETE", path, repeatable=False)
        return answer.body == b"true"

    # -- calls --------------------------------------------------------------------------------

    def multiget(self, keys: Iterable[str], default: Any = REQUIRED) -> dict[str, Any]:
        wanted = [checks.text(key, "a key") for key in checks.several_keys(keys)]
        found: dict[str, bytes] = {}
        for portion in portions((key, b"") for key in wanted):
            asked = [key for key, _ in portion]
            found.update(self._rpc("kv.multiget", asked, self.name, True))
        result = {}
        for key in wanted:
            packed = found.get(key)
            result[key] = _missing(key, default) if packed is None else self._unpacked(packed)
        return result

    def multiput(self, pairs: Pairs, *, ttl: float | None = None, tags: Iterable[str] = ()) -> None:
        items = checks.several_pairs(pairs)
        ttl = checks.ttl_seconds(ttl)
        marks = checks.tag_words(tags)
        for portion in portions(
            (checks.text(key, "a key"), self._packed(value)) for key, value in items
        ):
            key, packed = portion[0]
            path = self._path(key) if weight(key, packed) > MOST else ""
            if path:
                self._put(path, packed[:1], packed[1:], _headers(ttl, marks))
            else:
                self._multiput(portion, ttl, marks)

    def _multiput(
        self, pairs: list[tuple[str, bytes]], ttl: float | None, tags: tuple[str, ...]
    ) -> None:
        self._rpc("kv.multiput", pairs, self.name, ttl, list(tags), True)

    def pop(self, key: str, default: Any = REQUIRED) -> Any:
        try:
            packed = self._rpc(
                "kv.pop", checks.text(key, "a key"), self.name, True, repeatable=False
            )
        except KeyError:
            return _missing(key, default)
        return self._unpacked(packed)

    def keys(self, prefix: str = "") -> list[str]:  # type: ignore[override]
        found: list[str] = self._rpc("kv.keys", checks.text(prefix, "a prefix"), self.name)
        return found

    def incr(self, key: str, delta: float = 1, *, default: float = 0, once: str = "") -> Any:
        token = once or secrets.token_hex(8)
        start = checks.number_to_count_with(default)
        more = checks.number_to_count_with(delta)
        return self._rpc("kv.incr", checks.text(key, "a key"), more, self.name, start, token)

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
        ttl = checks.ttl_seconds(ttl)
        marks = checks.tag_words(tags)
        token = once or secrets.token_hex(8)
        packed = self._packed(value)
        wanted: str | bytes = b""
        expect = "value"
        if expected is ABSENT:
            expect = "absent"
        elif isinstance(expected, Version):
            expect, wanted = "version", str(expected)
        else:
            wanted = self._packed(expected)
        path = self._path(key)
        if path and weight(key, packed, wanted if isinstance(wanted, bytes) else b"") > MOST:
            headers = {"Fscache-Once": token, **_headers(ttl, marks)}
            return self._cas_by_itself(key, expected, packed, headers)
        terms = {"ttl": ttl, "tags": list(marks), "once": token, "expect": expect, "packed": True}
        done: bool = self._rpc("kv.cas", key, wanted, packed, self.name, terms)
        return done

    def _cas_by_itself(
        self, key: str, expected: object, packed: bytes, headers: dict[str, str]
    ) -> bool:
        """Put a value that is too large for a call where the expected one is, compared here."""
        while True:
            at = "absent" if expected is ABSENT else self._version_with(key, expected)
            if at is None:
                # Not the expected one; yet the token may say that this has been done before.
                terms = {"expect": "version", "once": headers["Fscache-Once"]}
                done: bool = self._rpc("kv.cas", key, "none", None, self.name, terms)
                return done
            asked = {"Fscache-Expect": at, **headers}
            if self._put(self._path(key), packed[:1], packed[1:], asked):
                return True
            if expected is ABSENT or isinstance(expected, Version):
                return False  # else: somebody put another value meanwhile, or the same once more

    def _version_with(self, key: str, expected: object) -> str | None:
        """Return which value a key has if it is the expected one."""
        if isinstance(expected, Version):
            return expected
        try:
            at = self.version(key)
        except KeyError:
            return None
        found = self._found(key)
        if found is None or not codec.same(*found, expected, self._serializer):
            return None
        return at

    def version(self, key: str) -> Version:
        return Version(self._there("kv.version", key))

    def expire(self, key: str, ttl: float | None) -> bool:
        done: bool = self._rpc(
            "kv.expire", checks.text(key, "a key"), checks.ttl_seconds(ttl), self.name
        )
        return done

    def ttl(self, key: str) -> float | None:
        left: float | None = self._there("kv.ttl", key)
        return left

    def tags(self, key: str) -> tuple[str, ...]:
        return tuple(self._there("kv.tags", key))

    def tagged(self, tag: str) -> list[str]:
        found: list[str] = self._rpc("kv.tagged", checks.text(tag, "a tag"), self.name)
        return found

    def sweep(self) -> int:
        removed: int = self._rpc("kv.sweep", self.name)
        return removed

    def flush(self) -> None:
        self._rpc("kv.flush", self.name)

    def watch(self, prefix: str = "", timeout: float | None = None) -> RemoteWatch:
        wait = checks.seconds_to_wait(timeout)  # before a watch is begun there
        return RemoteWatch(
            self._rpc, self._rpc("kv.watch", checks.text(prefix, "a prefix"), self.name), wait
        )

    def store(self, name: str, *, serializer: Serializer | None = None) -> RemoteStore:
        """Return another store of the same server; see `LocalStore.store`."""
        return RemoteStore(self._rpc, name, serializer=serializer)

    def stores(self) -> list[str]:
        found: list[str] = self._rpc("kv.stores")
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        return _reconnected, (self._rpc, self.name, name_of(self._serializer))

    def __repr__(self) -> str:
        return f"RemoteStore({self._client.name!r}, {self.name!r})"

    # -- inside -------------------------------------------------------------------------------

    def _path(self, key: object) -> str:
        """Return where a key's value lies, empty for a key that is too long for a path."""
        name = checks.text(key, "a key")
        if not (name.isascii() and name.isalnum()):
            name = quote(name.encode("utf-8", "surrogatepass"), safe="")
        return self._top + name if len(name) <= _LONGEST_PATH else ""

    def _there(self, method: str, key: str) -> Any:
        try:
            return self._rpc(method, checks.text(key, "a key"), self.name)
        except KeyError:
            raise KeyError(key) from None

    def _packed(self, value: object) -> bytes:
        return codec.encode_whole(value, self._serializer)

    def _unpacked(self, packed: bytes) -> Any:
        return codec.decode(packed[:1], packed[1:], self._serializer)


def _reconnected(rpc: RPC, name: str, serializer: Serializer | str | None) -> RemoteStore:
    return RemoteStore(rpc, name, serializer=of_name(serializer))


def _headers(ttl: float | None, tags: Iterable[str]) -> dict[str, str]:
    """Return what a PUT says of a value besides its kind."""
    headers = {}
    if (seconds := checks.ttl_seconds(ttl)) is not None:
        headers["Fscache-TTL"] = repr(seconds)
    if marks := checks.tag_words(tags):
        headers["Fscache-Tags"] = json.dumps(marks)
    return headers


def _missing(key: str, default: Any) -> Any:
    if default is REQUIRED:
        raise KeyError(key)
    return default
