"""A query on a cluster: its steps as the engine's tasks, watched, ended and recorded as any other run."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from fscache.errors import ClusterError, UnknownTableError
from fscache.grid.batches import Item
from fscache.grid.mapreduce import Progress
from fscache.grid.pickles import dumps
from fscache.grid.sql.catalog import source_of
from fscache.grid.sql.execute import Execution
from fscache.grid.sql.explain import explained
from fscache.grid.sql.local import Files, reporter
from fscache.grid.sql.parse import is_url
from fscache.grid.sql.portions import rounds
from fscache.grid.sql.prepare import prepare, timezone
from fscache.grid.sql.sandbox import memory
from fscache.grid.sql.stream import Stream
from fscache.grid.sql.worker import Task, packed, run_portion, unpacked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import pyarrow as pa

    from fscache.cache import Cache
    from fscache.grid.cluster import Cluster, WorkerInfo
    from fscache.grid.sql.execute import Bound, Rows
    from fscache.grid.sql.facts import Source, Step
    from fscache.grid.sql.result import Result
    from fscache.grid.sql.sandbox import Setting
    from fscache.grid.tables import Table, Tables
    from fscache.grid.tasklog import TaskLog

_SCATTER = (
    64 << 10
)  # bytes of a task from which it is sent once to each worker instead of per portion
_CANCEL_WAIT = 0.5  # s to wait for the nodes' word that they have stopped
_MEMORY = 0.6  # part of a host's memory for all portions that run there at once
_TITLE = 200  # characters of a query in the record of its run
_described: dict[str, dict[str, str]] = {}  # by the address of an object, which never changes


class GridTables:
    """A `Catalog` of a grid's tables, and of URLs that the caller's own cache stages."""

    def __init__(self, tables: Tables, cluster: Cluster, cache: Cache) -> None:
        self.files = Files(cache)
        self.found: dict[str, Table | None] = {}
        self._tables = tables
        self._cluster = cluster

    def schemas(self, names: Iterable[str]) -> Mapping[str, pa.Schema]:
        """Return the Arrow schemas of those that are there."""
        made = {}
        for name in names:
            table = self._table(name)
            if is_url(name):
                made[name] = self.files.schema(name)
            elif table is not None:
                made[name] = table.schema
        return made

    def source(self, name: str) -> Source | None:
        """Return what is known of one, None if it is not there."""
        if is_url(name):
            return self.files.source(name)
        table = self._table(name)
        return None if table is None else source_of(name, table, self._columns(table))

    def file(self, name: str) -> str:
        """Return what reads a URL, as SQL has it."""
        return self.files.file(name)

    def _table(self, name: str) -> Table | None:
        if name not in self.found:
            try:
                self.found[name] = None if is_url(name) else self._tables.show(name)
            except UnknownTableError:
                self.found[name] = None
        return self.found[name]

    def _columns(self, table: Table) -> dict[str, str]:
        """Return the types that DuckDB sees in a table's files: what it says of one of them."""
        shard = table.shards[0]
        known = _described.get(shard.address)
        if known is None:
            workers = self._cluster.workers()
            if not workers:
                raise ClusterError("the grid has no workers")
            near = [worker.address for worker in workers if worker.node in shard.nodes]
            at = near[0] if near else workers[0].address
            known = self._cluster.ask(at, "columns", address=shard.address, holders=near)
            _described[shard.address] = known
        return known


