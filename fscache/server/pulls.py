"""`GET /urls/<percent-encoded URL>`: the bytes of a URL, staged first where they are not here.

One round trip for a node's miss. The call parks while the URL is staged, for `PARK` seconds at most;
then the answer is 202 with the request's status, and the node asks again. An error of staging is the
answer's body, by code and fields. Ranges work as for objects; the digest goes along as `Repr-Digest`,
so that the node verifies in its own stream what this server verified in its.

Query: `checksum=`, `max_age=`, `revalidate=1`, `mirror=` (repeatable).
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from fscache import errors
from fscache.remote import faults
from fscache.server.replies import error_reply, json_reply
from fscache.server.rpc import SERVER
from fscache.server.spool import Asked

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.cache import Cache
    from fscache.server.app import Routes
    from fscache.server.blobs import Blobs
    from fscache.server.board import Board
    from fscache.server.connection import Request, Response

PARK = 25.0
"""Seconds; below the 60 after which clients and proxies take a silent server for a dead one."""


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
        return {("GET", "urls"): self.get}

    def get(self, request: Request, quoted: str) -> Response:
        """Answer GET or HEAD.

        Raises:
            RefusedRequestError: the query cannot be read.
            FscacheError: as `Board.stage`.
        """
        url = unquote(quoted)
        mirrors, options = _query(request.head.query)
        hit = None if options else self._cache.find(url)
        if hit is None:
            asked = Asked([[url, *mirrors]], options, request.client, self._now())
            staged = self._board.pull(asked, PARK)
            if not staged.done():
                return json_reply({"url": url, "state": staged.state}, 202)
            error = staged.exception()
            if error is not None:
                if not faults.is_ours(error):
                    raise error
                return error_reply(error)
            hit = self._cache.find(url)
            if hit is None:
                raise errors.TryAgainError(SERVER, "purged as soon as it was here")
        response = self._blobs.get(request, hit.address)
        digest = base64.b64encode(bytes.fromhex(hit.entry.digest)).decode("ascii")
        response.headers = (*response.headers, ("Repr-Digest", f"xxh3-128=:{digest}:"))
        return response


def _query(query: str) -> tuple[list[str], dict[str, object]]:
    mirrors: list[str] = []
    options: dict[str, object] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, max_num_fields=40):
        if name == "mirror":
            mirrors.append(value)
        elif name == "revalidate":
            options[name] = value not in ("", "0", "false")
        elif name == "max_age":
            try:
                options[name] = float(value)
            except ValueError:
                raise errors.RefusedRequestError(SERVER, "max_age is no number") from None
        elif name == "checksum":
            options[name] = value
        else:
            raise errors.RefusedRequestError(SERVER, f"no such option: {name[:40]}")
    return mirrors, options
