"""Map-reduce, as one program uses it: over tables or URLs, and the runs that it has under way.

Every run is cut into pieces that name who holds the data, is recorded as a task, and is known here until
it ends. Ctrl-C ends what was begun, also while it is being sent off. How a run goes is `mapreduce`'s.
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fscache.errors import ClusterError
from fscache.grid.hosts import listed
from fscache.grid.mapreduce import Run
from fscache.grid.tasklog import TaskLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa

    from fscache.cache import Cache
    from fscache.grid.cluster import Cluster, WorkerInfo
    from fscache.grid.mapreduce import Progress
    from fscache.grid.sql.driver import Run as Query
    from fscache.grid.table import Table
    from fscache.grid.tables import Tables

_numbers = itertools.count(1)


class MapReduce:
    """Map-reduce on one cluster, for one client."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        *,
        tasks: Any,
        output: Callable[[str, str, str], None],
    ) -> None:
        """Begin with no run; arguments as for `Grid`."""
        self._cluster = cluster
        self._cache = cache
        self._log = TaskLog(tasks)
        self._output = output
        self._runs: set[Run | Query] = set()
        self._tables: Tables | None = None

    @property
    def tables(self) -> Tables:
        """The tables: `deploy ls show drop rebalance verify`."""
        if self._tables is None:
            from fscache.grid.tables import Tables

            self._tables = Tables(self._cluster, self._cache)
        return self._tables

    def map_reduce(
        self,
        table: str | Table,
        mapper: Callable[[Any], Any],
        reducer: Callable[[Any, Any], Any] | None = None,
        finalizer: Callable[[Any], Any] | None = None,
        *,
        columns: str | Sequence[str] | None = None,
        where: str | pa.compute.Expression | None = None,
        shared: Any = None,
        streaming: bool = False,
        progress: bool | Callable[[Progress], None] | None = None,
    ) -> Any:
        """Map every shard of a table, reduce what comes back, and return it.

        Args:
            table: Its name, or the table.
            mapper: Gets a `Shard`.
            reducer: Puts two values together; it must be associative. Values come in the order of the
                shards. Without one, the result is the list of values.
            finalizer: Makes the result of the reduced value, here.
            columns: The columns that the mapper may read, or one; all by default.
            where: The rows that it sees: an SQL condition, or an Arrow expression.
            shared: For every mapper, as `shard.shared`; sent to each worker once.
            streaming: Return an iterator over the shards' values, each as soon as it is there.
            progress: True draws a bar; a callable gets a `Progress`.

        Raises:
            Exception: what the mapper, reducer or finalizer raised, with host and shard in its notes.
            CancelledError: `cancel` was called meanwhile.
            UnknownTableError: there is no such table.
        """
        with self._interruptible():
            run = self.submit(
                table,
                mapper,
                reducer,
                finalizer,
                columns=columns,
                where=where,
                shared=shared,
                streaming=streaming,
                progress=progress,
            )
            return iter(run) if streaming else run.result()

    def submit(
        self,
        table: str | Table,
        mapper: Callable[[Any], Any],
        reducer: Callable[[Any, Any], Any] | None = None,
        finalizer: Callable[[Any], Any] | None = None,
        *,
        columns: str | Sequence[str] | None = None,
        where: str | pa.compute.Expression | None = None,
        shared: Any = None,
        streaming: bool = False,
        progress: bool | Callable[[Progress], None] | None = None,
    ) -> Run:
        """Start a map-reduce and return it at once; arguments as for `map_reduce`."""
        from fscache.grid.runner import Piece
        from fscache.grid.table import Table as Known

        known = table if isinstance(table, Known) else self.tables.show(table)
        workers = self._cluster.workers()
        shards = known.matching(where)
        pieces = [
            Piece(
                number,
                f"{known.name}/{shard.index}",
                shard.address,
                [worker.address for worker in workers if worker.node in shard.nodes],
            )
            for number, shard in enumerate(shards)
        ]
        wanted = None if columns is None else listed(columns)
        known.check_columns(wanted or ())
        job = {
            "mapper": mapper,
            "reducer": reducer,
            "columns": wanted,
            "where": where,
            "shared": shared,
        }
        return self._run(
            f"map_reduce {known.name}",
            job,
            pieces,
            [shard.size for shard in shards],
            workers=workers,
            finalizer=finalizer,
            streaming=streaming,
            progress=progress,
        )

    def map(
        self,
        function: Callable[[Any], Any],
        urls: str | Iterable[str],
        *,
        progress: bool | Callable[[Progress], None] | None = None,
    ) -> list[Any]:
        """Call `function` with the path of each URL, or of one; return the values in order.

        It is called where the object lies; what no node has is fetched by the node that is to work on it.
        """
        from fscache.grid.runner import Piece

        wanted = listed(urls)
        if not wanted:
            return []
        workers = self._cluster.workers()
        found = self._cluster.ask_all(
            "lookup", at=[worker.address for worker in workers], urls=wanted
        )
        pieces = [
            Piece(
                number,
                url,
                "",
                [
                    at
                    for at, here in found.items()
                    if not isinstance(here, BaseException) and here[number]
                ],
            )
            for number, url in enumerate(wanted)
        ]
        job = {
            "mapper": function,
            "reducer": None,
            "columns": None,
            "where": None,
            "shared": None,
        }
        with self._interruptible():
            run = self._run(
                f"map {len(wanted)} urls",
                job,
                pieces,
                [1.0] * len(pieces),
                workers=workers,
                finalizer=None,
                streaming=False,
                progress=progress,
            )
            values: list[Any] = run.result()
        return values

    def cancel(self) -> int:
        """Cancel all runs of this program that are under way; return how many those were."""
        runs = [run for run in list(self._runs) if not run.done()]
        for run in runs:
            run.cancel()
        return len(runs)

    # -- inside -------------------------------------------------------------------------------

    def _name(self) -> str:
        return f"{self._cluster.client}/{next(_numbers)}"

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """End what is begun within if Ctrl-C does.

        It may come before a run has a name here, and after its first mapper has begun.
        """
        before = set(self._runs)
        try:
            yield
        except KeyboardInterrupt:
            for begun in self._runs - before:
                begun.cancel()
            raise

    def _run(
        self,
        title: str,
        job: dict[str, Any],
        pieces: list[Any],
        weights: list[float],
        *,
        workers: list[WorkerInfo],
        finalizer: Callable[[Any], Any] | None,
        streaming: bool,
        progress: bool | Callable[[Progress], None] | None,
    ) -> Run:
        if not workers:
            raise ClusterError("the grid has no workers")
        if progress is True:
            from fscache.grid.progress import Bar

            progress = Bar(title)
        name = self._name()
        self._log.begin(name, title, len(pieces))
        try:
            run = Run(
                self._cluster,
                name,
                job,
                pieces,
                weights,
                threads={worker.address: worker.threads for worker in workers},
                finalizer=finalizer,
                streaming=streaming,
                progress=progress or None,
                output=self._output,
                on_end=self._ended,
            )
            self._runs.add(run)
        except BaseException:
            self._cluster.ask_all("cancel", run=name)  # what is on its way must not go on
            raise
        if run.done():
            self._runs.discard(run)
        return run

    def _ended(self, run: Run) -> None:
        self._runs.discard(run)
        self._log.end(run.id, run.exception(), run.progress)
