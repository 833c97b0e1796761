"""SQL on a cluster: right, ended at once when it is to end, and right or an error when workers die."""

from __future__ import annotations

import operator
import os
import signal
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pytest

from fscache.errors import (
    FscacheError,
    GatherTooLargeError,
    SQLError,
    SQLRefusedError,
    UnknownTableError,
)
from fscache.grid.sql import prepare
from fscache.grid.sql.facts import Limits
from fscache.grid.sql.gridtables import GridTables
from tests.support import tpch
from tests.support.gridwork import grid, until
from tests.support.origin import Page
from tests.support.sqlwork import same_rows

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Iterator

    from fscache.grid import Grid
    from fscache.grid.mapreduce import Progress
    from tests.support.origin import Origin

_NEVER_ENDS = "SELECT count(*) FROM lines a, lines b, lines c WHERE a.x + b.x + c.x < 1"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    top = tmp_path_factory.mktemp("files")
    queries = {
        "orders": "SELECT i AS k, i % 7 AS a, i / 3 AS x, 'n' || i % 4 AS s FROM range(1000) r(i)",
        "lines": "SELECT i % 1000 AS k, i AS id, sqrt(i) AS x, i % 3 = 0 AS f FROM range(20000) r(i)",
        "kinds": "SELECT i AS a, 'kind ' || i AS name FROM range(6) r(i)",
    }
    made = {}
    with duckdb.connect() as connection:
        for name, query in queries.items():
            made[name] = str(top / f"{name}.parquet")
            connection.execute(f"COPY ({query}) TO '{made[name]}' (FORMAT parquet)")
    return made


@pytest.fixture(scope="module")
def deployed(two: Grid, files: dict[str, str]) -> Grid:
    _deploy(two, files)
    return two


@pytest.fixture
def alone(files: dict[str, str]) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        for name, path in files.items():
            connection.execute(f"CREATE VIEW {name} AS SELECT * FROM '{path}'")
        yield connection


def _deploy(grid: Grid, files: dict[str, str], replicas: int = 1) -> None:
    grid.tables.deploy(files["orders"], "orders", partition_by="k", shards=6, replicas=replicas)
    grid.tables.deploy(files["lines"], "lines", partition_by="k", like="orders", replicas=replicas)
    grid.tables.deploy(files["kinds"], "kinds", replicas=replicas)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT s, count(*), avg(x), sum(a) FROM orders GROUP BY s",
        "SELECT o.s, sum(l.x) FROM orders o JOIN lines l USING (k) WHERE l.f GROUP BY o.s",
        "SELECT name, max(x) FROM orders JOIN kinds USING (a) GROUP BY name",
        "SELECT s, median(x), list(k ORDER BY k) FROM orders GROUP BY s",
        "SELECT k, x FROM orders ORDER BY x DESC LIMIT 7",
        "SELECT count(*) FROM orders WHERE k IN (SELECT k FROM lines GROUP BY k HAVING sum(x) > 900)",
        "SELECT * FROM kinds",
        "SELECT count(*) FROM lines",
        "WITH w AS (FROM orders SELECT s, sum(x) t GROUP BY s) FROM w WHERE t > (SELECT avg(t) FROM w)",
        "SELECT o.k, l.id FROM orders o FULL JOIN lines l ON o.a = l.id",
        "SELECT a AS x, x FROM orders",
        "SELECT Orders.s, count(*) FROM ORDERS GROUP BY s",
    ],
)
def test_answers_are_those_of_duckdb_alone(
    deployed: Grid, alone: duckdb.DuckDBPyConnection, query: str
) -> None:
    found = deployed.sql(query)
    relation = alone.sql(query)
    assert found.columns == relation.columns
    assert found.types == [str(kind) for kind in relation.types]
    assert same_rows(found.rows(), relation.fetchall(), ordered="ORDER BY x" in query)
    assert found.arrow().num_rows == len(found.df()) == len(found)


