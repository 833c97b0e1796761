"""Tables in shards for tests of SQL without a cluster."""

from __future__ import annotations

import os

import duckdb
import pytest

from fscache.grid.sql.facts import Key
from tests.support.sqlwork import Shards


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    """`orders` and `lines`, dealt alike by `k`; `other`, by nothing; `kinds`, small."""
    top = str(tmp_path_factory.mktemp("tables"))
    made = Shards(top)
    bounds = (25, 50, 75)
    key = Key("k", ("range", bounds, 4, "BIGINT"))
    queries = {
        "orders": "SELECT i AS k, i % 7 AS a, i / 3 AS x, (i % 90)::DECIMAL(9, 2) AS d, 'n' || i % 4 AS s"
        " FROM range(100) r(i) WHERE i // 25 = {n}",
        "lines": "SELECT i % 100 AS k, i AS id, i % 5 AS a, sqrt(i) AS x, i % 3 = 0 AS f"
        " FROM range(500) r(i) WHERE i % 100 // 25 = {n}",
        "other": "SELECT i AS id, i % 11 AS a, i % 100 AS k, i / 7 AS y FROM range(300) r(i)"
        " WHERE i % 4 = {n}",
        "kinds": "SELECT i AS a, 'kind ' || i AS name FROM range(6) r(i)",
    }
    with duckdb.connect() as connection:
        for name, query in queries.items():
            paths = []
            for number in range(1 if name == "kinds" else 4):
                paths.append(os.path.join(top, f"{name}.{number}.parquet"))
                connection.execute(
                    f"COPY ({query.format(n=number)}) TO '{paths[-1]}' (FORMAT parquet)"
                )
            made.add(name, paths, key if name in {"orders", "lines"} else None)
    return made
