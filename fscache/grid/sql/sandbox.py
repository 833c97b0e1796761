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
import threading
import uuid
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from fscache.errors import GatherTooLargeError
from fscache.grid.engine import literal
from fscache.grid.scratch import Scratch

if TYPE_CHECKING:
    import duckdb

    from fscache.cache import Cache

_KEPT = 4  # databases in one process; it seldom needs more than one
_lock = threading.Lock()


class Setting(NamedTuple):
    """What a database may use.

    Attributes:
        threads: How many; all cores if None.
        memory: Bytes before it writes to the disk; if None, DuckDB's own limit, and nothing is written:
            of what only plans.
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


def excess(size: int, limit: int | None) -> GatherTooLargeError | None:
    """Return the error that so many bytes of rows are, None where they may come together."""
    if limit is None or size <= limit:
        return None
    return GatherTooLargeError(
        "the rows that would have to come together are too many", limit, size
    )


def _spill() -> str:
    """Return a directory that DuckDB makes when it is needed, and removes when the database goes.

    A process that is killed removes nothing, so it lies in one whose lock says that the process lives. It
    is made with the first database that may need it: DuckDB does not say when it begins to write, and a
    directory without a lock would be taken for abandoned.
    """
    try:
        return os.path.join(_scratch(os.getpid()).path, uuid.uuid4().hex)
    except OSError:
        return ""  # a full disk does not end queries that need none of it


@lru_cache(1)
def _scratch(_process: int) -> Scratch:
    """Return the process's own: what its parent has goes with the parent."""
    return Scratch()


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
        "temp_directory": "" if setting.memory is None else _spill(),
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
