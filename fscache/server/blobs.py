"""Objects over plain HTTP: `GET` and `HEAD /objects/<address>`, `PUT /objects`.

Out: sendfile from the object's own file; an object never changes, so its address is a strong ETag and
an open one is sent to its end even if it is purged meanwhile. In: streamed into the store in constant
memory; nothing gets a name before its length and every digest that came with it have been found true.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fscache import errors
from fscache.objects.digest import new_hasher
from fscache.objects.layout import format_address, parse_address
from fscache.server import ranges
from fscache.server.connection import FilePart, Response
from fscache.server.replies import json_reply
from stager import checks

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.cache import Cache
    from fscache.server.app import Routes
    from fscache.server.body import Body
    from fscache.server.connection import Request
    from stager.destination import Reservation

_BYTES = "application/octet-stream"
DIGEST_HEADER = "x-fscache-digest"
"""`xxh3_128:<hex>`: what our own client sends with an upload."""


class Blobs:
    """The objects of one cache."""

    def __init__(
        self,
        cache: Cache,
        *,
        reserve: Callable[[str, int], Reservation],
        limit: int | None,
    ) -> None:
        """Serve a cache's objects.

        Args:
            cache: Its root and tiers are read, uploads go to its root.
            reserve: Sets space aside for an upload.
            limit: Of one upload, in bytes.
        """
        self._cache = cache
        self._reserve = reserve
        self._limit = limit

    def routes(self) -> Routes:
        """Return the table."""
        return {("GET", "objects"): self.get, ("PUT", "objects"): self.put}

    def get(self, request: Request, name: str) -> Response:
        """Answer GET or HEAD.

        Raises:
            InvalidAddressError: `name` is no address.
            NotCachedError: no such object here.
        """
        address, slot = parse_address(name)
        path = os.fspath(self._cache.path(name))
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise errors.NotCachedError(name=name) from None
        try:
            response = self._describe(request, fd, format_address(address, slot))
        except BaseException:
            os.close(fd)
            raise
        if not isinstance(response.body, FilePart):
            os.close(fd)
        return response

    def _describe(self, request: Request, fd: int, address: str) -> Response:
        status = os.fstat(fd)
        etag = f'"{address}"'
        headers = (
            ("ETag", etag),
            ("Accept-Ranges", "bytes"),
            ("X-Content-Type-Options", "nosniff"),
        )
        if ranges.not_modified(request.head.headers, etag):
            return Response(304, b"", _BYTES, headers)
        size = status.st_size
        try:
            part = ranges.wanted(request.head.headers, size, etag)
        except ranges.UnsatisfiableError:
            return Response(416, b"", _BYTES, (*headers, ("Content-Range", f"bytes */{size}")))
        if part is None:
            return Response(200, FilePart(fd, 0, size), _BYTES, headers)
        offset, count = part
        where = ("Content-Range", f"bytes {offset}-{offset + count - 1}/{size}")
        return Response(206, FilePart(fd, offset, count), _BYTES, (*headers, where))

    def put(self, request: Request, _rest: str) -> Response:
        """Take an upload; the answer names the object.

        Raises:
            ChecksumError, InvalidChecksumError: the bytes are not those that were announced.
            NoSpaceError, StoreError: they cannot be kept.
        """
        length = request.body.length
        limit = self._limit
        if limit is not None and (length or 0) > limit:
            raise _too_large(limit, length or 0)
        promised = _promises(request)
        reservation = self._reserve("upload", length or 0)
        try:
            upload = _Upload(request.body, promised, limit)
            address = self._cache.put(upload)  # type: ignore[arg-type]  # readinto is all it reads
        finally:
            reservation.release()
        return json_reply({"address": address, "digest": upload.digest, "size": upload.size}, 201)


class _Upload:
    """A body that checks itself: whoever reads it to its end has the bytes that were promised."""

    def __init__(self, body: Body, promised: list[checks.Promise], limit: int | None) -> None:
        self._body = body
        self._promised = promised
        self._limit = limit
        self._hasher = new_hasher()
        self._others = {
            promise.algorithm: checks.hasher(promise.algorithm)
            for promise in promised
            if promise.algorithm != checks.DIGEST
        }
        self.size = 0

    @property
    def digest(self) -> str:
        return self._hasher.hexdigest()

    def readinto(self, view: memoryview) -> int:
        count = self._body.readinto(memoryview(view))
        if not count:
            self._check()
            return 0
        data = view[:count]
        self._hasher.update(data)
        for other in self._others.values():
            other.update(data)
        self.size += count
        if self._limit is not None and self.size > self._limit:
            raise _too_large(self._limit, self.size)
        return count

    def _check(self) -> None:
        actual = {name: hasher.hexdigest() for name, hasher in self._others.items()}
        actual[checks.DIGEST] = self.digest
        for promise in self._promised:
            found = actual[promise.algorithm]
            if found != promise.expected:
                raise errors.ChecksumError(
                    "upload", promise.algorithm, promise.expected, found, promise.source
                )


def _promises(request: Request) -> list[checks.Promise]:
    headers = request.head.headers
    found = checks.announced(headers)
    if (text := headers.get(DIGEST_HEADER)) is not None:
        found.append(checks.parse_checksum(text))
    return found


def _too_large(limit: int, size: int) -> errors.NoSpaceError:
    from fscache.units import format_size

    why = f"at most {format_size(limit)} at once"
    return errors.NoSpaceError("upload", why, needed=size, free=limit, fits_ever=False)