@pytest.fixture(scope="module")
def noisy(two: Grid, tmp_path_factory: pytest.TempPathFactory) -> tuple[Grid, np.ndarray]:
    """A table whose column x has NaN among its numbers, as pyarrow's statistics do not tell."""
    x = np.arange(3000, dtype="f8") / 3000
    x[::10] = np.nan
    path = tmp_path_factory.mktemp("noisy") / "noisy.npz"
    np.savez(path, id=np.arange(3000), x=x)
    two.tables.deploy(str(path), "noisy", partition_by="id", shards=4)
    return two, x


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("isnan(x)", np.isnan),
        ("x = 'nan'", np.isnan),
        ("x > 2", np.isnan),  # NaN is greater than every number, as in DuckDB's own tables
        ("x NOT BETWEEN 0 AND 1", np.isnan),
        ("NOT isnan(x)", lambda x: ~np.isnan(x)),
        ("x <= 0.5", lambda x: x <= 0.5),
        ("x IN (SELECT x FROM noisy WHERE id = 0)", np.isnan),
    ],
)
def test_rows_with_nan_are_found(
    noisy: tuple[Grid, np.ndarray], condition: str, holds: Callable[[np.ndarray], np.ndarray]
) -> None:
    grid, x = noisy
    wanted = np.flatnonzero(holds(x)).tolist()
    found = grid.sql(f"SELECT id FROM noisy WHERE {condition} ORDER BY id").rows()
    assert [row[0] for row in found] == wanted
    if " IN " not in condition:
        assert grid.map_reduce("noisy", len, operator.add, where=condition) == len(wanted)


def test_nan_comes_first_from_above(noisy: tuple[Grid, np.ndarray]) -> None:
    grid, x = noisy
    last = np.flatnonzero(np.isnan(x))[:-6:-1].tolist()
    found = grid.sql("SELECT id FROM noisy ORDER BY x DESC NULLS LAST, id DESC LIMIT 5").rows()
    assert [row[0] for row in found] == last


def test_shared_values_reach_the_workers(deployed: Grid) -> None:
    query = (
        "SELECT count(*) n, shared.word AS w FROM orders WHERE k IN (SELECT unnest(shared.keys))"
    )
    assert deployed.sql(query, {"word": "it's", "keys": [1, 2, 5000]}).rows() == [(2, "it's")]


def test_shards_without_rows_that_count_are_not_read(
    deployed: Grid, alone: duckdb.DuckDBPyConnection
) -> None:
    query = (
        "SELECT count(*), sum(l.x) FROM orders o JOIN lines l USING (k) WHERE k BETWEEN 30 AND 40"
    )
    told: list[Progress] = []
    found = deployed.sql(query, progress=told.append)
    assert same_rows(found.rows(), alone.sql(query).fetchall(), ordered=False)
    assert told[-1].total == 1
    assert deployed.sql(f"EXPLAIN {query}").rows()[0][2] == (
        "lines (1 of 6 shards), orders (1 of 6 shards)"
    )


@pytest.mark.parametrize(("few", "many"), [("o.k < 9", False), ("o.k < 999", True)])
def test_keys_are_sent_to_the_shards(
    deployed: Grid,
    alone: duckdb.DuckDBPyConnection,
    monkeypatch: pytest.MonkeyPatch,
    few: str,
    many: bool,
) -> None:
    """And if they turn out to be many, the query starts anew without them."""
    monkeypatch.setattr(prepare, "Limits", partial(Limits, large=0))
    query = f"SELECT sum(o.x) FROM orders o WHERE {few} AND EXISTS (FROM lines l WHERE l.id = o.k)"

    def classes() -> list[str]:
        return [row[1] for row in deployed.sql(f"EXPLAIN {query}").rows()]

    assert classes()[:2] == ["keys", "reduced"]
    assert same_rows(deployed.sql(query).rows(), alone.sql(query).fetchall(), ordered=False)
    kept = prepare.prepare(
        query, None, GridTables(deployed.tables, deployed.cluster, deployed.cache)
    )
    assert any(step.kind == "keys" for step in kept[1].plan.steps) is not many


def test_rows_stream_portion_by_portion(deployed: Grid) -> None:
    told: list[Progress] = []
    stream = deployed.sql("SELECT id FROM lines WHERE f", streaming=True, progress=told.append)
    found = [value for batch in stream for value in batch.column(0).to_pylist()]
    assert sorted(found) == list(range(0, 20000, 3))
    until(lambda: told and told[-1].done == 6, "the last word of progress")
    assert [each.done for each in told] == sorted(each.done for each in told)


