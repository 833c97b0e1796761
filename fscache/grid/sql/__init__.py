"""SQL over tables, where their shards lie; and without any cluster.

    result = grid.sql("SELECT kind, count(*), avg(flux) FROM sky WHERE flux > shared.least GROUP BY kind",
                      shared={"least": 10.0})
    result.rows(); result.arrow(); result.df(); result.columns; result.types

    fscache.sql("SELECT * FROM 'https://host/stars.parquet' LIMIT 5")

`Grid.sql` and `sql` take the same arguments. The answer is the one that a single DuckDB process gives
over the whole data, in names, types and values (docs/sql.md says how, and how far floating point may
differ).

Queries only read: tables, and URLs, which are staged into the cache first. `shared.NAME` in a query
stands for a value that is passed with it, and never becomes part of its text.

How the parts of this package depend on each other: `parse` reads a query and refuses what does not
only read; `catalog` says what tables there are; `planner` (pure) makes steps of it: fragments for the
workers, and a final query; `execute` runs steps, on workers (`worker`, `driver`) or in this process
(`local`). `functions` adds functions of its own to DuckDB's: `functions.rewrite(expression)` is called on
every parsed query, `functions.install(connection)` on every connection that runs one.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from fscache.cache import Cache
    from fscache.grid.mapreduce import Progress
    from fscache.grid.sql.result import Result
    from fscache.grid.sql.stream import Stream

__all__ = ["Result", "Stream", "sql"]


def sql(
    query: str,
    shared: Mapping[str, Any] | None = None,
    *,
    streaming: bool = False,
    progress: bool | Callable[[Progress], None] | None = None,
    max_gather: int | None = None,
    cache: Cache | None = None,
) -> Result | Stream:
    """Run a query in this process, on tables whose shards are in the cache, and on URLs.

    Args:
        query: One SELECT, in DuckDB's dialect, or EXPLAIN before one.
        shared: Values for `shared.NAME` in the query: anything that DuckDB takes as a parameter, lists
            and NumPy arrays too.
        streaming: Return a `Stream` of Arrow record batches instead, which has `cancel()`.
        progress: True draws a bar; a callable gets a `Progress`.
        max_gather: Bytes that may come together in one place; a quarter of the memory by default.
        cache: Where tables and URLs are; the default cache otherwise.

    Raises:
        SQLError: it is no query, names what is not there, or failed; with `query` and `position`.
        SQLRefusedError: it does not only read.
        UnknownTableError: there is no table of a name.
        GatherTooLargeError: more than `max_gather` would come together.
        StageError: a URL could not be fetched.
        CancelledError: `cancel` was called meanwhile.
    """
    from fscache.grid.sql.local import run

    return run(
        query, shared, streaming=streaming, progress=progress, max_gather=max_gather, cache=cache
    )


def __getattr__(name: str) -> Any:
    if name == "Result":
        from fscache.grid.sql.result import Result

        return Result
    if name == "Stream":
        from fscache.grid.sql.stream import Stream

        return Stream
    raise AttributeError(f"module 'fscache.grid.sql' has no attribute {name!r}")
