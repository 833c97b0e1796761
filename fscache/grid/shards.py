"""A shard, as a mapper sees it: columns by name, read when asked for.

    def mapper(shard):
        bright = shard[shard["flux"] > 10]         # a mask, an index array or a slice: a lazy part
        return len(bright), bright["id"].sum()     # NumPy arrays
        table = bright.arrow(["id", "flux"])       # or Arrow
        flux = shard["best.i.psf_flux"]            # a field of a struct; no more of it is read

A column is read once and kept as long as the shard, which is as long as the mapper runs. Nulls become
NaN, None or NaT in NumPy's arrays, as `pyarrow` does it; Arrow's columns keep them.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq


class Shard:
    """One shard of a table, or a part of it."""

    def __init__(
        self,
        path: str,
        *,
        name: str,
        index: int,
        columns: Sequence[str] | None = None,
        where: str | pa.compute.Expression | None = None,
        shared: Any = None,
    ) -> None:
        """Describe a shard.

        Args:
            path: Of its Parquet file.
            name: `table/index`, for people.
            index: Its number in the table.
            columns: The columns there are to be; all by default.
            where: Only rows for which this holds: SQL as DuckDB has it, or an Arrow expression.
            shared: What the caller gave for all shards.
        """
        self.path = path
        self.name = name
        self.index = index
        self.shared = shared
        self._wanted = list(columns) if columns is not None else None
        self._where = where
        self._read: dict[str, pa.ChunkedArray] = {}

    def __len__(self) -> int:
        return self._rows

    def __repr__(self) -> str:
        return f"<shard {self.name}>"

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(self.schema.names)

    @cached_property
    def schema(self) -> pa.Schema:
        """The Arrow schema."""
        import pyarrow as pa

        whole = self._file.schema_arrow
        if self._wanted is None:
            return whole
        return pa.schema([whole.field(name) for name in self._wanted])

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column as Arrow has it, `a.b` for a field of a struct; raises KeyError."""
        found = self._read.get(name)
        if found is None:
            found = self._load([name])[name]
        return found

    def __getitem__(self, key: Any) -> Any:
        """Return a column (text), or a lazy part: slice, mask or array of row numbers."""
        if isinstance(key, str):
            return to_numpy(self.column(key))
        return Part(self, _rows_of(key, len(self)))

    def arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return columns, by default all, as an Arrow table; read in one go."""
        import pyarrow as pa

        names = list(columns) if columns is not None else self.columns
        found = self._load([name for name in names if name not in self._read])
        return pa.table({name: found.get(name, self._read[name]) for name in names})

    def numpy(self, columns: Sequence[str] | None = None) -> dict[str, np.ndarray[Any, Any]]:
        """Return columns, by default all, as NumPy arrays by name."""
        table = self.arrow(columns)
        return {name: to_numpy(table.column(name)) for name in table.column_names}

    @cached_property
    def _file(self) -> pq.ParquetFile:
        import pyarrow.parquet as pq

        return pq.ParquetFile(self.path, memory_map=True)

    @cached_property
    def _rows(self) -> int:
        if self._where is None:
            return int(self._file.metadata.num_rows)
        if not self._read:
            self._load(self.columns[:1])
        return len(next(iter(self._read.values()))) if self._read else 0

    def _load(self, names: list[str]) -> dict[str, pa.ChunkedArray]:
        ways = {name: self._way(name) for name in names}
        if ways:
            self._read.update(self._columns(ways))
        return {name: self._read[name] for name in names}

    def _way(self, name: str) -> list[str]:
        """Return the names of a column and of the structs' fields below it."""
        import pyarrow as pa

        if name in self.columns:
            return [name]
        first, *rest = name.split(".")
        found = first in self.columns
        kind = self.schema.field(first).type if found else pa.null()
        for field in rest:
            index = kind.get_field_index(field) if pa.types.is_struct(kind) else -1
            found = found and index >= 0
            kind = kind.field(index).type if found else pa.null()
        if not found:
            raise KeyError(f"{self.name} has no column {name!r}; it has {self.columns}")
        return [first, *rest]

    def _columns(self, ways: dict[str, list[str]]) -> dict[str, pa.ChunkedArray]:
        """Read columns; of structs, no more than the fields that are asked for."""
        if self._where is None:
            import pyarrow.compute as pc

            # Not in threads: a node runs a mapper on each of its cores as it is.
            read = self._file.read(list(ways), use_threads=False)
            return {
                name: pc.struct_field(read.column(way[0]), way[1:])
                if way[1:]
                else read.column(name)
                for name, way in ways.items()
            }
        if isinstance(self._where, str):
            from fscache.grid.engine import select

            table = select(self.path, ways, self._where)
        else:
            import pyarrow.dataset as ds

            fields = {name: ds.field(*way) for name, way in ways.items()}
            table = ds.dataset(self.path, format="parquet").to_table(
                columns=fields, filter=self._where, use_threads=False
            )
        return {name: table.column(name) for name in ways}


class Part:
    """Some rows of a shard; the same faces, and can be parted again."""

    def __init__(self, shard: Shard, rows: Any) -> None:
        self._shard = shard
        self._rows = rows
        self.name = shard.name
        self.index = shard.index
        self.shared = shard.shared

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return self._shard.columns

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column as Arrow has it."""
        return self._take(self._shard.column(name))

    def __getitem__(self, key: Any) -> Any:
        """Return a column (text), or a part of this part."""
        if isinstance(key, str):
            return to_numpy(self.column(key))
        chosen = _rows_of(key, len(self))
        if isinstance(self._rows, range) and not isinstance(chosen, range):
            import numpy as np

            return Part(self._shard, np.asarray(self._rows)[chosen])
        if isinstance(chosen, range) and not isinstance(self._rows, range):
            return Part(self._shard, self._rows[key])
        return Part(self._shard, self._rows[chosen])

    def arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return columns, by default all, as an Arrow table."""
        return self._take(self._shard.arrow(columns))

    def numpy(self, columns: Sequence[str] | None = None) -> dict[str, np.ndarray[Any, Any]]:
        """Return columns, by default all, as NumPy arrays by name."""
        table = self.arrow(columns)
        return {name: to_numpy(table.column(name)) for name in table.column_names}

    def _take(self, data: Any) -> Any:
        if isinstance(self._rows, range) and self._rows.step == 1:
            return data.slice(self._rows.start, len(self._rows))
        import numpy as np

        return data.take(np.asarray(self._rows, dtype=np.int64))


def to_numpy(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    """Return a column as a NumPy array; lists of one length become an array of two dimensions."""
    import pyarrow as pa

    if pa.types.is_fixed_size_list(column.type):
        flat = column.combine_chunks()
        values = to_numpy(pa.chunked_array([flat.flatten()]))
        return values.reshape(len(flat), column.type.list_size)
    found: np.ndarray[Any, Any] = column.to_numpy()
    return found


def _rows_of(key: Any, length: int) -> Any:
    """Return the row numbers that a slice, mask or index array stands for."""
    if isinstance(key, slice):
        return range(length)[key]
    import numpy as np

    rows = np.asarray(key)
    if rows.dtype == np.bool_:
        if rows.shape != (length,):
            raise IndexError(f"a mask of shape {rows.shape} for {length} rows")
        return np.flatnonzero(rows)
    if not np.issubdtype(rows.dtype, np.integer):
        raise TypeError(f"rows are chosen by a slice, a mask or integers, not by {rows.dtype}")
    return np.arange(length)[rows]  # checks the bounds, and takes negative ones as Python does
