"""The tables of a grid, as the planner sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fscache.errors import ClusterError, UnknownTableError
from fscache.grid.sql.catalog import folded, source_of
from fscache.grid.sql.local import Files
from fscache.grid.sql.parse import is_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa

    from fscache.cache import Cache
    from fscache.grid.cluster import Cluster
    from fscache.grid.sql.facts import Source
    from fscache.grid.table import Table
    from fscache.grid.tables import Tables

_described: dict[str, dict[str, str]] = {}  # by the address of an object, which never changes


class GridTables:
    """A `Catalog` of a grid's tables, and of URLs that the caller's own cache stages."""

    def __init__(self, tables: Tables, cluster: Cluster, cache: Cache) -> None:
        self.files = Files(cache)
        self.found: dict[str, Table | None] = {}
        self._tables = tables
        self._cluster = cluster

    def schemas(self, names: Iterable[str]) -> Mapping[str, pa.Schema]:
        """Return the Arrow schemas of those that are there."""
        made = {}
        for name in names:
            table = self._table(name)
            if is_url(name):
                made[name] = self.files.schema(name)
            elif table is not None:
                made[name] = table.schema
        return made

    def source(self, name: str) -> Source | None:
        """Return what is known of one, None if it is not there."""
        if is_url(name):
            return self.files.source(name)
        table = self._table(name)
        return None if table is None else source_of(name, table, self._columns(table))

    def own_name(self, name: str) -> str | None:
        """Return what a table is called itself, None if it is not there."""
        table = self._table(name)
        return None if table is None else table.name

    def file(self, name: str) -> str:
        """Return what reads a URL, as SQL has it."""
        return self.files.file(name)

    def _table(self, name: str) -> Table | None:
        if name not in self.found:
            self.found[name] = None if is_url(name) else self._look(name)
        return self.found[name]

    def _look(self, name: str) -> Table | None:
        try:
            return self._tables.show(name)
        except UnknownTableError:
            known = {table.name: table for table in self._tables.ls()}
        other = folded(name, known)
        return None if other is None else known[other]

    def _columns(self, table: Table) -> dict[str, str]:
        """Return the types that DuckDB sees in a table's files: what it says of one of them."""
        shard = table.shards[0]
        known = _described.get(shard.address)
        if known is None:
            workers = self._cluster.workers()
            if not workers:
                raise ClusterError("the grid has no workers")
            near = [worker.address for worker in workers if worker.node in shard.nodes]
            at = near[0] if near else workers[0].address
            known = self._cluster.ask(at, "columns", address=shard.address, holders=near)
            _described[shard.address] = known
        return known
