from __future__ import annotations

import collections
import gc
import operator
import os
import queue
import shutil
import signal
import subprocess
import threading
import time
from concurrent.futures import CancelledError
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fscache.errors import ClusterError, HostDied, SQLError, UnknownTableError
from fscache.grid.mapreduce import Run
from tests.support.commands import PROGRAM
from tests.support.gridwork import grid, make_source, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fscache.grid import Grid, Table
    from tests.support.commands import Shell

SHARDS = 16
ROWS = 4000


@pytest.fixture(scope="module")
def table(two: Grid, top: str) -> Iterator[Table]:
    make_source(f"{top}/source")
    yield two.tables.deploy(f"{top}/source", "words", shards=SHARDS)
    two.tables.drop("words")


# -- results --------------------------------------------------------------------------------------


def test_a_sum_over_a_column_is_the_sum_over_the_source(two: Grid, table: Table) -> None:
    total = two.map_reduce("words", lambda s: int(s["id"].sum()), operator.add)
    assert total == ROWS * (ROWS - 1) // 2


def test_a_reducer_that_is_only_associative_gets_values_in_the_order_of_the_table(
    two: Grid, table: Table
) -> None:
    for _ in range(5):
        found = two.map_reduce(table, lambda s: [s.index], operator.add)
        assert found == list(range(SHARDS))


def test_a_finalizer_makes_the_result_here(two: Grid, table: Table) -> None:
    pid = os.getpid()
    count = two.map_reduce(
        table,
        lambda s: collections.Counter(s["word"].tolist()),
        operator.add,
        lambda counter: (os.getpid() == pid, counter.most_common(1)),
    )
    assert count == (True, [("w0", 572)])


