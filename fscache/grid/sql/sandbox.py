"""DuckDB that can read the objects of a cache and nothing else, with our functions in it.

No other files, no network, no extensions, no variables of this program's Python, and no way for a query
to change that: the configuration is locked. Which of the objects a query reads is settled before: `parse`
lets no function through that reads files.

A database takes 20 ms to make, a connection to it 10 µs. So databases are kept, and a query gets a
connection of its own, whose views and rows no other one sees. They share the database's memory and
threads.
"""

from __future__ import annotations

import os
import tempfile
import threading
import uuid
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from fscache.grid.engine import literal

if TYPE_CHECKING:
    import duckdb

    from fscache.cache import Cache

_KEPT = 4  # databases in one process; it seldom needs more than one
_lock = threading.Lock()


class Setting(NamedTuple):
    """What a database may use.

    Attributes:
        threads: How many; all cores if None.
        memory: Bytes before it writes to the disk; DuckDB's own limit if None.
        timezone: What times without an offset mean; the host's own if None.
        directories: What it may read.
    """

    threads: int | None = None
    memory: int | None = None
    timezone: str | None = None
    directories: tuple[str, ...] = ()


def connect(setting: Setting) -> duckdb.DuckDBPyConnection:
    """Return a new connection to the database of this setting."""
    with _lock:
        return _database(setting).cursor()


def directories(cache: Cache) -> tuple[str, ...]:
    """Return where the objects of a cache lie."""
    roots = [cache.root.path, *cache.config.tiers]
    return tuple(os.path.join(os.path.realpath(root), "objects", "") for root in roots)


def memory() -> int:
    """Return the bytes of memory of this host."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def most_gathered(given: int | None) -> int:
    """Return the bytes that may come together here: a quarter of the memory where none are given."""
    return memory() // 4 if given is None else given


@lru_cache(_KEPT)
def _database(setting: Setting) -> duckdb.DuckDBPyConnection:
    import duckdb

    from fscache.grid.sql import functions

    config: dict[str, Any] = {
        "allow_community_extensions": False,
        "arrow_lossless_conversion": True,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
        # Made when it is needed, and removed with what is in it when the database goes.
        "temp_directory": os.path.join(tempfile.gettempdir(), f"fscache-sql-{uuid.uuid4().hex}"),
    }
    if setting.threads is not None:
        config["threads"] = setting.threads
    if setting.memory is not None:
        config["memory_limit"] = f"{max(setting.memory, 64 << 20)}B"
    connection = duckdb.connect(":memory:", config=config)
    functions.install(connection)
    if setting.timezone is not None:
        connection.execute(f"SET GLOBAL TimeZone = {literal(setting.timezone)}")
    listed = ", ".join(map(literal, setting.directories))
    connection.execute(f"SET allowed_directories = [{listed}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection
