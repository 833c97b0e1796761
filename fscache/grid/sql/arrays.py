"""Two functions that SQL lacks, over NumPy arrays; every connection that runs a query has them.

fscache_dense(counts MAP(INTEGER, BIGINT), n)    the counts of 0 … n - 1, as a list
fscache_points(text, chord)                      points in cells, see `cells`
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fscache.grid.sql import cells

if TYPE_CHECKING:
    import duckdb

_POINTS = "STRUCT(k BIGINT, i BIGINT, x DOUBLE, y DOUBLE, z DOUBLE)[]"


def install(connection: duckdb.DuckDBPyConnection) -> None:
    """Add the functions to a connection."""
    create: Any = connection.create_function  # its types know no Arrow
    create(
        "fscache_dense",
        _dense,
        ["MAP(INTEGER, BIGINT)", "INTEGER"],
        "BIGINT[]",
        type="arrow",
        null_handling="special",
    )
    create("fscache_points", _points, ["VARCHAR", "DOUBLE"], _POINTS, type="arrow")


def _dense(counts: Any, sizes: Any) -> Any:  # DuckDB evaluates these annotations
    import pyarrow as pa

    maps = _one(counts)
    rows = len(maps)
    size = int(_one(sizes)[0].as_py()) if rows else 0
    flat = np.zeros(rows * size, dtype=np.int64)
    # Not `maps.keys`, which leaves out where each row's entries begin; a null has none.
    lengths = np.diff(np.asarray(maps.offsets))
    first, last = maps.offsets[0].as_py(), maps.offsets[-1].as_py()
    keys = np.asarray(maps.keys)[first:last]
    items = np.asarray(maps.items)[first:last]
    row = np.repeat(np.arange(rows), lengths)
    inside = (keys >= 0) & (keys < size)
    flat[row[inside] * size + keys[inside]] = items[inside]
    offsets = np.arange(rows + 1, dtype=np.int32) * size
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat))


def _points(texts: Any, chords: Any) -> Any:
    import pyarrow as pa

    parts = []
    ends = [0]
    for text, chord in zip(_one(texts).to_pylist(), _one(chords).to_pylist(), strict=True):
        columns = cells.spread(cells.unpack(text), chord)
        parts.append(pa.StructArray.from_arrays([pa.array(c) for c in columns], list("kixyz")))
        ends.append(ends[-1] + len(parts[-1]))
    kind = pa.struct([("k", pa.int64()), ("i", pa.int64()), *((n, pa.float64()) for n in "xyz")])
    values = pa.concat_arrays(parts) if parts else pa.array([], kind)
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), values)


def _one(column: Any) -> Any:
    """Return an argument as one array; DuckDB gives chunks."""
    import pyarrow as pa

    return pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
