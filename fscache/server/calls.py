"""What can be called: `url.*`, `precondition.*`, `server.*`; their docstrings are the help.

Each function's first parameter is the caller. Times are seconds; a timeout is cut to a minute, and
who waits longer calls again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fscache import __version__, errors
from fscache.server.options import checked_urls
from fscache.server.parking import checked_timeout
from fscache.server.rpc import SERVER, Method
from fscache.server.spool import Asked
from fscache.server.status import lookup

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.cache import Cache
    from fscache.server.board import Board
    from fscache.server.preconditions import Preconditions
    from fscache.server.rpc import Caller

_MAX_IDS = 20_000


class Calls:
    """The calls of one server."""

    def __init__(
        self,
        cache: Cache,
        board: Board,
        preconditions: Preconditions,
        *,
        now: Callable[[], float],
        identity: str,
    ) -> None:
        """Serve these; `identity` is what `beacon` wrote into the root."""
        self._cache = cache
        self._board = board
        self._preconditions = preconditions
        self._now = now
        self._identity = identity

    def methods(self) -> list[Method]:
        """Return the table."""
        return [
            Method("server.about", self.about),
            Method("url.stage", self.stage),
            Method("url.wait", self.wait),
            Method("url.status", self.status),
            Method("url.cancel", self.cancel),
            Method("url.lookup", self.lookup),
            Method("url.forget", self.forget),
            Method("url.entries", self.entries),
            Method("precondition.met", self.met),
            Method("precondition.wait", self.await_met),
        ]

    def about(self, _caller: Caller) -> dict[str, Any]:
        """Return version, root, and the identity that whoever shares the root finds in it."""
        return {"version": __version__, "root": self._cache.root.path, "identity": self._identity}

    def stage(
        self, caller: Caller, urls: list[Any], options: dict[str, Any] | None = None
    ) -> list[str]:
        """Start staging URLs (each text, or a list of mirrors); return a request id for each.

        Options: checksum, checksums (by URL), max_age, revalidate, headers.
        """
        return self._board.stage(
            Asked(checked_urls(urls), options or {}, caller.client, self._now())
        )

    def wait(
        self, _caller: Caller, ids: list[str], timeout: float = 30.0, brief: bool = False
    ) -> list[dict[str, Any]]:
        """Wait until a request has ended; return the status of all that have, perhaps none.

        Brief, of those that ended well it tells id and state only.
        """
        return self._board.wait(_checked_ids(ids), checked_timeout(timeout), brief=brief)

    def status(self, _caller: Caller, ids: list[str]) -> list[dict[str, Any]]:
        """Return the status of requests: state, done, total, rate; what came of it, or the error."""
        return self._board.status(_checked_ids(ids))

    def cancel(self, _caller: Caller, ids: list[str]) -> int:
        """Give requests up; a transfer ends when nobody else waits for it. Return how many."""
        return self._board.cancel(_checked_ids(ids))

    def lookup(self, _caller: Caller, urls: list[str]) -> list[dict[str, Any] | None]:
        """Return what is here of URLs: address, digest, size, …; null for what is not."""
        return [lookup(self._cache, each[0]) for each in checked_urls(urls)]

    def forget(self, _caller: Caller, url: str) -> bool:
        """Forget a URL; return whether it was known."""
        return self._cache.forget(url)

    def entries(self, _caller: Caller) -> list[dict[str, object]]:
        """Return what is recorded of every URL."""
        return list(self._cache.entries())

    def met(self, caller: Caller, name: str) -> bool:
        """Declare a precondition met, for ever."""
        self._preconditions.met(name, caller.client)
        return True

    def await_met(self, _caller: Caller, names: list[str], timeout: float = 30.0) -> list[str]:
        """Wait until all these preconditions are met; return those that are.

        `request:<id>` is met when that request has ended.
        """
        return self._preconditions.wait(_checked_ids(names), checked_timeout(timeout))


def _checked_ids(ids: object) -> list[str]:
    short = isinstance(ids, list) and len(ids) <= _MAX_IDS
    if isinstance(ids, list) and short and all(isinstance(each, str) for each in ids):
        return ids
    raise errors.RefusedRequestError(SERVER, f"expected a list of at most {_MAX_IDS} names")
