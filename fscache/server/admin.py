"""The calls `admin.*`, for the role admin; their docstrings are the help.

Options come as a table, by the names of `fscache.admin.face.Admin`. Purging, verifying and reindexing
may take hours: those calls begin the work and return a name, for which `admin.result` has the outcome.
"""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any

from fscache import errors
from fscache.server.auth import ADMIN
from fscache.server.parking import checked_timeout
from fscache.server.rpc import SERVER, Method
from fscache.server.status import describe

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.cache import Cache
    from fscache.server.board import Board
    from fscache.server.jobs import Jobs
    from fscache.server.rpc import Caller


MOST_ROWS = 100_000
"""Of one listing, which is put together in memory."""


class AdminCalls:
    """The administrator's calls of one server."""

    def __init__(self, cache: Cache, board: Board, jobs: Jobs) -> None:
        """Serve the administration of `cache`; `jobs` does what takes long, `board` has the requests."""
        self._cache = cache
        self._admin = cache.admin
        self._board = board
        self._jobs = jobs

    def methods(self) -> list[Method]:
        """Return the table."""
        calls: dict[str, Callable[..., Any]] = {
            "requests": self.requests,
            "ls": self.ls,
            "du": self.du,
            "purge": self.purge,
            "pin": self.pin,
            "unpin": self.unpin,
            "verify": self.verify,
            "reindex": self.reindex,
            "result": self.result,
        }
        return [Method(f"admin.{name}", call, ADMIN) for name, call in calls.items()]

    def requests(self, _caller: Caller) -> list[dict[str, Any]]:
        """Return everybody's requests that are under way, with who asked."""
        return [
            {**describe(self._cache, identity, request), "by": batch.asked.by}
            for batch, identity, request in self._board.under_way()
        ]

    def ls(
        self,
        _caller: Caller,
        filters: list[str] | None = None,
        options: dict[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """Return what is in the cache.

        Filters: such as `size>1GiB`, `accessed>7d`, `url~host/path`. Options: kind, sort (atime, size,
        age, name, hits), reverse, limit. At most 100,000 rows, which is 60 MB.
        """
        given = _options(self._admin.ls, options)
        limit = given.pop("limit", MOST_ROWS)
        if isinstance(limit, int | float) and limit > MOST_ROWS:  # what is none is refused there
            limit = MOST_ROWS
        return self._admin.ls(filters or (), limit=limit, **given)

    def du(self, _caller: Caller) -> dict[str, Any]:
        """Return how much there is: total, by kind, host and age, and on the disk."""
        return self._admin.du()

    def purge(self, _caller: Caller, options: dict[str, Any] | None = None) -> str:
        """Begin to purge; return a name for `admin.result`.

        Options: older_than (seconds), max_size (bytes), min_free (`10%`), low_water, grace, match,
        dry_run. Without a reason the limits of the configuration hold.
        """
        return self._begin(self._admin.purge, options)

    def pin(self, caller: Caller, name: str, by: str = "") -> bool:
        """Keep a URL or an address from being purged; false if it was kept already."""
        return self._admin.pin(name, by=by or caller.client)

    def unpin(self, _caller: Caller, name: str) -> bool:
        """Let a URL or an address be purged again; false if it was not kept."""
        return self._admin.unpin(name)

    def verify(self, _caller: Caller, options: dict[str, Any] | None = None) -> str:
        """Begin to verify; return a name for `admin.result`.

        Options: sample (a share, 0 to 1), unverified_for (seconds), rate (bytes a second), repair.
        """
        return self._begin(self._admin.verify, options)

    def reindex(self, _caller: Caller, options: dict[str, Any] | None = None) -> str:
        """Begin to make the catalog anew; return a name for `admin.result`."""
        return self._begin(self._admin.reindex, options)

    def result(self, _caller: Caller, name: str, timeout: float = 30.0) -> Any:
        """Wait for what was begun; return what came of it, null while it goes on."""
        return self._jobs.result(name, checked_timeout(timeout))

    def _begin(self, method: Callable[..., Any], options: dict[str, Any] | None) -> str:
        given = _options(method, options)
        return self._jobs.begin(lambda: method(**given))


def _options(method: Callable[..., Any], options: object) -> dict[str, Any]:
    known = [
        name
        for name, parameter in signature(method).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
    if options is None:
        return {}
    if not isinstance(options, dict) or not set(options) <= set(known):
        raise errors.RefusedRequestError(SERVER, f"options are a table of {', '.join(known)}")
    return {name: value for name, value in options.items() if value is not None}
