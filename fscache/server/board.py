"""The requests of all clients: staged by one cache, waited for, reported, resumed after a restart.

An id is `<batch>.<number>`: the URLs of one call are a batch, which has one spool file. Where every URL
was a hit there is neither, and the id holds the URL. Each asker has an id of its own; that several of
them wait for one transfer is the stager's business (single flight), as is giving a transfer up when
the last one cancels.

Ids stay good over a restart, and while their spool file is kept (a day); then they are unknown, and
whoever asks for the URL again finds it there.
"""

from __future__ import annotations

import logging
import secrets
import threading
from concurrent.futures import FIRST_COMPLETED
from concurrent.futures import wait as wait_for
from typing import TYPE_CHECKING, Any

from fscache import errors
from fscache.remote import faults
from fscache.server import status
from fscache.server.batches import Batch, Batches
from fscache.server.options import checked_options, checked_urls, without_secrets
from fscache.server.rpc import SERVER
from stager.request import FetchRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    from fscache.cache import Cache
    from fscache.server.batches import Kept
    from fscache.server.spool import Asked, Spool

_log = logging.getLogger("fscache.server")
_HIT = "hit-"
_MOST_DIGITS = 9
_MANY = 16  # requests waited for at once from which a moment is spent on gathering
_GATHER = 0.05