def test_a_stream_that_nobody_reads_ends(deployed: Grid) -> None:
    with deployed.sql("SELECT id FROM lines", streaming=True) as stream:
        next(stream)
    until(lambda: not deployed._runs, "the run to end")


def test_what_is_wrong_is_said(deployed: Grid) -> None:
    with pytest.raises(SQLError, match="nosuch"):
        deployed.sql("SELECT nosuch FROM orders")
    with pytest.raises(UnknownTableError):
        deployed.sql("SELECT * FROM nosuch")
    with pytest.raises(SQLRefusedError):
        deployed.sql("SELECT * FROM read_text('/etc/passwd')")
    with pytest.raises(SQLError, match="Could not convert"):
        deployed.sql("SELECT sum(CAST(s AS INTEGER)) FROM orders")
    with pytest.raises(GatherTooLargeError) as raised:
        deployed.sql("SELECT * FROM lines", max_gather=10_000)
    assert raised.value.limit == 10_000 < raised.value.asked


def test_a_url_whose_last_rows_are_wrong_is_named(deployed: Grid, origin: Origin) -> None:
    rows = "".join(f"{number},1\n" for number in range(60_000))
    url = origin.add("/late.csv", Page(f"k,n\n{rows}x,1\n".encode()))
    query = f"SELECT sum(n), 'late' FROM orders JOIN '{url}' USING (k)"
    for streaming in (False, True):
        with pytest.raises(SQLError) as raised:
            list(deployed.sql(query, streaming=streaming))
        assert str(raised.value).startswith(f"{url}: Conversion Error: CSV Error on Line: 60002")
        assert "objects" not in str(raised.value)


def test_cancel_ends_it_on_the_workers_too(deployed: Grid) -> None:
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            deployed.sql(_NEVER_ENDS)
        except BaseException as exc:  # noqa: BLE001 - kept for the test
            failed.append(exc)

    thread = threading.Thread(target=ask)
    thread.start()
    until(lambda: _busy(deployed) == 2, "both workers to be at it")
    assert deployed.cancel() == 1
    thread.join(10)
    assert isinstance(failed[0], CancelledError)
    until(lambda: _busy(deployed) == 0, "the workers to stop", 2)
    assert deployed.sql("SELECT count(*) FROM orders WHERE a = 1").rows() == [(143,)]


def test_cancel_ends_what_is_still_being_planned(deployed: Grid, origin: Origin) -> None:
    go = threading.Event()
    url = origin.add("/few.csv", Page(b"a\n1\n2\n", gate=go.wait))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(deployed.sql, f"{_NEVER_ENDS} AND a.id IN (SELECT a FROM '{url}')")
        try:
            origin.wait_seen("/few.csv")
            assert deployed.cancel() == 1
        finally:
            go.set()
        with pytest.raises(CancelledError):
            asked.result(20)
    assert deployed.cancel() == 0
    assert _busy(deployed) == 0
    assert deployed.sql(f"SELECT sum(a) FROM '{url}'").rows() == [(3,)]


def test_what_cannot_be_planned_is_not_under_way(deployed: Grid) -> None:
    with pytest.raises(SQLError):
        deployed.sql("SELECT nosuch FROM orders")
    deployed.sql("EXPLAIN SELECT k FROM orders")
    assert not deployed._runs


def _busy(grid: Grid) -> int:
    """Return how many workers use their processor."""
    pids = [worker.pid for worker in grid.workers()]

    def used() -> list[int]:
        ticks = []
        for pid in pids:
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
            ticks.append(int(fields[11]) + int(fields[12]))
        return ticks

    before = used()
    threading.Event().wait(0.3)
    return sum(after - first > 10 for first, after in zip(before, used(), strict=True))


def test_queries_at_once_take_turns(deployed: Grid) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(
            lambda number: deployed.sql(
                f"SELECT count(*) FROM lines WHERE id % 8 = {number}"
            ).rows(),
            range(8),
        )
        assert list(answers) == [[(2500,)]] * 8


