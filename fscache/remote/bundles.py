"""Many small objects of a server in one answer, each verified and committed to this machine's root.

A file of 4 KiB by a request of its own costs node and server a millisecond together, of which the bytes
are the least; from a bundle a fifth of that (docs/server.md). The commit is the stager's: the same claim
of the URL, the same partial file, the same entry.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from xxhash import xxh3_128_hexdigest

from fscache.errors import FscacheError, RemoteError
from fscache.fs.atomic import write_all
from stager.checks import DIGEST
from stager.destination import Staged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fscache.remote.client import Client
    from fscache.remote.connection import Answer
    from fscache.urls.destination import CacheDestination

MOST = 1024
"""URLs asked for in one request."""


class Bundles:
    """Brings small objects from one server into one root."""

    def __init__(self, client: Client, destination: CacheDestination) -> None:
        """Ask through `client`; commit to `destination`."""
        self._client = client
        self._destination = destination

    def bring(self, urls: Sequence[str]) -> dict[str, tuple[str, int]]:
        """Return path and size of those URLs that came; the others have to be asked for one by one.

        Raises:
            FscacheError: the server could not be asked.
        """
        found: dict[str, tuple[str, int]] = {}
        at = 0
        while at < len(urls):
            some = urls[at : at + MOST]
            looked = self._bring(some, found)
            if not looked:
                break
            at += looked
        return found

    def _bring(self, urls: Sequence[str], found: dict[str, tuple[str, int]]) -> int:
        answer = self._client.call(
            "POST", "/bundle", json.dumps(urls).encode(), {"Content-Type": "application/json"}
        )
        head, offset = self._head(answer)
        body = memoryview(answer.body)
        for position, size, digest, address in head["objects"]:
            data = body[offset : offset + size]
            offset += size
            url = urls[position]
            if (
                xxh3_128_hexdigest(data) == digest
            ):  # else the single request will tell what is wrong
                path = self._commit(url, data, digest, address)
                if path is not None:
                    found[url] = path, size
        looked: int = head["looked"]
        return looked

    def _head(self, answer: Answer) -> tuple[dict[str, Any], int]:
        end = answer.body.find(b"\n")
        try:
            return json.loads(answer.body[:end]), end + 1
        except ValueError as exc:
            raise RemoteError(self._client.name, f"the bundle cannot be read: {exc}") from exc

    def _commit(self, url: str, data: memoryview, digest: str, address: str) -> str | None:
        try:
            return self._committed(url, data, digest, address)
        except (OSError, FscacheError):
            return None  # the single request fails in the same way, and says so for its URL

    def _committed(self, url: str, data: memoryview, digest: str, address: str) -> str | None:
        claim = self._destination.claim(url)
        if claim is None:
            return None  # another process of this machine is fetching it
        try:
            if claim.kept:
                claim.restart()
            reservation = self._destination.reserve(url, len(data))
            try:
                write_all(claim.fd, data)
                return claim.commit(
                    Staged(
                        url=url,
                        fetched_from=url,
                        digest=digest,
                        size=len(data),
                        checksums={DIGEST: digest},
                        etag=f'"{address}"',
                    )
                )
            finally:
                reservation.release()
        finally:
            claim.release(keep=False)
