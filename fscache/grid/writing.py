"""Shards as bytes: Parquet, and the statistics that a table keeps of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fscache.grid.table import ColumnStats
from fscache.grid.values import to_json

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ROW_GROUP = 122_880
"""Rows in a row group: DuckDB's own number, so that its threads and its pruning find what they expect."""


def written(table: pa.Table) -> pa.Buffer:
    """Return a table as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        row_group_size=ROW_GROUP,
        compression="snappy",
        use_dictionary=_repeating(table),
    )
    return sink.getvalue()


def shard_stats(data: pa.Buffer, table: pa.Table) -> dict[str, ColumnStats]:
    """Return the statistics of a shard that was just written from `table`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    nan = {}
    for name in table.column_names:
        if pa.types.is_floating(table.schema.field(name).type):
            nan[name] = _has_nan(table.column(name))
    return footer_stats(pq.ParquetFile(pa.BufferReader(data)).metadata, nan)


def footer_stats(
    metadata: pq.FileMetaData, nan: dict[str, bool] | None = None
) -> dict[str, ColumnStats]:
    """Return what a Parquet file's footer says of its plain columns.

    Args:
        metadata: Of the file.
        nan: Whether columns have NaN, where that is known; a footer does not say.
    """
    found: dict[str, ColumnStats] = {}
    for number in range(metadata.num_columns):
        name = metadata.schema.column(number).path
        if metadata.schema.column(number).max_repetition_level or "." in name:
            continue
        lows, highs, nulls, known = [], [], 0, True
        for group in range(metadata.num_row_groups):
            column = metadata.row_group(group).column(number)
            stats = column.statistics if column.is_stats_set else None
            if stats is None or not stats.has_null_count:
                known = False
                break
            nulls += stats.null_count
            if stats.has_min_max:
                lows.append(stats.min)
                highs.append(stats.max)
            elif stats.null_count < column.num_values:
                known = False
        low, high = (to_json(min(lows)), to_json(max(highs))) if known and lows else (None, None)
        if low is None or high is None:
            low = high = None
        found[name] = ColumnStats(low, high, nulls if known else None, (nan or {}).get(name))
    return found


def _repeating(table: pa.Table) -> list[str]:
    """Return the columns, as Parquet's paths, that a dictionary makes smaller.

    pyarrow begins one for every column and gives it up when it exceeds 1 MiB, which the values of one of
    our row groups hardly do: with columns of measurements all kept theirs, writing took eight times as
    long as without, and the file was a quarter larger. Whether the values of the first row group repeat
    is known in a few milliseconds.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table.slice(0, 0), sink)
    schema = pq.ParquetFile(pa.BufferReader(sink.getvalue())).schema
    plain = set(table.column_names)
    first = table.slice(0, ROW_GROUP)
    paths = [schema.column(number).path for number in range(len(schema))]
    return [path for path in paths if path not in plain or _repeats(first.column(path))]


def _repeats(column: pa.ChunkedArray) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return bool(pc.count_distinct(column).as_py() <= len(column) / 2)
    except pa.ArrowNotImplementedError:
        return True  # of a type that is not compared


def _has_nan(column: Any) -> bool:
    import pyarrow.compute as pc

    return bool(pc.any(pc.is_nan(column)).as_py())
