"""`fscache-stager`: the data server, with the SQL of the grid handed in.

The server knows neither the grid nor DuckDB, and needs neither: without them it answers all but
queries. A grid that is configured is joined with the first query, and left when the server stops.
"""

from __future__ import annotations

import sys
import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from fscache.errors import TryAgainError
from fscache.server import main
from fscache.server.rpc import SERVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fscache.cache import Cache
    from fscache.grid.grid import Grid
    from fscache.grid.sql.stream import Stream


def run(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop; return the exit code."""
    able = all(find_spec(name) for name in ("duckdb", "pyarrow", "sqlglot"))
    return main.run(arguments, queries=Queries if able else None)


class Queries:
    """Runs queries on a cache, or on the grid that its configuration names."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._grid: Grid | None = None
        self._lock = threading.Lock()
        self._closed = False

    def __call__(
        self,
        query: str,
        *,
        shared: dict[str, Any],
        max_gather: int | None,
        kind: str,
        progress: Callable[[Any], None],
    ) -> _Rows:
        """Start a query.

        Raises:
            TryAgainError: the server is stopping.
        """
        stream = self._sql()(
            query, shared, streaming=True, progress=progress, max_gather=max_gather
        )
        return _Rows(stream, kind)

    def close(self) -> None:
        """Leave the grid."""
        self._closed = True  # not under the lock: to join a grid takes up to a minute
        self._leave()

    def _leave(self) -> None:
        grid, self._grid = self._grid, None
        if grid is not None:
            grid.close()

    def _sql(self) -> Callable[..., Any]:
        address = self._cache.config.grid
        if address is None:
            from functools import partial

            from fscache.grid.sql import sql

            return partial(sql, cache=self._cache)
        from fscache.grid.grid import Grid

        with self._lock:
            grid = self._grid
            if grid is None or grid.ishalted():
                self._leave()
                grid = self._grid = Grid(address, cache=self._cache)
            if self._closed:
                self._leave()
                raise TryAgainError(SERVER, "stopping")
        return grid.sql


class _Rows:
    """A query's rows, encoded."""

    def __init__(self, stream: Stream, kind: str) -> None:
        self._stream = stream
        self._kind = kind

    def __iter__(self) -> Iterator[bytes]:
        from fscache.grid.sql.output import encode

        return encode(self._stream, self._kind)

    def cancel(self) -> None:
        """End the query."""
        self._stream.close()


if __name__ == "__main__":
    sys.exit(run())