class Board:
    """All requests of one server."""

    def __init__(
        self, cache: Cache, spool: Spool, *, now: Callable[[], float], stopping: Callable[[], bool]
    ) -> None:
        """Stage into `cache`.

        Args:
            cache: Does the work.
            spool: Keeps what was accepted.
            now: The clock, seconds since the epoch.
            stopping: Whether the server is about to stop.
        """
        self._cache = cache
        self._spool = spool
        self._now = now
        self._stopping = stopping
        self._batches = Batches()
        self._reviving = threading.Lock()
        self.hits = 0
        """URLs asked for that were here."""
        self.misses = 0

    # -- asking -------------------------------------------------------------------------------

    def stage(self, asked: Asked) -> list[str]:
        """Start staging; return an id for each URL, in order.

        Raises:
            RefusedRequestError: the call makes no sense.
            StoreError: it cannot be written down; nothing of it goes on.
            TryAgainError: the server is stopping.
        """
        if self._stopping():
            raise errors.TryAgainError(SERVER, "stopping")
        batch = self._start(secrets.token_hex(8), asked)
        if batch.good:
            # Ids that say all there is to say: a hit leaves nothing in memory or in the spool.
            return [f"{_HIT}{secrets.token_hex(4)}:{each.urls[0]}" for each in batch.requests]
        if not all(request.done() for request in batch.requests):
            self._accept(batch)
        self._follow(batch)
        return [f"{batch.name}.{number}" for number in range(len(batch.requests))]

    def resume(self) -> int:
        """Go on with what was under way when the last server ended; return how many URLs."""
        return sum(len(self._revive(name) or ()) for name in self._spool.accepted())

    def take_dropped(self, name: str, asked: Asked) -> None:
        """Start a batch that a node dropped as a file; its answer becomes a file.

        One of a name that is under way is left to go on: an earlier server, or turn, took the file and
        could not remove it.
        """
        batch = self._start(name, asked)
        if self._accept(batch):
            self._follow(batch)

    def request(self, identity: str) -> FetchRequest:
        """Return the request of an id.

        Raises:
            UnknownRequestError: there is none.
        """
        item = self._items([identity])[identity]
        return item if isinstance(item, FetchRequest) else self._cache.prefetch([list(item)])[0]

    def wait(
        self, ids: Sequence[str], timeout: float, *, brief: bool = False
    ) -> list[dict[str, Any]]:
        """Return the status of those that have ended; parks until there is one, or `timeout` s.

        Args:
            ids: Of requests.
            timeout: Seconds.
            brief: Of those that ended well tell no more than that.

        Raises:
            UnknownRequestError: there is no such request.
            TryAgainError: the server is stopping.
        """
        items = self._items(ids)
        requests = [item for item in items.values() if isinstance(item, FetchRequest)]
        if len(requests) == len(items):  # else some have ended long ago
            wait_for(requests, timeout, return_when=FIRST_COMPLETED)
            if len(requests) >= _MANY:
                # Small files end by the hundred: one call tells of many for the price of one.
                wait_for(requests, min(timeout, _GATHER))
        if self._stopping():
            raise errors.TryAgainError(SERVER, "stopping")
        return [
            status.describe(self._cache, identity, item, brief=brief)
            for identity, item in items.items()
            if not isinstance(item, FetchRequest) or item.done()
        ]

    def status(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return the status of requests; raises UnknownRequestError."""
        return [status.describe(self._cache, i, item) for i, item in self._items(ids).items()]

    def cancel(self, ids: Sequence[str]) -> int:
        """Give requests up; return how many were still under way."""
        items = self._items(ids).values()
        return sum(item.cancel() for item in items if isinstance(item, FetchRequest))

    def pull(
        self, asked: Asked, timeout: float, identity: str = ""
    ) -> tuple[str, FetchRequest | None]:
        """Stage one URL for a client that holds the line.

        Leaves no trace in the spool: when this server ends, the client asks the next one again.

        Args:
            asked: What is wanted.
            timeout: Seconds; then the client is told how far it is, and asks again.
            identity: What an earlier call for the same returned.

        Returns:
            An id, and the request; None if it has ended so long ago that it is forgotten.
        """
        if self._stopping():
            raise errors.TryAgainError(SERVER, "stopping")
        try:
            item = self._items([identity])[identity] if identity else None
        except errors.UnknownRequestError:
            item = None  # another server's: begin anew
        if isinstance(item, tuple):
            return identity, None
        if item is None:
            batch = self._start(secrets.token_hex(8), asked)
            self._follow(batch)
            identity, item = f"{batch.name}.0", batch.requests[0]
        wait_for([item], timeout)
        if self._stopping():
            raise errors.TryAgainError(SERVER, "stopping")
        return identity, item

    # -- telling ------------------------------------------------------------------------------

    def under_way(self) -> Iterator[tuple[Batch, str, FetchRequest]]:
        """Yield what has not ended: batch, id, request."""
        for batch in self._batches.running():
            for number, request in enumerate(batch.requests):
                if not request.done():
                    yield batch, f"{batch.name}.{number}", request

    def close(self) -> None:
        """Let go of every request, so that who waits wakes; files and partial files stay."""
        for _batch, _identity, request in list(self.under_way()):
            request.cancel()

    # -- inside -------------------------------------------------------------------------------

    def _start(self, name: str, asked: Asked) -> Batch:
        urls = checked_urls(asked.urls)
        options = checked_options(asked.options)
        requests = self._cache.prefetch(urls, **options)
        batch = Batch(name, without_secrets(asked), requests)
        missing = sum(not request.done() for request in requests)
        self.misses += missing
        self.hits += len(requests) - missing
        return batch

    def _accept(self, batch: Batch) -> bool:
        """Write a batch down; where that fails, or its name is taken, its requests are given up."""
        try:
            batch.spooled = self._spool.accept(batch.name, batch.asked)
        finally:
            if not batch.spooled:
                for request in batch.requests:
                    request.cancel()
        return batch.spooled

    def _follow(self, batch: Batch) -> None:
        """Count the batch's requests down; in the caller's thread for those that have ended."""
        self._batches.add(batch)
        for request in batch.requests:
            request.add_done_callback(lambda request: self._count(batch, request))

    def _count(self, batch: Batch, request: Future[Any]) -> None:
        error = None if request.cancelled() else request.exception()
        if error is not None and not faults.is_ours(error):
            _log.error("a request of batch %s failed", batch.name, exc_info=error)
        if not self._batches.one_ended(batch) or self._stopping():
            return  # cancelled by `close`, it is gone on with by the next server
        self._batches.end(batch)
        if batch.spooled:
            answers = None
            if batch.asked.dropped:
                answers = [
                    status.describe(self._cache, f"{batch.name}.{number}", request)
                    for number, request in enumerate(batch.requests)
                ]
            self._finish(batch, answers)

    def _finish(self, batch: Batch, answers: list[dict[str, Any]] | None) -> None:
        try:
            self._spool.finish(batch.name, batch.asked, good=batch.good, requests=answers)
        except errors.StoreError as exc:
            # A full disk: the file stays in `cur`, and the next start finds the URLs there.
            _log.warning("the end of request %s is not written down: %s", batch.name, exc)

    def _items(self, ids: Sequence[str]) -> dict[str, FetchRequest | tuple[str, ...]]:
        """Return what is left of requests; raises UnknownRequestError for the first that is none."""
        batches: dict[str, Kept | None] = {}
        found: dict[str, FetchRequest | tuple[str, ...]] = {}
        for identity in ids:
            if identity.startswith(_HIT):
                found[identity] = (identity.partition(":")[2],)
                continue
            name, _, number = identity.partition(".")
            if name not in batches:
                batches[name] = self._kept(name)
            kept = batches[name]
            good = kept is not None and number.isdigit() and len(number) <= _MOST_DIGITS
            if kept is None or not good or int(number) >= len(kept):
                raise errors.UnknownRequestError(SERVER, f"no request {identity[:80]}")
            found[identity] = kept[int(number)]
        return found

    def _kept(self, name: str) -> Kept | None:
        kept = self._batches.get(name)
        return self._revive(name) if kept is None else kept

    def _revive(self, name: str) -> Kept | None:
        """Go on with a batch of an earlier server: the keeper's scan, or an asker who came first."""
        with self._reviving:
            kept = self._batches.get(name)
            if kept is not None:
                return kept
            pending = self._spool.pending(name)
            # Of one that has ended: what was staged is a hit, what failed is tried again.
            asked = pending or self._spool.ended(name)
            if asked is None:
                return None
            try:
                batch = self._start(name, asked)
            except (
                errors.RefusedRequestError
            ) as exc:  # of another version, which knew other options
                _log.warning("request %s cannot be gone on with: %s", name, exc)
                self._spool.finish(name, asked, good=False, requests=None)
                return None
            batch.spooled = pending is not None
            self._follow(batch)
            return batch.requests
