"""Key-values for nodes: single values over plain HTTP, everything else as calls.

`GET`, `PUT`, `DELETE /kv/<store>/<key>`: the body is the value's body, the header `Fscache-Kind` its
letter (`fscache.kv.values`), so that `curl` reads text as text. The calls `kv.*` take and give plain
values; with `packed` true each value travels as bytes (letter and body), which also carries arrays.

What a client's own serializer made (letter `x`) is kept and handed back as bytes: nothing is ever
unpickled here.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from fscache import errors
from fscache.kv import values
from fscache.kv.face import ABSENT, Version
from fscache.server.auth import ANONYMOUS
from fscache.server.calls import checked_timeout
from fscache.server.connection import Response
from fscache.server.replies import json_reply
from fscache.server.rpc import SERVER, Method

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.kv.face import KeyValues, Watch
    from fscache.server.connection import Request
    from fscache.server.rpc import Caller

DEFAULT = "default"
KIND, TTL, TAGS = "fscache-kind", "fscache-ttl", "fscache-tags"

_BYTES = "application/octet-stream"
_TYPES = {b"s": "text/plain; charset=utf-8", b"j": "application/json"}
_NOSNIFF = ("X-Content-Type-Options", "nosniff")
_MAX_WATCHES = 1000
_WATCH_IDLE = 600.0


class Opaque:
    """What a client's serializer made; only ever handed back."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class Passing:
    """The serializer of stores that are served: it looks into nothing."""

    @staticmethod
    def dumps(value: Any) -> bytes:
        """Return the bytes that a client gave."""
        if not isinstance(value, Opaque):
            raise TypeError(f"a {type(value).__name__} has no place in a file")
        return value.data

    @staticmethod
    def loads(data: bytes) -> Opaque:
        """Return the bytes, wrapped."""
        return Opaque(data)


