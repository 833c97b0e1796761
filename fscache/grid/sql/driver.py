"""A query on a cluster: its steps as the engine's tasks, watched, ended and recorded as any other run."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from fscache.errors import ClusterError
from fscache.grid.mapreduce import Progress
from fscache.grid.sql.attended import attended
from fscache.grid.sql.dispatch import Portions
from fscache.grid.sql.execute import Execution
from fscache.grid.sql.explain import explained
from fscache.grid.sql.gridtables import GridTables
from fscache.grid.sql.local import reporter
from fscache.grid.sql.prepare import prepare, prepare_without_keys
from fscache.grid.sql.sandbox import most_gathered
from fscache.grid.sql.stream import Stream, streamed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pyarrow as pa

    from fscache.cache import Cache
    from fscache.grid.cluster import Cluster, WorkerInfo
    from fscache.grid.sql.execute import Bound
    from fscache.grid.sql.result import Result
    from fscache.grid.sql.sandbox import Setting
    from fscache.grid.table import Table
    from fscache.grid.tables import Tables
    from fscache.grid.tasklog import TaskLog

_rosters: WeakKeyDictionary[Cluster, dict[str, WorkerInfo]] = WeakKeyDictionary()
_TITLE = 200  # characters of a query in the record of its run


class Run:
    """One query, as `Grid` keeps it from before it is planned to its end."""

    def __init__(
        self,
        name: str,
        report: Callable[[Progress], None],
        on_end: Callable[[Run, BaseException | None], None],
    ) -> None:
        self.id = name
        self._report = report
        self._on_end = on_end
        self._started = time.monotonic()
        self._done = self._total = 0
        self._cancelled = self._ended = False
        self._execution: Execution | None = None

    def begin(
        self,
        cluster: Cluster,
        bound: Bound,
        tables: Mapping[str, Table | None],
        workers: list[WorkerInfo],
        *,
        setting: Setting,
        gather: int,
        otherwise: Callable[[], Bound],
        streaming: bool,
    ) -> Execution:
        """Return what runs its plan; what was cancelled before there was one is stopped already."""
        portions = Portions(
            cluster,
            self.id,
            bound,
            tables,
            workers,
            gather=gather,
            single=streaming and bound.plan.streams,
            on_done=self._note,
        )
        self._total = sum(portions.count(step) for step in bound.plan.steps if not step.here)
        execution = self._execution = Execution(bound, portions, setting, gather, otherwise)
        if self._cancelled:
            execution.stop()
        return execution

    @property
    def progress(self) -> Progress:
        """How far it is, in shards."""
        return Progress(self._done, self._total, time.monotonic() - self._started)

    def done(self) -> bool:
        """Whether it has ended."""
        return self._ended

    def cancel(self) -> None:
        """End it; whoever waits for it gets CancelledError."""
        if self._ended:
            return
        self._cancelled = True
        if self._execution is not None:
            self._execution.stop()

    def watch(self, work: Callable[[], Any]) -> Any:
        """Do the run's work, and see to its end."""
        try:
            value = work()
        except BaseException as exc:
            self.cancel()
            self._end(exc)
            raise
        self._done = self._total
        self._report(self.progress)
        self._end(None)
        return value

    def _note(self, shards: int) -> None:
        self._done += shards
        self._total = max(self._total, self._done)  # of a plan that was given up, too
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

    def ended(run: Run, error: BaseException | None) -> None:
        runs.discard(run)
        log.end(run.id, error, run.progress)

    with ExitStack() as stack:
        catalog = GridTables(tables, cluster, cache)
        stack.callback(catalog.files.close)
        run = Run(name(), reporter(progress, "sql"), ended)
        runs.add(run)  # planning may take as long as a URL's bytes take to come
        with ExitStack() as unplanned:
            unplanned.callback(runs.discard, run)
            read, bound = prepare(query, shared, catalog)
            if read.explain:
                plan = explained(bound)
                return streamed(plan) if streaming else plan
            remote = any(not step.here for step in bound.plan.steps)
            workers = _workers(cluster) if remote else []
            if remote and not workers:
                raise ClusterError("the grid has no workers")
            execution = run.begin(
                cluster,
                bound,
                catalog.found,
                workers,
                setting=catalog.files.setting,
                gather=most_gathered(max_gather),
                otherwise=lambda: prepare_without_keys(query, shared, catalog),
                streaming=streaming,
            )
            log.begin(run.id, f"sql {' '.join(query.split())[:_TITLE]}", run.progress.total)
            unplanned.pop_all()
        if not streaming:
            work = catalog.files.naming()(execution.result)
            result: Result = run.watch(lambda: attended(work, execution.stop))
            return result
        later = stack.pop_all()

    def produce(put: Callable[[pa.RecordBatch], None]) -> None:
        with later:
            run.watch(lambda: catalog.files.naming()(execution.stream)(put))

    return Stream(produce, run.cancel)


def _workers(cluster: Cluster) -> list[WorkerInfo]:
    """Return the workers that are there, by name; what one says of itself is asked for once."""
    known = _rosters.get(cluster, {})
    here = set(cluster.addresses())
    if not here <= known.keys():
        # A new one: other threads may be reading the old one.
        known = _rosters[cluster] = {info.address: info for info in cluster.workers()}
    return [info for address, info in known.items() if address in here]