class Portions:
    """The `Workers` of one query on a cluster."""

    def __init__(
        self,
        cluster: Cluster,
        run: str,
        bound: Bound,
        tables: Mapping[str, Table | None],
        workers: list[WorkerInfo],
        *,
        gather: int,
        single: bool,
        on_done: Callable[[int], None],
    ) -> None:
        self._cluster = cluster
        self._run = run
        self._bound = bound
        self._tables = {name: table for name, table in tables.items() if table is not None}
        self._workers = workers
        self._limit = gather
        self._single = single
        self._on_done = on_done
        self._futures: list[Any] = []
        self._stopped = threading.Event()

    def count(self, step: Step) -> int:
        """Return how many shards a step has, as progress counts them."""
        names = list(step.parts.values())
        return len(self._tables[names[0]].shards) if names else 1

    def run(self, step: Step, inputs: Mapping[str, Rows]) -> Iterator[pa.Table]:
        """Run a step; yield the rows of its portions."""
        blob: Any = dumps(self._task(step, inputs))
        if len(blob) > _SCATTER:
            blob = self._cluster.scatter(blob)
        threads = {worker.address: worker.threads for worker in self._workers}
        for number, portions in enumerate(rounds(self._items(step), threads, single=self._single)):
            if self._stopped.is_set():
                raise CancelledError
            keys = {}
            for index, portion in enumerate(portions):
                parts = {
                    relation: self._files(name, portion.shards)
                    for relation, name in step.parts.items()
                }
                future = self._cluster.submit(
                    run_portion,
                    blob,
                    parts,
                    near=[portion.worker],
                    key=f"{self._run}/{step.name}/{number}.{index}",
                )
                keys[future.key] = index
                self._futures.append(future)
            futures = self._futures[-len(keys) :]
            values: dict[int, pa.Table] = {}
            for future, value in self._cluster.finished(futures, values=True):
                if self._stopped.is_set():
                    raise CancelledError
                if isinstance(value, BaseException):
                    raise value
                index = keys[future.key]
                self._on_done(len(portions[index].shards))
                if self._single:
                    yield unpacked(value)
                else:
                    values[index] = unpacked(value)
            del self._futures[-len(keys) :]
            for index in sorted(values):
                yield values[index]

    def stop(self) -> None:
        """End all that runs."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        self._cluster.cancel(list(self._futures))
        self._cluster.ask_all("cancel", run=self._run, patience=_CANCEL_WAIT)

    def _task(self, step: Step, inputs: Mapping[str, Rows]) -> Task:
        hosts: dict[str, int] = {}
        for worker in self._workers:
            hosts[worker.host] = hosts.get(worker.host, 0) + worker.threads
        return Task(
            self._run,
            self._cluster.client,
            step.sql,
            dict(self._bound.parameters),
            {relation: self._files(name) for relation, name in step.wholes.items()},
            {name: (packed(table), tuple(types)) for name, (table, types) in inputs.items()},
            timezone(),
            _MEMORY / max(hosts.values()),
            self._limit,
        )

    def _items(self, step: Step) -> list[Item]:
        names = list(step.parts.values())
        if not names:
            # One worker does it all: rather the one that has the most of it.
            table = max((self._tables[name] for name in step.wholes.values()), key=_size)
            return [Item(0, 1.0, self._holders(table.shards[0].nodes))]
        first = self._tables[names[0]]
        return [
            Item(
                index,
                float(sum(self._tables[name].shards[index].size for name in set(names))),
                self._holders(shard.nodes),
            )
            for index, shard in enumerate(first.shards)
        ]

    def _files(self, name: str, chosen: list[int] | None = None) -> list[tuple[str, list[str]]]:
        shards = self._tables[name].shards
        return [
            (shards[index].address, self._holders(shards[index].nodes))
            for index in (range(len(shards)) if chosen is None else chosen)
        ]

    def _holders(self, nodes: Iterable[str]) -> list[str]:
        return [worker.address for worker in self._workers if worker.node in nodes]


class Run:
    """One query under way, as `Grid` keeps it."""

    def __init__(
        self,
        cluster: Cluster,
        name: str,
        bound: Bound,
        tables: Mapping[str, Table | None],
        workers: list[WorkerInfo],
        *,
        setting: Setting,
        gather: int,
        streaming: bool,
        report: Callable[[Progress], None],
        on_end: Callable[[Run, BaseException | None], None],
    ) -> None:
        self.id = name
        self._report = report
        self._on_end = on_end
        self._begun = time.monotonic()
        self._done = 0
        self._ended = False
        portions = Portions(
            cluster,
            name,
            bound,
            tables,
            workers,
            gather=gather,
            single=streaming and bound.plan.streams,
            on_done=self._note,
        )
        self._total = sum(portions.count(step) for step in bound.plan.steps if not step.here)
        self.execution = Execution(bound, portions, setting, gather)

    @property
    def progress(self) -> Progress:
        """How far it is, in shards."""
        return Progress(self._done, self._total, time.monotonic() - self._begun)

    def done(self) -> bool:
        """Whether it has ended."""
        return self._ended

    def cancel(self) -> None:
        """End it; whoever waits for it gets CancelledError."""
        if not self._ended:
            self.execution.stop()

    def watch(self, work: Callable[[], Any]) -> Any:
        """Do the run's work, and see to its end."""
        try:
            value = work()
        except BaseException as exc:
            self.execution.stop()
            self._end(exc)
            raise
        self._done = self._total
        self._report(self.progress)
        self._end(None)
        return value

    def _note(self, shards: int) -> None:
        self._done += shards
        self._report(self.progress)

    def _end(self, error: BaseException | None) -> None:
        self._ended = True
        self._on_end(self, error)


def start(
    cluster: Cluster,
    tables: Tables,
    cache: Cache,
    query: str,
    shared: Mapping[str, Any] | None,
    *,
    streaming: bool,
    progress: bool | Callable[[Progress], None] | None,
    max_gather: int | None,
    name: Callable[[], str],
    runs: set[Any],
    log: TaskLog,
) -> Result | Stream:
    """Run a query on a cluster; see `Grid.sql`.

    Args:
        cluster: Where.
        tables: Its tables.
        cache: That stages URLs.
        query: The query.
        shared: Values for `shared.NAME`.
        streaming: Return a Stream.
        progress: As for `Grid.sql`.
        max_gather: Bytes that may come together here; each worker sends no more than that, either.
        name: Makes the name of a run.
        runs: Where the run is to be kept while it is under way.
        log: Where it is recorded.
    """
    limit = max_gather or memory() // 4
    with ExitStack() as stack:
        catalog = GridTables(tables, cluster, cache)
        stack.callback(catalog.files.close)
        read, bound = prepare(query, shared, catalog)
        if read.explain:
            return explained(bound)
        run_name = name()
        remote = any(not step.here for step in bound.plan.steps)
        workers = cluster.workers() if remote else []
        if remote and not workers:
            raise ClusterError("the grid has no workers")

        def ended(run: Run, error: BaseException | None) -> None:
            runs.discard(run)
            log.end(run.id, error, run.progress)

        run = Run(
            cluster,
            run_name,
            bound,
            catalog.found,
            workers,
            setting=catalog.files.setting,
            gather=limit,
            streaming=streaming,
            report=reporter(progress, "sql"),
            on_end=ended,
        )
        log.begin(run_name, f"sql {' '.join(query.split())[:_TITLE]}", run.progress.total)
        runs.add(run)
        if not streaming:
            result: Result = run.watch(run.execution.result)
            return result
        later = stack.pop_all()

    def produce(put: Callable[[pa.RecordBatch], None]) -> None:
        with later:
            run.watch(lambda: run.execution.stream(put))

    return Stream(produce, run.cancel)


def _size(table: Table) -> int:
    return table.size
