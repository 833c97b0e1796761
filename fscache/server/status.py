"""What is told of a request, and of a URL that is here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fscache import errors
from fscache.remote import faults
from fscache.server.rpc import SERVER

if TYPE_CHECKING:
    from fscache.cache import Cache
    from stager.request import FetchRequest


def describe(
    cache: Cache, identity: str, item: FetchRequest | tuple[str, ...], *, brief: bool = False
) -> dict[str, Any]:
    """Return a request's status: id, state, url, done, total, rate, and what came of it.

    Args:
        cache: Where its URL is looked up once it is done.
        identity: Its id.
        item: The request, or the URL (and mirrors) of one that ended well.
        brief: Of one that ended well tell no more than that.
    """
    state = "done" if isinstance(item, tuple) else item.state
    found: dict[str, Any] = {"id": identity, "state": state}
    if brief and state == "done":
        return found
    if isinstance(item, tuple):
        found["url"] = item[0]
    else:
        found |= {"url": item.urls[0], **item.progress._asdict()}
        if state == "failed":
            found["error"] = faults.encode(told(item.exception()))
    if state == "done" and (here := lookup(cache, found["url"])) is not None:
        found.update(here, done=here["size"], total=here["size"])
    return found


def lookup(cache: Cache, url: str) -> dict[str, Any] | None:
    """Return what is here of a URL: address, digest, size, checksums, path; None for nothing."""
    hit = cache.find(url)
    if hit is None:
        return None
    entry = hit.entry
    return {
        "address": hit.address,
        "digest": entry.digest,
        "size": entry.size,
        "checksums": dict(entry.checksums),
        "fetched_at": entry.fetched_at,
        "checked_at": entry.checked_at,
        "path": hit.path,
    }


def told(error: BaseException | None) -> BaseException:
    """Return what a client is told of an error: those of the tree, and no other's text."""
    if error is not None and faults.is_ours(error):
        return error
    return errors.RemoteError(SERVER, "internal error; see the log of the server")