def test_runs_are_recorded(deployed: Grid) -> None:
    deployed.sql("SELECT max(k) AS recorded FROM orders")
    with pytest.raises(SQLError):
        deployed.sql("SELECT max(CAST(s AS INTEGER)) AS failing FROM orders")
    records = deployed.cache.tasks.db_query({"queue": "grid"}, keys=["label", "completed", "error"])
    found = {record["label"]: record for record in records}
    good = found["sql SELECT max(k) AS recorded FROM orders"]
    assert good["completed"] is not None
    assert good["error"] is None
    assert found["sql SELECT max(CAST(s AS INTEGER)) AS failing FROM orders"]["error"]


def test_explain_shows_what_each_worker_computes(deployed: Grid) -> None:
    query = "EXPLAIN SELECT s, sum(x) FROM orders GROUP BY s"
    first, last = deployed.sql(query).rows()
    assert first[1:4] == ("two-phase", "orders", "")
    assert last[0] == "answer"
    (batch,) = deployed.sql(query, streaming=True)
    assert batch.column(0).to_pylist() == [first[0], last[0]]


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_worker_that_is_killed_costs_time_or_an_error_never_rows(
    tmp_path: pathlib.Path, files: dict[str, str], replicas: int
) -> None:
    query = "SELECT count(*), sum(a.id) FROM lines a, lines b WHERE a.k = b.k AND a.x + b.x > 9"
    with duckdb.connect() as connection:
        connection.execute(f"CREATE VIEW lines AS SELECT * FROM '{files['lines']}'")
        right = connection.sql(query).fetchall()
    with grid(str(tmp_path), 2) as made, ThreadPoolExecutor(4) as pool:
        _deploy(made, files, replicas)
        assert made.sql(query).rows() == right
        victim = made.workers()[0].pid
        asked = [pool.submit(made.sql, query) for _ in range(4)]
        os.kill(victim, signal.SIGKILL)
        for each in asked:
            # What lay on its node alone is gone with it.
            if replicas == 2 or each.exception(60) is None:
                assert each.result(60).rows() == right
            else:
                assert isinstance(each.exception(), FscacheError)
        if replicas == 2:
            assert made.sql(query).rows() == right  # of those that are left


def test_a_node_that_says_nothing_does_not_hold_up_a_cancel(
    tmp_path: pathlib.Path, files: dict[str, str]
) -> None:
    with grid(str(tmp_path), 2) as made, ThreadPoolExecutor(1) as pool:
        _deploy(made, files)
        made.sql("SELECT sum(x) FROM lines")  # who is there is known then
        silent = made.workers()[0].pid
        os.kill(silent, signal.SIGSTOP)
        try:
            asked = pool.submit(made.sql, "SELECT sum(x) FROM lines")
            until(lambda: bool(made._runs), "the query to begin")
            assert made.cancel() == 1
            with pytest.raises(CancelledError):
                asked.result(5)
        finally:
            os.kill(silent, signal.SIGCONT)
        assert len(made.sql("SELECT k FROM orders WHERE k < 5")) == 5


def test_tpch_on_a_cluster(tmp_path: pathlib.Path) -> None:
    paths = tpch.generate(str(tmp_path / "data"), 0.005)
    with grid(str(tmp_path), 2) as made, duckdb.connect() as connection:
        made.tables.deploy(paths["orders"], "orders", partition_by="o_orderkey", shards=4)
        made.tables.deploy(paths["lineitem"], "lineitem", partition_by="l_orderkey", like="orders")
        for name, path in paths.items():
            if name not in tpch.KEYS:
                made.tables.deploy(path, name)
            connection.execute(f"CREATE VIEW {name} AS SELECT * FROM '{path}'")
        for query in tpch.QUERIES:
            relation = connection.sql(query)
            found = made.sql(query)
            assert found.types == [str(kind) for kind in relation.types]
            assert same_rows(found.rows(), relation.fetchall(), ordered=tpch.ordered(query)), query
        plan = made.sql(f"EXPLAIN {tpch.QUERIES[2]}").rows()[0]
        assert plan[1:4] == ("partition", "lineitem, orders", "customer")
