"""DuckDB, as far as tables need it: rows of one file, and ordered streams of many.

Nothing but this package imports DuckDB. A connection is made for each use: 3 ms, and no state shared
between threads.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import duckdb
    import pyarrow as pa

_EACH = 32  # files of two tables take 25 ms more to plan; 200 take 0.4 s, 1000 six


def connect(threads: int | None = None, temp: str | None = None) -> duckdb.DuckDBPyConnection:
    """Return a new in-memory database.

    Args:
        threads: How many it may use; all cores by default.
        temp: Directory for what does not fit into memory.
    """
    import duckdb

    config: dict[str, Any] = {}
    if threads is not None:
        config["threads"] = threads
    if temp is not None:
        config["temp_directory"] = temp
    return duckdb.connect(":memory:", config=config)


def select(path: str, columns: Mapping[str, Sequence[str]], where: str) -> pa.Table:
    """Return columns of the rows of a Parquet file for which an SQL condition holds.

    Args:
        path: Of the file.
        columns: The way to each through structs, by the name that it is to have.
        where: The condition.

    Raises:
        SQLError: DuckDB does not accept the condition.
    """
    import duckdb

    chosen = ", ".join(
        f"{'.'.join(map(quoted, way))} AS {quoted(name)}" for name, way in columns.items()
    )
    query = f"SELECT {chosen} FROM {parquet([path])} WHERE {where}"  # noqa: S608 - the caller's own code
    with connect(threads=1) as connection:
        try:
            return connection.sql(query).to_arrow_table()
        except duckdb.Error as exc:
            from fscache.errors import SQLError
            from fscache.grid.sql.bind import reason

            raise SQLError(f"where: {reason(exc)}", where) from None


def parquet(paths: Iterable[str]) -> str:
    """Return what reads Parquet files, as SQL has it.

    Least and greatest of a column's chunk, as most writers keep them, leave NaN out. DuckDB takes NaN for
    greater than every number and would skip chunks that have some, unless it is told of them. Paths are
    real ones, since a sandbox opens directories by their real names.
    """
    listed = ", ".join(literal(os.path.realpath(path)) for path in paths)
    return f"read_parquet([{listed}], can_have_nan = true)"


def parquet_each(paths: Sequence[str]) -> str:
    """Return what reads Parquet files of the same columns, each as a relation of its own if they are few.

    DuckDB knows the statistics of one file, not of many: without them it takes a key for one that may be
    NULL, and then for one that mostly is, and chooses the wrong side of a semi-join to be kept in memory.
    """
    if len(paths) > _EACH:
        return parquet(paths)
    return f"({' UNION ALL '.join(f'FROM {parquet([path])}' for path in paths)})"


def quoted(name: str) -> str:
    """Return a name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as SQL has it."""
    return "'" + text.replace("'", "''") + "'"
