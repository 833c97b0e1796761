"""Shards as bytes: whatever Arrow has and Parquet takes comes back, with a dictionary where it pays."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fscache.grid.writing import ROW_GROUP, footer_stats, shard_stats, written

ROWS = 1000
COUNTED = range(ROWS)


def dictionaries(data: pa.Buffer) -> set[str]:
    """The columns, as Parquet's paths, that have a dictionary in the first row group."""
    group = pq.ParquetFile(pa.BufferReader(data)).metadata.row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    return {column.path_in_schema for column in columns if column.has_dictionary_page}


def test_only_columns_whose_values_repeat_get_a_dictionary() -> None:
    table = pa.table(
        {
            "id": COUNTED,
            "flux": [number * 1.1 for number in COUNTED],
            "name": [f"star {number}" for number in COUNTED],
            "twice": [number // 2 for number in COUNTED],
            "often": ["gri"[number % 3] for number in COUNTED],
        }
    )
    data = written(table)
    assert dictionaries(data) == {"twice", "often"}
    assert pq.read_table(pa.BufferReader(data)).equals(table)


def test_values_that_never_repeat_make_no_larger_file_than_without_any_dictionary() -> None:
    table = pa.table({"flux": [number * 1.1 for number in range(ROW_GROUP)]})
    plain = pa.BufferOutputStream()
    pq.write_table(table, plain, row_group_size=ROW_GROUP, use_dictionary=False)
    assert written(table).size == plain.getvalue().size


def test_the_first_row_group_decides_for_all() -> None:
    often, counted = [7] * ROW_GROUP, list(range(ROW_GROUP))
    table = pa.table({"first": often + counted, "second": counted + often})
    data = written(table)
    assert dictionaries(data) == {"first"}
    assert pq.ParquetFile(pa.BufferReader(data)).metadata.num_row_groups == 2
    assert pq.read_table(pa.BufferReader(data)).equals(table)


@pytest.mark.parametrize(
    "column",
    [
        pytest.param(pa.array([{"a": n, "b": {"c": n % 3}} for n in COUNTED]), id="struct"),
        pytest.param(pa.array([[n, n + 1] if n % 5 else None for n in COUNTED]), id="list"),
        pytest.param(
            pa.array([[1.0, n] for n in COUNTED], pa.list_(pa.float64(), 2)), id="fixed list"
        ),
        pytest.param(
            pa.array([[("key", n)] for n in COUNTED], pa.map_(pa.string(), pa.int64())), id="map"
        ),
        pytest.param(pa.array([[{"x": n}] for n in COUNTED]), id="list of structs"),
        pytest.param(pa.array([f"v{n % 3}" for n in COUNTED]).dictionary_encode(), id="dictionary"),
        pytest.param(
            pa.array([f"v{n}" for n in COUNTED]).dictionary_encode(), id="dictionary of all"
        ),
        pytest.param(pa.nulls(ROWS), id="null"),
        pytest.param(pa.nulls(ROWS, pa.int64()), id="only nulls"),
        pytest.param(
            pa.array([Decimal(n) / 100 for n in COUNTED], pa.decimal128(10, 2)), id="decimal"
        ),
        pytest.param(
            pa.array([Decimal(n) / 100 for n in COUNTED], pa.decimal256(50, 2)), id="wide decimal"
        ),
        pytest.param(pa.array([1.5] * ROWS, pa.float16()), id="half a float"),
        pytest.param(pa.array([n.to_bytes(2, "big") for n in COUNTED], pa.binary(2)), id="binary"),
        pytest.param(pa.array([str(n) for n in COUNTED], pa.string_view()), id="view"),
        pytest.param(pa.array(COUNTED, pa.timestamp("us", "UTC")), id="time"),
        pytest.param(pa.array([float("nan")] * ROWS), id="NaN"),
        pytest.param(pa.array([True, False] * (ROWS // 2)), id="truth"),
    ],
)
def test_columns_of_every_kind_come_back(column: pa.Array) -> None:
    table = pa.table({"id": COUNTED, "value": column})
    data = written(table)
    back = pq.read_table(pa.BufferReader(data))
    assert back.schema.equals(table.schema)
    assert back.column("id").to_pylist() == list(COUNTED)
    assert repr(back.column("value").to_pylist()) == repr(table.column("value").to_pylist())
    stats = shard_stats(data, table)
    assert (stats["id"].low, stats["id"].high, stats["id"].nulls) == (0, ROWS - 1, 0)


def test_fields_below_a_column_keep_their_dictionaries() -> None:
    table = pa.table({"best": [{"id": n, "band": "gri"[n % 3]} for n in COUNTED], "id": COUNTED})
    assert dictionaries(written(table)) == {"best.id", "best.band"}


def test_names_that_look_like_paths_are_names() -> None:
    table = pa.table(
        {"a.b": [1] * ROWS, "a": [{"b": n} for n in COUNTED], "": COUNTED, 'q"': COUNTED}
    )
    data = written(table)
    assert pq.read_table(pa.BufferReader(data)).equals(table)
    assert "" not in dictionaries(data)


@pytest.mark.parametrize(
    "schema",
    [
        pa.schema([]),
        pa.schema([("id", pa.int64()), ("name", pa.string())]),
        pa.schema([("best", pa.struct([("id", pa.int64())])), ("nothing", pa.null())]),
        pa.schema([("word", pa.dictionary(pa.int32(), pa.string()))]),
    ],
)
@pytest.mark.parametrize(
    "made", [pa.Schema.empty_table, lambda schema: pa.Table.from_batches([], schema)]
)
def test_a_table_without_rows_is_a_file_with_its_columns(made: object, schema: pa.Schema) -> None:
    table = made(schema)  # type: ignore[operator]
    data = written(table)
    back = pq.read_table(pa.BufferReader(data))
    assert back.num_rows == 0
    assert back.schema.equals(schema)
    assert all(stats.low is None for stats in shard_stats(data, table).values())


def test_what_a_footer_says_of_nan_is_nothing() -> None:
    table = pa.table({"with": [1.0, float("nan")], "without": [1.0, 2.0]})
    data = written(table)
    known = shard_stats(data, table)
    assert (known["with"].nan, known["without"].nan) == (True, False)
    bare = footer_stats(pq.ParquetFile(pa.BufferReader(data)).metadata)
    assert bare["with"].nan is bare["without"].nan is None
