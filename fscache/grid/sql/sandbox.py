"""DuckDB connections that can read what they are given and nothing else, with our functions in them.

No files but those named, no network, no extensions, no variables of this program's Python, and no way for
a query to change that: the configuration is locked.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from fscache.grid.engine import literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    import duckdb


def opened(
    *,
    threads: int | None = None,
    memory: int | None = None,
    temp: str | None = None,
    timezone: str | None = None,
) -> duckdb.DuckDBPyConnection:
    """Return a new in-memory database with our functions; `lock` it before a query runs.

    Args:
        threads: How many it may use; all cores by default.
        memory: Bytes it may use before it writes to `temp`.
        temp: Directory for what does not fit into memory; without one, a query fails instead.
        timezone: What times without an offset mean; the host's own by default.
    """
    import duckdb

    from fscache.grid.sql import functions

    config: dict[str, Any] = {
        "allow_community_extensions": False,
        "arrow_lossless_conversion": True,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
        "temp_directory": temp or "",
    }
    if threads is not None:
        config["threads"] = threads
    if memory is not None:
        config["memory_limit"] = f"{max(memory, 64 << 20)}B"
    connection = duckdb.connect(":memory:", config=config)
    functions.install(connection)
    if timezone is not None:
        connection.execute(f"SET TimeZone = {literal(timezone)}")
    return connection


def lock(connection: duckdb.DuckDBPyConnection, paths: Iterable[str] = ()) -> None:
    """Let a connection read these files and nothing else, for good."""
    listed = ", ".join(literal(os.path.abspath(path)) for path in paths)
    connection.execute(f"SET allowed_paths = [{listed}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def parquet(paths: Iterable[str]) -> str:
    """Return what reads these Parquet files, as SQL has it."""
    listed = ", ".join(literal(os.path.abspath(path)) for path in paths)
    return f"read_parquet([{listed}])"


def memory() -> int:
    """Return the bytes of memory of this host."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
