"""`GET /urls/<percent-encoded URL>`: the bytes of a URL, staged first where they are not here.

One round trip for a node's miss. The call parks while the URL is staged, for `park` seconds at most;
then the answer is 202 with the request's status, and the node asks again, with its id. An error of
staging is the answer's body, by code and fields. Ranges work as for objects; the digest goes along as
`Repr-Digest`, so that the node verifies in its own stream what this server verified in its.

Query: `checksum=`, `max_age=`, `revalidate=1`, `mirror=` (repeatable), `park=` seconds, `request=` id.

`POST /bundle` sends many small URLs that are here in one answer. Its body is the JSON list of them. The
answer is a line of JSON, then the bytes of the objects that it lists, one after another:

    {"looked": how many of the URLs, from the first on, this answer is about,
     "objects": [[position in the list, size, digest, address], …]}

What is not here, or larger than `SMALL`, is left out: it is asked for by itself.
"""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from fscache import errors
from fscache.server.connection import Response
from fscache.server.options import MAX_URLS
from fscache.server.replies import error_reply, json_reply
from fscache.server.rpc import SERVER
from fscache.server.spool import Asked
from fscache.server.status import describe, told

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.cache import Cache
    from fscache.server.app import Routes
    from fscache.server.blobs import Blobs
    from fscache.server.board import Board
    from fscache.server.connection import Request

PARK = 25.0
"""Seconds; below the 60 after which clients and proxies take a silent server for a dead one."""
SMALL = 64 * 1024
"""Bytes of an object that is bundled: one request each costs more than the bytes."""
BUNDLE = 4 * 1024 * 1024
"""Bytes of one bundle, which is put together in memory."""


class Pulls:
    """The URLs of one cache."""

    def __init__(
        self, cache: Cache, board: Board, blobs: Blobs, *, now: Callable[[], float]
    ) -> None:
        """Find in `cache`, stage by `board`, send by `blobs`."""
        self._cache = cache
        self._board = board
        self._blobs = blobs
        self._now = now

    def routes(self) -> Routes:
        """Return the table."""
        return {("GET", "urls"): self.get, ("POST", "bundle"): self.bundle}

    def get(self, request: Request, quoted: str) -> Response:
        """Answer GET or HEAD.

        Raises:
            RefusedRequestError: the query cannot be read.
            FscacheError: as `Board.stage`.
        """
        url = unquote(quoted)
        query = _Query(request.head.query)
        hit = None if query.options or query.identity else self._cache.find(url)
        if hit is None:
            asked = Asked([[url, *query.mirrors]], query.options, request.client, self._now())
            identity, staged = self._board.pull(asked, query.park, query.identity)
            if staged is not None:
                if not staged.done():
                    return json_reply(describe(self._cache, identity, staged), 202)
                if staged.cancelled():
                    raise errors.TryAgainError(SERVER, "cancelled by somebody else")
                if staged.exception() is not None:
                    return error_reply(told(staged.exception()))
            hit = self._cache.find(url)
            if hit is None:
                raise errors.TryAgainError(SERVER, "purged as soon as it was here")
        else:
            self._board.hits += 1
        response = self._blobs.get(request, hit.address)
        digest = base64.b64encode(bytes.fromhex(hit.entry.digest)).decode("ascii")
        response.headers = (*response.headers, ("Repr-Digest", f"xxh3-128=:{digest}:"))
        return response

    def bundle(self, request: Request, _rest: str) -> Response:
        """Answer POST.

        Raises:
            RefusedRequestError, InvalidURLError: the body is no list of URLs.
        """
        objects: list[tuple[int, int, str, str]] = []
        parts: list[bytes] = []
        size = looked = 0
        for url in _listed(request.body.read_all(BUNDLE)):
            hit = self._cache.find(url)
            if hit is not None and hit.entry.size <= SMALL:
                if size + hit.entry.size > BUNDLE:
                    break
                data = _read(hit.path)
                if data is not None:
                    objects.append((looked, len(data), hit.entry.digest, hit.address))
                    parts.append(data)
                    size += len(data)
            looked += 1
        head = json.dumps({"looked": looked, "objects": objects}).encode("ascii")
        return Response(200, b"".join([head, b"\n", *parts]), "application/octet-stream")


def _read(path: str) -> bytes | None:
    """Return an object's bytes, None where it was purged just now."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        return os.read(fd, SMALL + 1)
    finally:
        os.close(fd)


def _listed(body: bytes) -> list[str]:
    try:
        urls = json.loads(body)
    except (ValueError, RecursionError):
        urls = None
    good = isinstance(urls, list) and len(urls) <= MAX_URLS
    if not good or not all(isinstance(url, str) for url in urls):
        raise errors.RefusedRequestError(SERVER, f"a list of at most {MAX_URLS} URLs, as JSON")
    found: list[str] = urls
    return found


class _Query:
    """What a query asks for."""

    def __init__(self, text: str) -> None:
        self.mirrors: list[str] = []
        self.options: dict[str, object] = {}
        self.park = PARK
        self.identity = ""
        for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=40):
            self._take(name, value)

    def _take(self, name: str, value: str) -> None:
        if name == "mirror":
            self.mirrors.append(value)
        elif name == "request":
            self.identity = value
        elif name == "park":
            self.park = min(_number(name, value), PARK)
        elif name == "revalidate":
            self.options[name] = value not in ("", "0", "false")
        elif name == "max_age":
            self.options[name] = _number(name, value)
        elif name == "checksum":
            self.options[name] = value
        else:
            raise errors.RefusedRequestError(SERVER, f"no such option: {name[:40]}")


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not number >= 0:  # also refuses nan
        raise errors.RefusedRequestError(SERVER, f"{name} is a number from 0")
    return number
