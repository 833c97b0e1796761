"""Single values over plain HTTP: `GET`, `PUT`, `DELETE /kv/<store>/<key>`.

The body is the value's body, the header `Fscache-Kind` its letter (`fscache.kv.codec`), so that `curl`
reads text as text. A PUT with `Fscache-Expect` (a version, or `absent`) is a `cas`, of values too large
for a call. What a client's own serializer made (letter `x`) is kept and handed back as bytes: nothing
is ever unpickled here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from fscache import errors
from fscache.kv import codec
from fscache.kv.face import ABSENT, Version
from fscache.kv.local import LocalStore
from fscache.server.connection import Response
from fscache.server.replies import json_reply
from fscache.server.rpc import SERVER

if TYPE_CHECKING:
    from fscache.records.root import Root
    from fscache.server.app import Routes
    from fscache.server.connection import Request

DEFAULT = "default"
KIND, TTL, TAGS = "fscache-kind", "fscache-ttl", "fscache-tags"
EXPECT, ONCE = "fscache-expect", "fscache-once"

_BYTES = "application/octet-stream"
_TYPES = {b"s": "text/plain; charset=utf-8", b"j": "application/json"}
_NOSNIFF = ("X-Content-Type-Options", "nosniff")


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


class Stores:
    """The stores of one root, each made once: it remembers recent values, for all connections."""

    def __init__(self, root: Root) -> None:
        """Serve `root`."""
        self._root = root
        self._made: dict[str, LocalStore] = {}

    def __call__(self, name: str) -> LocalStore:
        """Return the store of a name; raises ValueError for what is none."""
        store = self._made.get(name)
        if store is None:
            made = LocalStore(self._root, name, serializer=Passing)
            store = self._made.setdefault(name, made)
        return store


class Values:
    """The values of one root."""

    def __init__(self, stores: Stores, limit: int) -> None:
        """Serve `stores`; `limit` is of one value, in bytes."""
        self._store = stores
        self._limit = limit

    def routes(self) -> Routes:
        """Return the table."""
        return {("GET", "kv"): self.get, ("PUT", "kv"): self.put, ("DELETE", "kv"): self.delete}

    def get(self, request: Request, rest: str) -> Response:  # noqa: ARG002 - a route
        """Answer GET: the value, or 404."""
        name, key = _names(rest)
        letter, pieces = codec.encode(self._store(name).get(key), Passing)
        kind = _TYPES.get(letter, _BYTES)
        headers = (("Fscache-Kind", letter.decode("ascii")), _NOSNIFF)
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return Response(200, bytes(body), kind, headers)

    def put(self, request: Request, rest: str) -> Response:
        """Take a value; without a kind, text/* is text and anything else bytes.

        The answer says whether it was put: always, unless something else was expected there.
        """
        name, key = _names(rest)
        headers = request.head.headers
        letter = headers.get(KIND, "").encode("latin-1")
        if not letter:
            is_text = headers.get("content-type", "").startswith("text/")
            letter = codec.TEXT if is_text else codec.BYTES
        body = request.body.read_all(self._limit)
        value = decoded(letter, body)
        ttl = _seconds(headers.get(TTL))
        tags = _words(headers.get(TAGS))
        expect = headers.get(EXPECT)
        store = self._store(name)
        if expect is None:
            store.put(key, value, ttl=ttl, tags=tags)
            return json_reply(value=True)
        expected = ABSENT if expect == "absent" else Version(expect)
        once = headers.get(ONCE, "")
        return json_reply(store.cas(key, expected, value, ttl=ttl, tags=tags, once=once))

    def delete(self, request: Request, rest: str) -> Response:  # noqa: ARG002 - a route
        """Remove a key; the answer says whether it was there."""
        name, key = _names(rest)
        return json_reply(self._store(name).delete(key))


def _names(rest: str) -> tuple[str, str]:
    name, slash, key = rest.partition("/")
    if not slash:
        raise errors.RefusedRequestError(SERVER, "a value lies at /kv/<store>/<key>")
    return _unquoted(name), _unquoted(key)


def _unquoted(text: str) -> str:
    return unquote_to_bytes(text).decode("utf-8", "surrogatepass") if "%" in text else text


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        raise errors.RefusedRequestError(SERVER, "Fscache-TTL is a number of seconds") from None


def _words(text: str | None) -> list[str]:
    try:
        words = [] if text is None else json.loads(text)
    except (ValueError, RecursionError):
        words = None
    if isinstance(words, list) and all(isinstance(word, str) for word in words):
        return words
    raise errors.RefusedRequestError(SERVER, "Fscache-Tags is a list of texts, as JSON")


def decoded(letter: bytes, body: bytes) -> Any:
    """Return the value of a letter and a body; raises RefusedRequestError for what is none."""
    try:
        return codec.decode(letter, body, Passing)
    except (ValueError, TypeError, LookupError, EOFError, RecursionError) as exc:
        raise errors.RefusedRequestError(SERVER, f"not a value: {exc}") from exc
