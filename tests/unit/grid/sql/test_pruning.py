"""Shards that cannot have rows that count are not read; shards that may have some always are."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import duckdb
import pyarrow.parquet as pq
import pytest

from fscache.grid.sql.facts import Key
from fscache.grid.sql.spans import Spans
from fscache.grid.table import ColumnStats, ShardInfo
from tests.support.sqlwork import Shards, same_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHARDS = 5

# Each column is `n` of the shard in another type; shard 3 has only nulls, shard 4 has some, and NaN.
_ROWS = """
    SELECT k, CASE WHEN {n} = 3 OR {n} = 4 AND k % 2 = 0 THEN NULL ELSE {n} * 10 + k END AS i,
      i::DECIMAL(9, 2) AS d, i::DOUBLE AS clean, (i / 10)::FLOAT AS narrow,
      CASE WHEN {n} = 4 AND k = 1 THEN 'nan' ELSE i::DOUBLE END AS x,
      DATE '2020-01-01' + i::INTEGER AS day, (DATE '2020-01-01' + i::INTEGER)::TIMESTAMP AS moment,
      'n' || i AS s, i > 20 AS f, {{'i': i}} AS nested
    FROM (SELECT k::INTEGER AS k FROM range(10) r(k))
"""


@pytest.fixture(scope="module")
def spread(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    """`t` in five shards, `u` of one; `left` and `right`, dealt alike."""
    top = str(tmp_path_factory.mktemp("spread"))
    made = Shards(top)
    key = Key("g", ("range", (10, 20, 30, 40), _SHARDS, "INTEGER"))
    with duckdb.connect() as connection:

        def write(name: str, queries: Sequence[str], key: Key | None = None) -> None:
            paths = [os.path.join(top, f"{name}.{n}.parquet") for n in range(len(queries))]
            for path, query in zip(paths, queries, strict=True):
                # As a deploy writes them: with bounds of the other values where there is NaN.
                pq.write_table(connection.sql(query).to_arrow_table(), path)
            made.add(name, paths, key)

        write("t", [_ROWS.format(n=n) for n in range(_SHARDS)])
        write("u", ["SELECT i FROM range(50) r(i)"])
        for name in ("left_side", "right_side"):
            dealt = "SELECT ({n} * 10 + k)::INTEGER AS g, k AS v FROM range(10) r(k)"
            write(name, [dealt.format(n=n) for n in range(_SHARDS)], key)
    return made


def shards_read(tables: Shards, query: str, name: str = "t") -> list[int]:
    names, types, rows = tables.alone(query)
    found = tables.sql(query)
    assert (found.columns, found.types) == (names, types), query
    assert same_rows(found.rows(), rows, ordered=False), query
    return sorted(number for table, number in tables.read if table == name)


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("i = 15", [1]),
        ("15 = i", [1]),
        ("i < 10", [0]),
        ("i <= 10", [0, 1]),
        ("i > 29", [4]),
        ("i >= 29", [2, 4]),
        ("29 <= i", [2, 4]),
        ("i BETWEEN 5 AND 12", [0, 1]),
        ("i IN (3, 22)", [0, 2]),
        ("i = 3 OR i = 22", [0, 2]),
        ("i > 3 AND i < 8 OR i = 28", [0, 2]),
        ("i = 15 AND k < 100", [1]),
        ("i = 12 + 3", [1]),
        ("i = 15.0", [1]),
        ("i < 9.5", [0]),
        ("i IS NULL", [3, 4]),
        ("i IS NOT NULL", [0, 1, 2, 4]),
        ("d = 15", [1]),
        ("d BETWEEN 9.5 AND 10.25", [1]),
        ("clean < 9.5", [0]),
        ("clean > 29.5", [4]),
        ("narrow = 1.5", [1]),
        ("narrow < 0.91", [0]),
        ("day = DATE '2020-01-16'", [1]),
        ("day < '2020-01-05'", [0]),
        ("day >= DATE '2020-01-05' AND day < DATE '2020-01-05' + INTERVAL '1' DAY", [0]),
        ("day = TIMESTAMP '2020-01-16 00:00:00'", [1]),
        ("moment BETWEEN '2020-01-14' AND '2020-01-15 12:00:00'", [1]),
        ("moment < DATE '2020-01-05'", [0]),
        ("s = 'n15'", [0, 1]),
        ("s IN ('n22', 'n7')", [0, 2]),
        ("s < 'n10'", [0]),
    ],
)
def test_shards_are_left_out(spread: Shards, condition: str, wanted: list[int]) -> None:
    assert (
        shards_read(spread, f"SELECT count(*), sum(k), max(s) FROM t WHERE {condition}") == wanted
    )
    assert shards_read(spread, f"SELECT k, s FROM t WHERE {condition}") == wanted
    assert shards_read(spread, f"SELECT s, count(*) FROM t WHERE {condition} GROUP BY s") == wanted


@pytest.mark.parametrize(
    "condition",
    [
        # What may be NaN is not bounded above, and statistics of such a file are not known at all.
        "x > 1000",
        "x >= 'nan'::DOUBLE",
        "x = 'nan'::DOUBLE",
        # Not of a column alone, or not a plain comparison.
        "i + 0 = 15",
        "CAST(i AS VARCHAR) = '15'",
        "CAST(s AS VARCHAR) = 'n15'",
        "i::DOUBLE = 15",
        "-i = -15",
        "NOT i = 15",
        "NOT (i < 10)",
        "NOT (i BETWEEN 5 AND 12)",
        "i NOT BETWEEN 5 AND 12",
        "i NOT IN (3, 22)",
        "i <> 15",
        "i IS DISTINCT FROM 15",
        "i IS NOT DISTINCT FROM NULL",
        "coalesce(i, 15) = 15",
        "(i = 15) IS NOT TRUE",
        "CASE WHEN i = 15 THEN true ELSE k = 3 END",
        "i = 15 OR k = 3",
        "s LIKE 'n1%'",
        "s = 'N15' COLLATE NOCASE",
        "s COLLATE NOCASE = 'N15'",
        "i = (SELECT 15)",
        "nested.i = 15",
        "f",
        "i = 1.5e1",
        "k = 5",
    ],
)
def test_shards_of_which_nothing_is_known_to_be_false_are_read(
    spread: Shards, condition: str
) -> None:
    read = shards_read(spread, f"SELECT count(*), min(k) FROM t WHERE {condition}")
    if condition.startswith("x"):
        assert 4 in read
    else:
        assert {0, 1, 2, 4} <= set(read), "of the nulls in the other one no comparison is true"


def test_if_no_shard_can_have_rows_one_is_read(spread: Shards) -> None:
    for what in ("count(*), sum(i)", "k", "DISTINCT s", "s, median(i)"):
        group = " GROUP BY s" if "median" in what else ""
        assert len(shards_read(spread, f"SELECT {what} FROM t WHERE i > 1000{group}")) == 1


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("SELECT count(*) FROM t, u WHERE t.i = u.i AND t.i < 5", [0]),
        ("SELECT count(*) FROM u LEFT JOIN t ON t.i = u.i AND t.i < 5", [0]),
        ("SELECT count(*) FROM u LEFT JOIN t ON t.i = u.i WHERE u.i < 5", [0, 1, 2, 3, 4]),
        ("SELECT count(*) FROM t LEFT JOIN u ON t.i = u.i AND t.i < 5", [0, 1, 2, 3, 4]),
        ("SELECT count(*) FROM t LEFT JOIN u ON t.i = u.i WHERE t.i < 5", [0]),
        ("SELECT count(*) FROM t RIGHT JOIN u ON t.i = u.i AND t.i < 5", [0, 1, 2, 3, 4]),
        ("SELECT count(*) FROM u WHERE EXISTS (FROM t WHERE t.i = u.i AND t.i < 5)", [0]),
        ("SELECT count(*) FROM u WHERE NOT EXISTS (FROM t WHERE t.i = u.i AND t.i < 5)", [0]),
        ("SELECT count(*) FROM u WHERE i NOT IN (SELECT i FROM t WHERE i < 5)", [0]),
        ("SELECT count(*) FROM (SELECT k FROM t WHERE i < 5) z", [0]),
        ("SELECT count(*) FROM (SELECT max(k) FROM t WHERE i < 5 GROUP BY s) z", [0]),
        ("SELECT count(*) FROM (SELECT max(k) FROM t WHERE i > 500) z", [0]),
        ("WITH z AS (SELECT k, i FROM t) SELECT count(*) FROM z", [0, 1, 2, 3, 4]),
        ("SELECT k FROM t WHERE i < 5 UNION ALL SELECT k FROM t WHERE i > 29", [0, 4]),
        ("SELECT count(*) FILTER (WHERE i < 5) FROM t", [0, 1, 2, 3, 4]),
        ("SELECT s, count(*) FROM t GROUP BY s HAVING max(i) < 5", [0, 1, 2, 3, 4]),
    ],
)
def test_shards_are_left_out_of_joins_and_queries_within(
    spread: Shards, query: str, wanted: list[int]
) -> None:
    assert shards_read(spread, query) == wanted


@pytest.mark.parametrize(
    ("query", "left", "right"),
    [
        ("SELECT count(*) FROM {l} JOIN {r} USING (g) WHERE g < 15", [0, 1], [0, 1]),
        ("SELECT count(*) FROM {l} l JOIN {r} r ON l.g = r.g AND r.g < 15", [0, 1], [0, 1]),
        (
            "SELECT count(*) FROM {l} l LEFT JOIN {r} r ON l.g = r.g AND r.g < 15",
            [*range(5)],
            [*range(5)],
        ),
        ("SELECT count(*) FROM {l} l LEFT JOIN {r} r ON l.g = r.g WHERE l.g < 15", [0, 1], [0, 1]),
        (
            "SELECT count(*) FROM {l} l WHERE NOT EXISTS (FROM {r} r WHERE l.g = r.g AND r.g < 15)",
            [*range(5)],
            [*range(5)],
        ),
        ("SELECT g, median(v) FROM {l} WHERE g IN (3, 41) GROUP BY g", [0, 4], []),
    ],
)
def test_shards_that_are_cut_together_are_left_out_together(
    spread: Shards, query: str, left: list[int], right: list[int]
) -> None:
    query = query.format(l="left_side", r="right_side")
    assert shards_read(spread, query, "left_side") == left
    assert sorted(n for name, n in spread.read if name == "right_side") == right


def test_parameters_are_constants(spread: Shards) -> None:
    for value, wanted in (
        (15, {1}),
        (15.0, {0, 1, 2, 4}),
        ("15", {0, 1, 2, 4}),
        (None, {0, 1, 2, 4}),
    ):
        _query, bound = spread.prepare("SELECT count(*) FROM t WHERE i = shared.v", {"v": value})
        (step,) = bound.plan.steps
        assert step.portions is not None
        assert set(step.portions.numbers) == wanted


def test_explain_says_how_many_shards_are_read(spread: Shards) -> None:
    from fscache.grid.sql.explain import explained

    _query, bound = spread.prepare("EXPLAIN SELECT count(*) FROM t WHERE i < 15")
    assert explained(bound).rows()[0][2] == "t (2 of 5 shards)"
    _query, bound = spread.prepare("EXPLAIN SELECT count(*) FROM t")
    assert explained(bound).rows()[0][2] == ""


def test_another_table_of_the_name_has_a_plan_of_its_own(spread: Shards) -> None:
    made = Shards(spread.setting.directories[0])
    query = "SELECT count(*) FROM other WHERE i = 15"
    made.add("other", spread.paths["t"])
    assert shards_read(made, query, "other") == [1]
    made.add("other", spread.paths["t"][::-1])
    assert shards_read(made, query, "other") == [3]


def test_statistics_that_are_missing_or_odd_say_nothing() -> None:
    def low(kind: str, stats: ColumnStats | None, rows: int = 5) -> object:
        columns = {} if stats is None else {"a": stats}
        (span,) = Spans([ShardInfo(0, "0", 1, rows, columns)], {"a": kind}).of("a")
        return span.low

    assert low("BIGINT", ColumnStats(1, 2, 0)) == 1
    assert low("BIGINT", None) is None
    assert low("BIGINT", ColumnStats(None, 2, 0)) is None
    assert low("BIGINT", ColumnStats(True, True, 0)) is None
    assert low("UBIGINT", ColumnStats(-1, 2, 0)) is None
    assert low("BLOB", ColumnStats("a", "b", 0)) is None
    assert low("DATE", ColumnStats("yesterday", "b", 0)) is None
    assert low("DATE", ColumnStats("9999-12-31", "9999-12-31", 0)) is None
    assert low("TIMESTAMP", ColumnStats("2020-01-01T00:00:00+01:00", "2021-01-01", 0)) is None
    assert low("TIMESTAMP WITH TIME ZONE", ColumnStats("2020-01-01", "2021-01-01", 0)) is None
    assert low("DECIMAL(9,2)", ColumnStats("x", "y", 0)) is None
