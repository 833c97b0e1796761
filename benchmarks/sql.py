"""SQL on two workers of one thread beside one DuckDB with two: TPC-H, tiny and catalogue queries.

Every answer is compared with DuckDB's before anything is timed. Data and shards are on this machine.
"""

from __future__ import annotations

import contextlib
import math
import os
import statistics
import sys
import tempfile
from functools import partial

import duckdb
from harness import Case, compare, main, repeat

from fscache import Cache
from fscache.grid import Grid, Host

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from tests.support import tpch
from tests.support.sqlwork import same_rows

WORKERS = 2
SHARDS = 16
CATALOGUE = 100_000_000  # rows
OURS, THEIRS = "fscache, 2 workers of 1 thread", "DuckDB, 1 process of 2 threads"


@contextlib.contextmanager
def _grid():
    with tempfile.TemporaryDirectory() as top:
        # One root: the tables of a machine lie on it once.
        hosts = [Host("localhost", root=f"{top}/root") for _ in range(WORKERS)]
        with Grid(hosts=hosts, cache=Cache(f"{top}/root")) as grid:
            yield grid, top


def _alone(paths):
    connection = duckdb.connect(config={"threads": WORKERS})
    for name, path in paths.items():
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM '{path}'")
    return connection


def tpch_queries(scale, aligned, rounds):
    figures = {}
    layout = "co-partitioned" if aligned else "as it comes"
    with _grid() as (grid, top):
        paths = tpch.generate(f"{top}/data", scale)
        alone = _alone(paths)
        for name, path in paths.items():
            if name == "orders":
                by = {"partition_by": "o_orderkey"} if aligned else {}
                grid.tables.deploy(path, name, shards=SHARDS, **by)
            elif name != "lineitem":
                grid.tables.deploy(path, name, shards=1)
        by = {"partition_by": "l_orderkey", "like": "orders"} if aligned else {"shards": SHARDS}
        grid.tables.deploy(paths["lineitem"], "lineitem", **by)
        for number, query in enumerate(tpch.QUERIES, 1):
            relation = alone.sql(query)
            found = grid.sql(query)
            assert found.types == [str(kind) for kind in relation.types], number
            assert same_rows(found.rows(), relation.fetchall(), ordered=tpch.ordered(query)), number
            kind = grid.sql(f"EXPLAIN {query}").rows()[-1][1]
            figures[number] = compare(
                f"TPC-H Q{number}, SF {scale:g}, {layout}: {kind}",
                [
                    Case(OURS, lambda query=query: _drop(grid.sql(query))),
                    Case(THEIRS, lambda query=query: _drop(alone.sql(query).to_arrow_table())),
                ],
                THEIRS,
                rounds=rounds,
            )
    ratios = {number: 1 / figure[OURS]["ratio"] for number, figure in figures.items()}
    worst = max(ratios, key=ratios.__getitem__)
    print(
        f"\nSF {scale:g}, {layout}: times of DuckDB's, median "
        f"{statistics.median(ratios.values()):.2f}, worst {ratios[worst]:.2f} (Q{worst}), geometric mean "
        f"{math.exp(statistics.fmean(map(math.log, ratios.values()))):.2f}"
    )
    return {"ratios": ratios, "queries": figures}


def fixed(rounds):
    """What a query costs that has nothing to do."""
    with _grid() as (grid, top):
        path = f"{top}/t.parquet"
        duckdb.sql(f"COPY (SELECT range AS i FROM range(16000)) TO '{path}'")
        grid.tables.deploy(path, "t", shards=SHARDS)
        alone = _alone({"t": path})
        figures = {}
        for title, query in {
            "count(*) from metadata": "SELECT count(*) FROM t",
            "a filtered count": "SELECT count(*) FROM t WHERE i % 7 = 1",
            "ten rows": "SELECT i FROM t LIMIT 10",
        }.items():
            assert len(grid.sql(query)) == len(alone.sql(query).fetchall())
            figures[title] = compare(
                f"Fixed cost: {title}",
                [
                    Case(OURS, repeat(partial(grid.sql, query), 10)),
                    Case(THEIRS, repeat(lambda query=query: alone.sql(query).fetchall(), 10)),
                ],
                THEIRS,
                rounds=rounds,
            )
        return figures


def catalogue(rounds):
    """A filtered, grouped histogram over three columns of a catalogue."""
    query = (
        "SELECT f > 0.5 AS star, floor(m * 10)::INTEGER AS bin, count(*) FROM sky"
        " WHERE m BETWEEN 15 AND 25 AND e < 0.9 GROUP BY 1, 2"
    )
    with _grid() as (grid, top):
        path = f"{top}/sky.parquet"
        duckdb.sql(
            "COPY (SELECT i AS id, 12 + 15 * sqrt(random()) AS m, random() AS f, random() AS e"
            f" FROM range({CATALOGUE}) r(i)) TO '{path}'"
        )
        grid.tables.deploy(path, "sky", shards=SHARDS)
        alone = _alone({"sky": path})
        assert same_rows(grid.sql(query).rows(), alone.sql(query).fetchall(), ordered=False)
        return compare(
            f"Catalogue: filtered, grouped histogram, {CATALOGUE:,} rows",
            [
                Case(OURS, lambda: _drop(grid.sql(query))),
                Case(THEIRS, lambda: _drop(alone.sql(query).to_arrow_table())),
            ],
            THEIRS,
            rounds=rounds,
            work=CATALOGUE / WORKERS,
            unit="rows per core",
        )


def _drop(_result):
    """Take no answer for a time."""


if __name__ == "__main__":
    main(
        {
            "fixed": fixed,
            "catalogue": catalogue,
            "tpch-0.1": partial(tpch_queries, 0.1, True),
            "tpch-0.1-loose": partial(tpch_queries, 0.1, False),
            "tpch-1": partial(tpch_queries, 1.0, True),
            "tpch-1-loose": partial(tpch_queries, 1.0, False),
        }
    )
