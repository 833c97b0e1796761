"""Staging into a root without any network: what the stager does at the end of a transfer."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Protocol

from fscache.objects.digest import digest_of
from fscache.urls.destination import CacheDestination
from fscache.urls.index import URLIndex
from stager.destination import Staged

if TYPE_CHECKING:
    from fscache.records.root import Root

URL = "https://host/file"


def staged(url: str, data: bytes, **changes: object) -> Staged:
    """Return what the stager would say of a body that arrived whole."""
    fields = {
        "url": url,
        "fetched_from": url,
        "digest": digest_of(data),
        "size": len(data),
        "checksums": {"sha256": hashlib.sha256(data).hexdigest()},
        "etag": '"v1"',
        **changes,
    }
    return Staged(**fields)


class Stage(Protocol):
    """Puts bytes into a root as the stager does; returns the object's path."""

    def __call__(self, url: str, data: bytes, root: Root | None = None, **changes: object) -> str:
        """Stage `data` as `url`."""


def stage_into(root: Root, url: str, data: bytes, **changes: object) -> str:
    destination = CacheDestination(root, URLIndex(root), max_size=None)
    claim = destination.claim(url)
    assert claim is not None
    try:
        os.write(claim.fd, data)
        return claim.commit(staged(url, data, **changes))
    finally:
        claim.release(keep=False)
