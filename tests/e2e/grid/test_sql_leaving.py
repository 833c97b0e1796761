"""Queries while workers leave, die and come, or the head dies; and no more rows than there is room."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from fscache import Cache
from fscache.errors import ClusterError, GatherTooLargeError
from fscache.grid import Grid
from tests.support.commands import PROGRAM, Shell
from tests.support.gridwork import grid, until

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator

    from fscache.grid.mapreduce import Progress

SUM = "SELECT k % 2 AS odd, sum(id) AS n FROM lines WHERE id > 1 GROUP BY odd ORDER BY odd"
NEVER_ENDS = "SELECT count(*) FROM lines a, lines b, lines c WHERE a.id + b.id + c.id < 1"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("source") / "lines.parquet")
    duckdb.sql(f"COPY (SELECT i % 100 AS k, i AS id FROM range(12000) r(i)) TO '{path}'")
    return path


@pytest.fixture
def two(tmp_path: pathlib.Path, source: str) -> Iterator[Grid]:
    """Two workers that both have all of `lines`."""
    with grid(str(tmp_path), 2) as made:
        made.tables.deploy(source, "lines", partition_by="k", shards=6, replicas=2)
        yield made


def test_a_worker_that_takes_no_more_work_as_it_leaves_is_left_out(two: Grid) -> None:
    right = two.sql(SUM).rows()

    def leave() -> None:
        import distributed

        distributed.get_worker().executors["default"].shutdown(wait=False)

    leaving = two.workers()[0].address
    two.cluster.gather([two.cluster.submit(leave, near=[leaving], key="leave")])
    assert two.sql(SUM).rows() == right


def _asked(made: Grid) -> bool:
    """Whether nodes have been asked for the query that is under way."""
    executions: list[Any] = [getattr(run, "_execution", None) for run in list(made._runs)]
    return any(each is not None and each._workers._nodes._asked for each in executions)


def test_workers_that_came_since_the_query_began_go_on_when_all_others_have_died(two: Grid) -> None:
    right = two.sql(SUM).rows()
    first = two.workers()
    for worker in first:
        os.kill(worker.pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(two.sql, SUM)
        until(lambda: _asked(two), "the workers to be asked")
        old = {worker.address for worker in first}
        for worker in first:
            os.kill(worker.pid, signal.SIGKILL)
            # It is started again before the next one is killed.
            until(lambda: set(two.cluster.addresses()) - old, "another one to come")
        assert asked.result(60).rows() == right


# The engine drops a connection that it was making when it stops looking for its scheduler.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_head_that_dies_ends_a_query(shell: Shell, tmp_path: pathlib.Path, source: str) -> None:
    def begin(*words: str) -> tuple[subprocess.Popen[str], str]:
        command = [PROGRAM, "workers", *words]
        made = subprocess.Popen(command, env=shell.environ, stdout=subprocess.PIPE, text=True)
        assert made.stdout is not None
        return made, made.stdout.readline().strip()

    head, address = begin("head", "--host", "127.0.0.1", "--port", "0")
    worker, _ = begin("run", "--head", address, "--threads", "1")
    certificates = f"{shell.environ['HOME']}/.config/fscache/grid"
    member = Grid(address, tls=certificates, cache=Cache(str(tmp_path / "own")))
    try:
        member.tables.deploy(source, "lines")
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(member.sql, NEVER_ENDS)
            until(lambda: _asked(member), "the worker to be asked")
            head.kill()
            with pytest.raises(ClusterError, match="is gone"):
                asked.result(20)
        assert not member._runs
        (record,) = member.cache.tasks.db_query({"queue": "grid"}, keys=["completed", "error"])
        assert record["completed"] is not None
        assert record["error"]["ename"] == "ClusterError"
    finally:
        member.close()
        gc.collect()
        for process in (head, worker):
            process.kill()
            process.communicate()


def test_what_is_too_much_is_not_waited_for(tmp_path: pathlib.Path, source: str) -> None:
    with grid(str(tmp_path), 3) as made:
        made.tables.deploy(source, "lines", partition_by="k", shards=6)
        told: list[Progress] = []
        whole = made.sql("SELECT * FROM lines", progress=told.append).arrow().nbytes
        assert told[-1].done == 6
        told.clear()
        with pytest.raises(GatherTooLargeError):  # each third has room, two have none
            made.sql("SELECT * FROM lines", progress=told.append, max_gather=whole // 2)
        assert told[-1].done < 6
