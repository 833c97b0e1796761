"""A server's root, looked after from afar: what `Cache.admin` offers, for an admin's token.

Long work goes on at the server while the call parks, and ends there whether somebody waits or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fscache.remote.rpc import RPC

_PARK = 25.0


class RemoteAdmin:
    """The administrator's side of a server; every method raises AccessDeniedError for another role."""

    def __init__(self, rpc: RPC) -> None:
        """Ask `rpc`."""
        self._rpc = rpc

    def ls(
        self,
        filters: Iterable[str] = (),
        *,
        kind: str | None = None,
        sort: str = "atime",
        reverse: bool = False,
        limit: int | None = None,
    ) -> list[dict[str, Any]]:
        """Return what is in the cache, at most 100,000 rows; see `Admin.ls`."""
        options = {"kind": kind, "sort": sort, "reverse": reverse, "limit": limit}
        found: list[dict[str, Any]] = self._rpc("admin.ls", list(filters), options)
        return found

    def du(self) -> dict[str, Any]:
        """Return how much there is; see `Admin.du`."""
        found: dict[str, Any] = self._rpc("admin.du")
        return found

    def purge(
        self,
        *,
        older_than: float | None = None,
        max_size: int | None = None,
        min_free: str | None = None,
        low_water: float | None = None,
        grace: float | None = None,
        match: str | None = None,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Remove what was used least recently; see `Admin.purge`."""
        return self._work(
            "admin.purge",
            older_than=older_than,
            max_size=max_size,
            min_free=min_free,
            low_water=low_water,
            grace=grace,
            match=match,
            dry_run=dry_run,
        )

    def pin(self, name: str, *, by: str = "") -> bool:
        """Keep an object from being purged; see `Admin.pin`. By default the server names our address."""
        done: bool = self._rpc("admin.pin", name, by)
        return done

    def unpin(self, name: str) -> bool:
        """Let what was pinned be purged again; see `Admin.unpin`."""
        done: bool = self._rpc("admin.unpin", name)
        return done

    def verify(
        self,
        *,
        sample: float = 1.0,
        unverified_for: float | None = None,
        rate: float | None = None,
        repair: bool = False,
    ) -> dict[str, Any]:
        """Hash objects again, and find what is not where it belongs; see `Admin.verify`."""
        return self._work(
            "admin.verify", sample=sample, unverified_for=unverified_for, rate=rate, repair=repair
        )

    def reindex(self) -> dict[str, Any]:
        """Make the catalog anew from the files; see `Admin.reindex`."""
        return self._work("admin.reindex")

    def _work(self, method: str, **options: object) -> dict[str, Any]:
        # Not repeated: the first may be under way, and a second one would wait for its locks.
        name = self._rpc(method, options, repeatable=False)
        while True:
            done: dict[str, Any] | None = self._rpc("admin.result", name, _PARK, parked=_PARK)
            if done is not None:
                return done
