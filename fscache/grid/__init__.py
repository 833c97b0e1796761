"""The grid: services, tables and map-reduce on Dask, where the cached data lies.

`Grid` is all that users need. Nothing but `cluster` and `roles` imports Dask; nothing outside this
package imports DuckDB. Importing this module imports neither.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LAZY = {
    "Grid": "fscache.grid.grid",
    "Host": "fscache.grid.hosts",
    "create_host_list": "fscache.grid.hosts",
    "Result": "fscache.grid.results",
    "Shard": "fscache.grid.shards",
    "Table": "fscache.grid.table",
}

__all__ = ["Grid", "Host", "Result", "Shard", "Table", "create_host_list"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'fscache.grid' has no attribute {name!r}")