def test_without_a_reducer_the_values_come_as_a_list(two: Grid, table: Table) -> None:
    assert two.map_reduce(table, len) == [ROWS // SHARDS] * SHARDS


def test_shared_values_and_columns_reach_the_mapper(two: Grid, table: Table) -> None:
    big = np.arange(100_000)  # sent once to each worker, not with every task

    def mapper(shard: Any) -> tuple[int, list[str]]:
        return int(shard.shared[shard.index]), shard.columns

    found = two.map_reduce(table, mapper, shared=big, columns=["x", "id"])
    assert found == [(number, ["x", "id"]) for number in range(SHARDS)]


def test_large_results_are_reduced_where_they_lie(
    two: Grid, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fscache.grid import mapreduce

    monkeypatch.setattr(mapreduce, "_INLINE", 1000)
    monkeypatch.setattr(mapreduce, "_FAN_IN", 2)
    brought: list[int] = []
    real = type(two.cluster).gather
    monkeypatch.setattr(
        type(two.cluster),
        "gather",
        lambda self, futures: brought.append(len(futures)) or real(self, futures),
    )
    found = two.map_reduce(
        table, lambda s: np.array([s.index] * 1000), lambda a, b: np.concatenate([a, b])
    )
    assert found[::1000].tolist() == list(range(SHARDS))
    assert brought == [1]


def test_streaming_yields_every_shard_once_as_it_is_done(two: Grid, table: Table) -> None:
    values = two.map_reduce(table, lambda s: s.index, streaming=True)
    assert sorted(values) == list(range(SHARDS))


def test_streaming_gives_the_first_value_while_the_last_is_not_done(
    two: Grid, table: Table, gate: str
) -> None:
    def mapper(shard: Any) -> int:
        while shard.index == SHARDS - 1 and not os.path.exists(f"{gate}/end"):
            time.sleep(0.005)
        return int(shard.index)

    values = two.map_reduce(table, mapper, streaming=True)
    first = next(values)
    with open(f"{gate}/end", "w"):
        pass
    assert sorted([first, *values]) == list(range(SHARDS))


def test_who_stops_listening_to_a_stream_ends_the_run(two: Grid, table: Table) -> None:
    values = two.map_reduce(table, lambda s: time.sleep(0.05) or s.index, streaming=True)
    next(values)
    values.close()
    until(lambda: not two._runs, "the run to end")


def test_progress_is_told_to_the_end_and_its_total_stands(two: Grid, table: Table) -> None:
    heard: list[Any] = []
    two.map_reduce(table, len, operator.add, progress=heard.append)
    assert {each.total for each in heard} == {SHARDS}
    assert heard[-1].done == SHARDS
    assert [each.done for each in heard] == sorted(each.done for each in heard)


def test_progress_may_cancel_the_run(two: Grid, table: Table, gate: str) -> None:
    def mapper(shard: Any) -> None:
        while shard.index and not os.path.exists(f"{gate}/end"):
            time.sleep(0.005)

    ready: queue.SimpleQueue[Any] = queue.SimpleQueue()
    run = two.submit("words", mapper, progress=lambda _progress: ready.get().cancel())
    ready.put(run)
    with pytest.raises(CancelledError):
        run.result()


def test_what_progress_raises_ends_the_run(two: Grid, table: Table) -> None:
    def progress(_progress: Any) -> None:
        raise LookupError("no bar")

    def mapper(shard: Any) -> None:
        while shard.index:
            time.sleep(0.005)

    with pytest.raises(LookupError, match="no bar"):
        two.map_reduce(table, mapper, progress=progress)


def test_progress_draws_a_bar(two: Grid, table: Table, capsys: pytest.CaptureFixture[str]) -> None:
    two.map_reduce(table, len, operator.add, progress=True)
    assert f"{SHARDS}/{SHARDS}" in capsys.readouterr().err


# -- what mappers say -----------------------------------------------------------------------------


def test_prints_come_back_with_host_and_shard(two: Grid, table: Table) -> None:
    heard: list[tuple[str, str, str]] = []
    before, two._output = two._output, lambda *each: heard.append(each)
    try:
        two.map_reduce(table, lambda s: print(f"I have\n{len(s)} rows"))
        assert len(heard) == 2 * SHARDS
    finally:
        two._output = before
    host = two.workers()[0].host
    for number in range(SHARDS):
        said = [text for where, name, text in heard if (where, name) == (host, f"words/{number}")]
        assert said == ["I have", f"{ROWS // SHARDS} rows"]


def test_an_exception_keeps_its_type_and_says_where_it_was(two: Grid, table: Table) -> None:
    class LocalError(ValueError):
        pass

    def mapper(shard: Any) -> int:
        if shard.index == 5:
            raise LocalError("five is bad")
        return 1

    with pytest.raises(LocalError, match="five is bad") as caught:
        two.map_reduce(table, mapper, operator.add)
    assert any(
        "words/5" in note and two.workers()[0].host in note for note in caught.value.__notes__
    )
    assert "raise LocalError" in str(caught.value.__cause__)


@pytest.mark.parametrize("reducer", [None, lambda one, other: one])
def test_a_value_that_cannot_be_sent_says_whose_it_is(
    two: Grid, table: Table, reducer: Callable[[Any, Any], Any] | None
) -> None:
    with pytest.raises(TypeError, match=r"can be sent.*lock") as caught:
        two.map_reduce(table, lambda shard: threading.Lock(), reducer)
    (note,) = caught.value.__notes__
    assert "in words/" in note
    assert two.workers()[0].host in note


def test_a_condition_that_is_none_is_an_error_of_sql(two: Grid, table: Table) -> None:
    for where in ("nosuch = 3", "x >", "nosuch(x)"):
        with pytest.raises(SQLError, match="where: ") as caught:
            two.map_reduce(table, lambda shard: len(shard["id"]), operator.add, where=where)
        assert "/objects/" not in str(caught.value)
        assert caught.value.query == where


def test_a_reducer_or_finalizer_that_fails_fails_the_run(two: Grid, table: Table) -> None:
    def reducer(one: int, other: int) -> int:
        raise ZeroDivisionError("reducer")

    with pytest.raises(ZeroDivisionError, match="reducer"):
        two.map_reduce(table, len, reducer)
    with pytest.raises(ZeroDivisionError):
        two.map_reduce(table, len, operator.add, lambda total: 1 / 0)


def test_a_mapper_that_exits_fails_its_run_and_not_its_worker(two: Grid, table: Table) -> None:
    pids = [worker.pid for worker in two.workers()]
    with pytest.raises(SystemExit):
        two.map_reduce(table, lambda s: exit(3))  # noqa: PLR1722
    assert [worker.pid for worker in two.workers()] == pids


def test_what_cannot_be_is_said_before_anything_runs(two: Grid, table: Table) -> None:
    with pytest.raises(UnknownTableError):
        two.map_reduce("nothing", len)
    with pytest.raises(KeyError, match="nope"):
        two.map_reduce(table, len, columns=["nope"])
    lock = threading.Lock()
    with pytest.raises(TypeError, match="pickle"):
        two.map_reduce(table, lambda s: lock)


# -- cancelling -----------------------------------------------------------------------------------


def loop(shard: Any) -> None:
    open(f"{shard.shared}/{shard.index}.began", "w").close()
    while True:
        pass


def sleep(shard: Any) -> None:
    open(f"{shard.shared}/{shard.index}.began", "w").close()
    time.sleep(3600)


@pytest.mark.parametrize("mapper", [loop, sleep])
def test_cancel_ends_a_run_inside_a_long_mapper_and_frees_the_workers(
    two: Grid, table: Table, gate: str, mapper: Any
) -> None:
    import cloudpickle

    cloudpickle.register_pickle_by_value(__import__("sys").modules[__name__])
    run = two.submit(table, mapper, shared=gate)
    until(lambda: len(os.listdir(gate)) == 2, "both workers to begin")
    run.cancel()
    assert run.done()
    with pytest.raises(CancelledError):
        run.result()
    assert two.map_reduce(table, len, operator.add) == ROWS  # with the same two workers


def test_cancel_of_the_grid_ends_all_its_runs(two: Grid, table: Table, gate: str) -> None:
    runs = [two.submit(table, lambda s: time.sleep(60)) for _ in range(2)]
    assert two.cancel() == 2
    for run in runs:
        assert isinstance(_error(run), CancelledError)
    assert two.cancel() == 0


def _error(run: Any) -> BaseException | None:
    try:
        run.result()
    except CancelledError as exc:
        return exc
    return None


def test_ctrl_c_before_the_run_has_a_name_cancels_it_too(
    two: Grid, table: Table, gate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(Run):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            until(lambda: os.path.exists(f"{gate}/began"), "the mapper to begin")
            raise KeyboardInterrupt

    def mapper(shard: Any) -> None:
        open(f"{shard.shared}/began", "w").close()
        while True:
            pass

    monkeypatch.setattr("fscache.grid.runs.Run", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        two.map_reduce(table, mapper, shared=gate)
    monkeypatch.undo()
    assert not two._runs
    assert two.map_reduce(table, len, operator.add) == ROWS  # the workers are free


def test_ctrl_c_cancels_the_run(two: Grid, table: Table, gate: str) -> None:
    def interrupt() -> None:
        until(lambda: os.path.exists(f"{gate}/began"), "the mapper to begin")
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def mapper(shard: Any) -> None:
        open(f"{shard.shared}/began", "w").close()
        while True:
            pass

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        two.map_reduce(table, mapper, shared=gate)
    thread.join()
    assert not two._runs
    assert two.map_reduce(table, len, operator.add) == ROWS


# -- URLs -----------------------------------------------------------------------------------------


def test_a_function_is_mapped_over_urls_where_they_lie(two: Grid, tmp_path: Path) -> None:
    urls = []
    for number in range(6):
        path = tmp_path / f"{number}.txt"
        path.write_text(f"text {number}")
        urls.append(path.as_uri())
    first = two.workers()[0]
    assert two.map(lambda path: path.read_text(), urls) == [f"text {n}" for n in range(6)]
    where = two.map(lambda path: (str(path), os.getpid()), urls)
    # Once more: each is where it was brought, so it is worked on there.
    assert two.map(lambda path: (str(path), os.getpid()), urls) == where
    assert {pid for _, pid in where} <= {worker.pid for worker in two.workers()}
    assert first.pid in {pid for _, pid in where}
    assert two.map(len, []) == []
    assert two.map(lambda path: path.read_text(), urls[3]) == ["text 3"]


def test_a_url_that_cannot_be_had_is_named(two: Grid, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"gone\.txt") as caught:
        two.map(lambda path: 1, [(tmp_path / "gone.txt").as_uri()])
    assert any("gone.txt" in note for note in caught.value.__notes__)


# -- records --------------------------------------------------------------------------------------


class Database:
    """Keeps what it is told, as a task database does."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, Any]] = {}

    def add_record(self, msg_id: str, rec: dict[str, Any]) -> None:
        assert msg_id not in self.records
        self.records[msg_id] = dict(rec)

    def update_record(self, msg_id: str, rec: dict[str, Any]) -> None:
        self.records[msg_id].update(rec)


def test_every_run_is_a_task_record(
    two: Grid, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database()
    monkeypatch.setattr(two._log, "_database", database)
    two.map_reduce(table, len, operator.add)
    with pytest.raises(ZeroDivisionError):
        two.map_reduce(table, lambda s: 1 / 0)
    good, bad = database.records.values()
    assert (good["label"], good["result_content"]["status"]) == ("map_reduce words", "ok")
    assert good["submitted"] <= good["completed"]
    assert good["submitted"].tzinfo is not None
    assert bad["error"]["ename"] == "ZeroDivisionError"


# -- loss -----------------------------------------------------------------------------------------


def test_a_real_run_survives_a_worker_killed_in_its_midst_and_counts_every_shard_once(
    tmp_path: Path, gate: str
) -> None:
    rows = make_source(str(tmp_path / "source"), files=8, rows=8000)
    with grid(str(tmp_path), 3) as made:
        table = made.tables.deploy(str(tmp_path / "source"), "t", shards=64, replicas=2)
        assert len(table.shards) == 64
        victim = made.workers()[1].pid

        def mapper(shard: Any) -> tuple[int, int, list[int]]:
            open(f"{shard.shared}/{os.getpid()}.{shard.index}", "w").close()
            time.sleep(0.01)
            return len(shard), int(shard["id"].sum()), [shard.index]

        def reducer(one: Any, other: Any) -> Any:
            return one[0] + other[0], one[1] + other[1], one[2] + other[2]

        run = made.submit("t", mapper, reducer, shared=gate)
        until(
            lambda: sum(name.startswith(f"{victim}.") for name in os.listdir(gate)) >= 2,
            "the victim to have done some",
        )
        os.kill(victim, signal.SIGKILL)
        count, total, order = run.result(timeout=60)
        assert count == rows
        assert total == rows * (rows - 1) // 2
        assert order == list(range(64))
        done_elsewhere = {
            int(name.split(".")[1])
            for name in os.listdir(gate)
            if not name.startswith(f"{victim}.")
        }
        assert len(done_elsewhere) > 42  # two thirds were theirs; the rest was the victim's


def test_a_node_that_lost_its_objects_costs_transfers_not_the_answer(tmp_path: Path) -> None:
    rows = make_source(str(tmp_path / "source"))
    with grid(str(tmp_path), 2) as made:
        made.tables.deploy(str(tmp_path / "source"), "t", shards=8, replicas=2)
        shutil.rmtree(tmp_path / "root")  # nobody but the nodes has them now
        shutil.rmtree(tmp_path / "root0/objects")
        table = made.tables.show("t")
        total = made.map_reduce(table, lambda s: int(s["id"].sum()), operator.add)
        assert total == rows * (rows - 1) // 2
        poor = next(worker for worker in made.workers() if worker.node.endswith("root0"))
        assert made.cluster.ask(poor.address, "pulls") >= 1


def test_a_mapper_that_kills_its_workers_ends_with_host_died(tmp_path: Path) -> None:
    make_source(str(tmp_path / "source"), files=1, rows=10)
    with grid(str(tmp_path), 2) as made:
        made.tables.deploy(str(tmp_path / "source"), "t", shards=1, replicas=2)
        with pytest.raises(HostDied, match=r"t/0 on 127\.0\.0\.1: every worker"):
            made.map_reduce("t", lambda s: os.kill(os.getpid(), 9), operator.add)


# The engine drops a connection that it was making when it stops looking for its scheduler.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_head_that_dies_ends_what_is_under_way_and_is_said_to_be_gone(
    shell: Shell, tmp_path: Path, gate: str
) -> None:
    from fscache import Cache
    from fscache.grid import Grid as Made

    def mapper(shard: Any) -> None:
        Path(f"{gate}/began").touch()
        while not os.path.exists(f"{gate}/end"):
            time.sleep(0.005)

    def begin(*words: str) -> tuple[subprocess.Popen[str], str]:
        command = [PROGRAM, "workers", *words]
        made = subprocess.Popen(command, env=shell.environ, stdout=subprocess.PIPE, text=True)
        assert made.stdout is not None
        return made, made.stdout.readline().strip()

    make_source(str(tmp_path / "source"), files=1, rows=10)
    head, address = begin("head", "--host", "127.0.0.1", "--port", "0")
    worker, _ = begin("run", "--head", address, "--threads", "1")
    certificates = f"{shell.environ['HOME']}/.config/fscache/grid"
    member = Made(address, tls=certificates, cache=Cache(str(tmp_path / "own")))
    try:
        member.tables.deploy(str(tmp_path / "source"), "t")
        run = member.submit("t", mapper)
        until(lambda: os.path.exists(f"{gate}/began"), "the mapper to begin")
        head.kill()
        with pytest.raises(ClusterError, match="is gone"):
            run.result(20)
        asked: list[Callable[[], object]] = [
            lambda: member.map_reduce("t", len),
            lambda: member.acquire_service("s"),
            member.tables.ls,
            member.workers,
        ]
        for ask in asked:
            with pytest.raises(ClusterError, match="is gone"):
                ask()
    finally:
        member.close()
        gc.collect()
        for process in (head, worker):
            process.kill()
            process.communicate()


def test_a_worker_that_hangs_hangs_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("cluster.client", "tables"):
        monkeypatch.setattr(f"fscache.grid.{module}.PATIENCE", 1.0)
    make_source(str(tmp_path / "source"), files=1, rows=10)
    with grid(str(tmp_path), 2) as made:
        made.tables.deploy(str(tmp_path / "source"), "t", shards=2, replicas=2)
        first, second = made.workers()
        os.kill(first.pid, signal.SIGSTOP)
        try:
            assert made.workers() == [second]
            assert [table.name for table in made.tables.ls()] == ["t"]
            assert made.map_reduce("t", lambda s: os.getpid()) == [second.pid] * 2
        finally:
            os.kill(first.pid, signal.SIGCONT)
        assert made.workers() == [first, second]


def test_a_cluster_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    from fscache import Cache
    from fscache.grid import Grid as Made
    from fscache.grid import Host

    broken = Host("localhost", init_cmd="echo no module today >&2; exit 3;")
    with pytest.raises(ClusterError, match="no module today"):
        Made(hosts=[broken], cache=Cache(str(tmp_path / "root")), timeout=1)


def test_a_closed_grid_says_so(tmp_path: Path) -> None:
    with grid(str(tmp_path), 1) as made:
        pass
    assert made.ishalted()
    asked: list[Callable[[], object]] = [
        made.workers,
        made.services,
        made.tables.ls,
        lambda: made.publish(3),
        lambda: made.map_reduce("t", len),
        lambda: made.map(len, ["file:///etc/hosts"]),
        lambda: made.copy_files(str(tmp_path), "*"),
        lambda: made.sql("SELECT * FROM t"),
    ]
    for ask in asked:
        with pytest.raises(ClusterError, match="closed"):
            ask()
    assert made.cancel() == 0
    made.close()
