"""Which tables were dealt alike, and what reads a URL."""

from __future__ import annotations

import pyarrow as pa
import pytest

from fscache.grid.sql.catalog import reader, source_of
from fscache.grid.table import ColumnStats, Partitioning, ShardInfo, Table

_TYPES = {"k": "BIGINT", "x": "DOUBLE"}


def table(
    kind: str = "range",
    by: tuple[str, ...] = ("k",),
    bounds: tuple[int, ...] = (10, 20),
    function: str = "",
    ends: tuple[tuple[int, int], ...] = ((0, 9), (10, 19), (20, 99)),
) -> Table:
    schema = pa.schema([("k", pa.int64()), ("x", pa.float64())])
    shards = tuple(
        ShardInfo(number, f"{number:020x}", 100, 5, {"k": ColumnStats(low, high, 0, nan=False)})
        for number, (low, high) in enumerate(ends)
    )
    return Table(
        "t", schema.serialize().to_pybytes(), shards, Partitioning(kind, by, bounds, function)
    )


def test_tables_of_the_same_ranges_are_dealt_alike() -> None:
    one, other = (source_of(name, table(), _TYPES) for name in ("one", "other"))
    assert one.key is not None
    assert other.key is not None
    assert one.key == other.key
    assert (one.rows, one.size, one.shards) == (15, 300, 3)


def test_tables_of_other_ranges_types_or_functions_are_not() -> None:
    keys = [
        source_of("t", made, types).key
        for made, types in (
            (table(), _TYPES),
            (table(bounds=(10, 21), ends=((0, 9), (10, 20), (21, 99))), _TYPES),
            (table(), {**_TYPES, "k": "INTEGER"}),
            (table("hash", bounds=(), function="duckdb 2 hash(...) % 3"), _TYPES),
            (table("hash", bounds=(), function="duckdb 3 hash(...) % 3"), _TYPES),
        )
    ]
    assert None not in keys
    assert len({key.domain for key in keys if key is not None}) == len(keys)


@pytest.mark.parametrize(
    "made",
    [
        table("none", by=(), bounds=()),
        table(by=("x",)),  # floating point: equal values need not be written alike
        table("hash", by=("k", "x"), bounds=(), function="f"),  # says nothing of `k` alone
        table(bounds=(10,)),  # not as many ranges as shards
        table(ends=((0, 10), (10, 19), (20, 99))),  # a shard has what belongs to the next
        table(ends=((0, 9), (10, 19), (19, 99))),
    ],
)
def test_what_is_not_sure_is_no_key(made: Table) -> None:
    assert source_of("t", made, _TYPES).key is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://h/a.parquet", "read_parquet(['/p'], can_have_nan = true)"),
        ("https://h/a", "read_parquet(['/p'], can_have_nan = true)"),
        ("https://h/a.csv", "read_csv('/p')"),
        ("https://h/a.TSV?x=1#y", "read_csv('/p')"),
        ("https://h/a.csv.gz", "read_csv('/p', compression = 'gzip')"),
        ("https://h/a.ndjson.zst", "read_json_auto('/p', compression = 'zstd')"),
        ("https://h/a.json?name=b.csv", "read_json_auto('/p')"),
    ],
)
def test_the_kind_of_a_url_is_told_by_its_ending(url: str, expected: str) -> None:
    assert reader(url, "/p") == expected
