"""Two functions that SQL lacks, over NumPy arrays; every connection that runs a query has them.

fscache_dense(counts MAP(INTEGER, BIGINT), n)    the counts of 0 … n - 1, as a list
fscache_points(packed, chord)                    points in cells, see `cells`
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fscache.grid.sql import cells

if TYPE_CHECKING:
    import duckdb

MERGED = {"fscache_dense": "fscache_sum"}
"""For a function over an aggregate: what makes its value of the list of those of parts of the rows."""
# No CASE: DuckDB works out a common part of an expression once, but not one inside a CASE.
_ROUGH = "floor((x - low) * (n / (high - low)))"
_STEP = "((high - low) / n)"
_BELOW = f"(x < low + {_ROUGH} * {_STEP})::DOUBLE"
_ABOVE = f"(x >= low + ({_ROUGH} + 1) * {_STEP})::DOUBLE"
# What `floor` finds is one off where a value lies on an edge; the edges decide, as in NumPy.
_INSIDE = f"least(greatest({_ROUGH} - {_BELOW} + {_ABOVE}, 0), n - 1)"
_MACROS = (
    "flux2mag(flux) AS -2.5e0 * log10(flux * 1e-9 / 3631e0)",
    # NaN is greater than everything in DuckDB, so it lies outside too.
    "fscache_outside(x, low, high) AS (x > high)::INTEGER + (x < low)::INTEGER",
    f"fscache_bin(x, low, high, n, out) AS {_INSIDE} + fscache_outside(x, low, high) * out",
)
_POINTS = "STRUCT(k BIGINT, i BIGINT, x DOUBLE, y DOUBLE, z DOUBLE)[]"


def install(connection: duckdb.DuckDBPyConnection) -> None:
    """Add the functions to a database, for all its connections."""
    create: Any = connection.create_function  # its types know no Arrow

    def add(name: str, function: Any, arguments: list[str], result: str, nulls: str) -> None:
        create(name, function, arguments, result, type="arrow", null_handling=nulls)

    for macro in _MACROS:
        connection.execute(f"CREATE MACRO {macro}")
    add("fscache_dense", _dense, ["MAP(INTEGER, BIGINT)", "INTEGER"], "BIGINT[]", "special")
    add("fscache_sum", _sum, ["BIGINT[][]"], "BIGINT[]", "default")
    add("fscache_fold", _fold, ["BIGINT[]", "INTEGER"], "BIGINT[][]", "default")
    add("fscache_edges", _edges, ["DOUBLE", "DOUBLE", "INTEGER"], "DOUBLE[]", "default")
    add("fscache_points", _points, ["BLOB", "DOUBLE"], _POINTS, "default")


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


def _sum(lists: Any) -> Any:
    import pyarrow as pa

    sums = [np.sum(row, axis=0, dtype=np.int64) for row in _one(lists).to_pylist()]
    return pa.array(sums, pa.list_(pa.int64()))


def _fold(lists: Any, sizes: Any) -> Any:
    import pyarrow as pa

    pairs = zip(_one(lists).to_pylist(), _one(sizes).to_pylist(), strict=True)
    folded = [[row[at : at + size] for at in range(0, len(row), size)] for row, size in pairs]
    return pa.array(folded, pa.list_(pa.list_(pa.int64())))


def _edges(lows: Any, highs: Any, counts: Any) -> Any:
    import pyarrow as pa

    limits = zip(*(_one(each).to_pylist() for each in (lows, highs, counts)), strict=True)
    edges = [np.linspace(low, high, count + 1) for low, high, count in limits]
    return pa.array(edges, pa.list_(pa.float64()))


def _points(packed: Any, chords: Any) -> Any:
    import pyarrow as pa

    parts = []
    ends = [0]
    for data, chord in zip(_one(packed).to_pylist(), _one(chords).to_pylist(), strict=True):
        columns = cells.spread(cells.unpack(data), chord)
        parts.append(pa.StructArray.from_arrays([pa.array(c) for c in columns], list("kixyz")))
        ends.append(ends[-1] + len(parts[-1]))
    kind = pa.struct([("k", pa.int64()), ("i", pa.int64()), *((n, pa.float64()) for n in "xyz")])
    values = pa.concat_arrays(parts) if parts else pa.array([], kind)
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), values)


def _one(column: Any) -> Any:
    """Return an argument as one array; DuckDB gives chunks."""
    import pyarrow as pa

    return pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
