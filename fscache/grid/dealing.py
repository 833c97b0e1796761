"""Dealing rows to shards: one pass of DuckDB in the order of the shards, cut where they end.

Ranges are cut between keys, never within one, so that what has one key lies in one shard. The bounds
are chosen beforehand from the keys' quantiles, or taken over from another table; either way shard i has
what lies from bound i - 1 up to bound i.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fscache.errors import TableSourceError
from fscache.grid.engine import quoted
from fscache.grid.table import Partitioning
from fscache.grid.values import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from fscache.grid.sources import Source
    from fscache.grid.table import Table

_BATCH = 122_880  # rows that are handled at once
_SHARD = "fscache shard"  # name of the column that says where a row goes; no source has it


class Dealing:
    """The rows of a source, shard by shard."""

    def __init__(
        self,
        connection: Any,
        source: Source,
        *,
        by: tuple[str, ...],
        how: str,
        like: Table | None,
        shards: int | None,
        shard_size: int,
        columns: tuple[str, ...] | None,
    ) -> None:
        """Look at the source; `schema` and `partitioning` are known from here on."""
        self._connection = connection
        relation = source.relation(connection)
        names = ", ".join(map(quoted, columns)) if columns is not None else "*"
        if source.kind in ("fits", "numpy"):
            # Its reader can be read once, and we look twice or three times.
            connection.execute(f"CREATE TEMP TABLE rows AS SELECT {names} FROM {relation}")  # noqa: S608
        else:
            connection.execute(f"CREATE TEMP VIEW rows AS SELECT {names} FROM {relation}")  # noqa: S608
        empty = connection.sql("SELECT * FROM rows LIMIT 0").to_arrow_table()
        self.schema: pa.Schema = empty.schema.remove_metadata()
        for key in by:
            if key not in self.schema.names:
                raise TableSourceError(
                    f"there is no column {key!r}: {self.schema.names}", source.table
                )
        self._count = int(self._value("SELECT count(*) FROM rows"))
        self._parts = shards or max(1, round(source.estimate / shard_size))
        self._by = by
        self._keys = ", ".join(map(quoted, by))
        self._cuts: list[pa.Scalar] = []
        if not by:
            self.partitioning = Partitioning()
        elif how == "hash":
            version = self._value("SELECT version()")
            # DuckDB does not promise that its hash stays what it is, so its version is a part of it.
            function = f"duckdb {version} hash(...) % {self._parts}"
            self.partitioning = Partitioning("hash", by, (), function)
        else:
            kind = self.schema.field(by[0]).type
            bounds = like.partitioning.bounds if like is not None else self._bounds()
            self._cuts = [from_json(bound, kind) for bound in bounds]
            self._parts = len(bounds) + 1
            self.partitioning = Partitioning("range", by, tuple(bounds))

    def shards(self) -> Iterator[tuple[int, pa.Table]]:
        """Yield number and rows of each shard, in order; every one, also those without rows."""
        import pyarrow as pa

        current = 0
        batches: list[pa.RecordBatch] = []
        for number, part in self._parted():
            while number > current:
                yield current, pa.Table.from_batches(batches, self.schema)
                current, batches = current + 1, []
            batches.append(part)
        while current < self._parts:
            yield current, pa.Table.from_batches(batches, self.schema)
            current, batches = current + 1, []

    def _parted(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield the rows in the order of the shards, each piece with its shard's number."""
        kind = self.partitioning.kind
        if kind == "hash":
            yield from self._hashed()
            return
        order = f" ORDER BY {self._keys} NULLS LAST" if kind == "range" else ""
        position = 0
        current = 0
        for batch in self._stream(f"SELECT * FROM rows{order}"):  # noqa: S608
            rest = batch
            while rest.num_rows:
                if kind == "range":
                    take = self._below(rest, current)
                else:
                    end = self._count * (current + 1) // self._parts
                    take = min(rest.num_rows, end - position)
                if take:
                    yield current, rest.slice(0, take)
                    position += take
                    rest = rest.slice(take)
                if rest.num_rows:
                    current += 1

    def _below(self, batch: pa.RecordBatch, current: int) -> int:
        """Return how many of the rows, which are sorted, belong to a shard or one before it."""
        import pyarrow.compute as pc

        if current >= len(self._cuts):
            return int(batch.num_rows)
        # Null and NaN are not below anything: they go to the last shard, where sorting puts them.
        below = pc.less(batch.column(self._by[0]), self._cuts[current])
        return int(pc.sum(below).as_py() or 0)

    def _hashed(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        shard = f"(hash({self._keys}) % {self._parts})::INTEGER AS {quoted(_SHARD)}"
        import numpy as np

        query = f"SELECT *, {shard} FROM rows ORDER BY {quoted(_SHARD)}, {self._keys}"  # noqa: S608

        for batch in self._stream(query):
            numbers = batch.column(batch.num_columns - 1).to_numpy(zero_copy_only=False)
            rows = batch.select(self.schema.names)
            edges = np.flatnonzero(np.diff(numbers)) + 1
            for start, stop in zip([0, *edges], [*edges, len(numbers)], strict=True):
                yield int(numbers[start]), rows.slice(start, stop - start)

    def _bounds(self) -> list[Any]:
        if self._parts == 1:
            return []
        shares = ", ".join(str(step / self._parts) for step in range(1, self._parts))
        key = quoted(self._by[0])
        values = self._value(f"SELECT quantile_disc({key}, [{shares}]) FROM rows") or []  # noqa: S608
        bounds: list[Any] = []
        for value in values:
            bound = to_json(value)
            if bound is not None and bound not in bounds:
                bounds.append(bound)
        return bounds

    def _stream(self, query: str) -> Iterator[pa.RecordBatch]:
        for batch in self._connection.sql(query).to_arrow_reader(_BATCH):
            if batch.num_rows:
                yield batch

    def _value(self, query: str) -> Any:
        return self._connection.sql(query).fetchall()[0][0]