class KVService:
    """The key-values of one root."""

    def __init__(self, stores: Callable[[str], KeyValues], limit: int) -> None:
        """Serve stores.

        Args:
            stores: Returns the store of a name, made with `Passing`; raises ValueError.
            limit: Of one value put by plain HTTP, in bytes.
        """
        self._store = stores
        self._limit = limit
        self._mutex = threading.Lock()
        self._watches: dict[str, tuple[Watch, float]] = {}

    # -- plain HTTP ---------------------------------------------------------------------------

    def get(self, request: Request, rest: str) -> Response:  # noqa: ARG002 - a route
        """Answer GET: the value, or 404."""
        name, key = _names(rest)
        letter, pieces = values.encode(self._store(name).get(key), Passing)
        kind = _TYPES.get(letter, _BYTES)
        headers = (("Fscache-Kind", letter.decode("ascii")), _NOSNIFF)
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return Response(200, bytes(body), kind, headers)

    def put(self, request: Request, rest: str) -> Response:
        """Take a value; without a kind, text/* is text and anything else bytes."""
        name, key = _names(rest)
        headers = request.head.headers
        letter = headers.get(KIND, "").encode("latin-1")
        if not letter:
            is_text = headers.get("content-type", "").startswith("text/")
            letter = values.TEXT if is_text else values.BYTES
        body = request.body.read_all(self._limit)
        ttl = headers.get(TTL)
        value = _decoded(letter, body)
        tags = json.loads(headers[TAGS]) if TAGS in headers else ()
        self._store(name).put(key, value, ttl=None if ttl is None else float(ttl), tags=tags)
        return json_reply(value=True)

    def delete(self, request: Request, rest: str) -> Response:  # noqa: ARG002 - a route
        """Remove a key; the answer says whether it was there."""
        name, key = _names(rest)
        return json_reply(self._store(name).delete(key))

    # -- calls --------------------------------------------------------------------------------

    def methods(self) -> list[Method]:
        """Return the table: an old metastore client's three, and `kv.*`."""
        calls: dict[str, Callable[..., Any]] = {
            "get": self.call_get,
            "put": self.call_put,
            "multiget": self.call_multiget,
            "multiput": self.call_multiput,
            "delete": self.call_delete,
            "pop": self.call_pop,
            "keys": self.call_keys,
            "incr": self.call_incr,
            "cas": self.call_cas,
            "version": self.call_version,
            "expire": self.call_expire,
            "ttl": self.call_ttl,
            "tags": self.call_tags,
            "tagged": self.call_tagged,
            "sweep": self.call_sweep,
            "stores": self.call_stores,
            "watch": self.call_watch,
            "changes": self.call_changes,
        }
        return [
            Method("get", self.old_get, ANONYMOUS, plain=True),
            Method("put", self.old_put, ANONYMOUS, plain=True),
            Method("multiget", self.old_multiget, ANONYMOUS, plain=True),
            *(Method(f"kv.{name}", call) for name, call in calls.items()),
        ]

    def old_get(self, _caller: Caller, key: str) -> Any:
        """Return a key's value, as the metastore did."""
        try:
            return self._store(DEFAULT).get(key)
        except KeyError:
            raise KeyError from None  # without the key, as the metastore raised it

    def old_put(self, _caller: Caller, key: str, value: Any) -> bool:
        """Keep a value, as the metastore did: in a column of text, so that numbers become text."""
        from fscache.kv.sdb import as_column

        kept = as_column(value) if isinstance(value, int | float) else value
        self._store(DEFAULT).put(key, kept)
        return True

    def old_multiget(self, caller: Caller, keys: list[str]) -> dict[str, Any]:
        """Return the values of many keys, as the metastore did: a fault if any is missing."""
        return {key: self.old_get(caller, key) for key in keys}

    def call_get(
        self, _caller: Caller, key: str, store: str = DEFAULT, packed: bool = False
    ) -> Any:
        """Return a key's value; a KeyError where there is none."""
        return _out(self._store(store).get(key), packed=packed)

    def call_put(
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

    def call_multiget(
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

    def call_multiput(
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

    def call_delete(self, _caller: Caller, key: str, store: str = DEFAULT) -> bool:
        """Remove a key; false if it was not there."""
        return self._store(store).delete(key)

    def call_pop(
        self, _caller: Caller, key: str, store: str = DEFAULT, packed: bool = False
    ) -> Any:
        """Remove a key and return its value; of many callers one gets it."""
        return _out(self._store(store).pop(key), packed=packed)

    def call_keys(self, _caller: Caller, prefix: str = "", store: str = DEFAULT) -> list[str]:
        """Return the keys that begin with a prefix, sorted."""
        return self._store(store).keys(prefix)

    def call_incr(
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

    def call_cas(
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

    def call_version(self, _caller: Caller, key: str, store: str = DEFAULT) -> str:
        """Return which value a key has now, for `kv.cas`."""
        return str(self._store(store).version(key))

    def call_expire(
        self, _caller: Caller, key: str, ttl: float | None, store: str = DEFAULT
    ) -> bool:
        """Let a key be gone after `ttl` seconds, null: never; false if it is not there."""
        return self._store(store).expire(key, ttl)

    def call_ttl(self, _caller: Caller, key: str, store: str = DEFAULT) -> float | None:
        """Return the seconds that a key has left, null for ever."""
        return self._store(store).ttl(key)

    def call_tags(self, _caller: Caller, key: str, store: str = DEFAULT) -> list[str]:
        """Return a key's tags."""
        return list(self._store(store).tags(key))

    def call_tagged(self, _caller: Caller, tag: str, store: str = DEFAULT) -> list[str]:
        """Return the keys that have a tag, sorted."""
        return self._store(store).tagged(tag)

    def call_sweep(self, _caller: Caller, store: str = DEFAULT) -> int:
        """Remove keys whose time is over; return how many."""
        return self._store(store).sweep()

    def call_stores(self, _caller: Caller) -> list[str]:
        """Return the names of the stores that hold something."""
        return self._store(DEFAULT).stores()

    def call_watch(self, _caller: Caller, prefix: str = "", store: str = DEFAULT) -> str:
        """Begin to watch keys with a prefix; return a name for `kv.changes`, good for 10 minutes."""
        watch = self._store(store).watch(prefix)
        now = time.monotonic()
        name = secrets.token_hex(8)
        with self._mutex:
            for old, (_, used) in list(self._watches.items()):
                if now - used > _WATCH_IDLE:
                    del self._watches[old]
            if len(self._watches) >= _MAX_WATCHES:
                raise errors.TryAgainError(SERVER, f"{_MAX_WATCHES} watches already")
            self._watches[name] = (watch, now)
        return name

    def call_changes(self, _caller: Caller, name: str, timeout: float = 30.0) -> list[str]:
        """Wait for changes to what is watched; return their keys, none after `timeout` seconds."""
        with self._mutex:
            found = self._watches.get(name)
        if found is None:
            raise errors.UnknownRequestError(SERVER, "no such watch")
        changed = found[0].wait(checked_timeout(timeout))
        with self._mutex:
            self._watches[name] = (found[0], time.monotonic())
        return changed


def _names(rest: str) -> tuple[str, str]:
    name, slash, key = rest.partition("/")
    if not slash:
        raise errors.RefusedRequestError(SERVER, "a value lies at /kv/<store>/<key>")
    return _unquoted(name), _unquoted(key)


def _unquoted(text: str) -> str:
    return unquote_to_bytes(text).decode("utf-8", "surrogatepass") if "%" in text else text


def _out(value: Any, *, packed: bool) -> Any:
    return values.encode_whole(value, Passing) if packed else value


def _in(value: Any, *, packed: bool) -> Any:
    if not packed:
        return value
    if not isinstance(value, bytes) or not value:
        raise errors.RefusedRequestError(SERVER, "a packed value is bytes")
    return _decoded(value[:1], value[1:])


def _decoded(letter: bytes, body: bytes) -> Any:
    try:
        return values.decode(letter, body, Passing)
    except (ValueError, TypeError, LookupError, EOFError) as exc:
        raise errors.RefusedRequestError(SERVER, f"not a value: {exc}") from exc
