"""`Grid`: the cluster, its services, its tables, and map-reduce where the data lies.

from fscache.grid import Grid

with Grid() as grid:                                   # workers on this machine
    table = grid.tables.deploy("catalogue/", "sky")
    count = grid.map_reduce("sky", len, operator.add)

grid = Grid("tls://head:8786")                         # or join a cluster, with its certificates
grid = Grid(hosts=create_host_list(["n1", "n2"]))      # or start workers through ssh
"""

from __future__ import annotations

import itertools
import os
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from fscache.errors import ClusterError
from fscache.grid.mapreduce import Run, to_stdout
from fscache.grid.services import Services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from fscache.cache import Cache
    from fscache.grid.cluster import Cluster, WorkerInfo
    from fscache.grid.copying import CopyStatus
    from fscache.grid.hosts import Host
    from fscache.grid.launch import Child
    from fscache.grid.mapreduce import Progress
    from fscache.grid.sql.driver import Run as Query
    from fscache.grid.sql.result import Result as SQLResult
    from fscache.grid.sql.stream import Stream
    from fscache.grid.table import Table
    from fscache.grid.tables import Tables
    from fscache.grid.tls import KeyPair

_numbers = itertools.count(1)


class Grid(Services):
    """A cluster, as one program uses it."""

    def __init__(
        self,
        address: str | None = None,
        *,
        workers: int | None = None,
        threads: int = 1,
        hosts: Sequence[Host] | None = None,
        tls: str | KeyPair | None = None,
        cache: Cache | None = None,
        tasks: Any = None,
        shared_temp_path: str | None = None,
        output: Callable[[str, str, str], None] = to_stdout,
        timeout: float = 60.0,
    ) -> None:
        """Join the cluster at `address`, or start one.

        Args:
            address: Of its scheduler, `tls://host:port`; by default, a cluster is started here.
            workers: How many, of a cluster that is started on this machine; a core each by default.
            threads: Tasks at once in each of these.
            hosts: Start workers on these instead.
            tls: Directory with the cluster's certificates, or the key pair itself; from the
                configuration by default.
            cache: This program's own cache; from the configuration by default. Workers that are
                started on this machine use its root.
            tasks: Task database that every run is recorded in; the cache's own by default.
            shared_temp_path: Directory that all hosts see under this name, for `copy_files`.
            output: Called with host, shard and text of what mappers print.
            timeout: The longest wait for the workers, in s.

        Raises:
            InsecureGridError: another host's cluster, and no certificates.
            ClusterError: no scheduler answers, or not all workers came.
        """
        from fscache.grid import cluster
        from fscache.grid import tls as certificates

        if cache is None:
            from fscache.cache import Cache as Opened

            cache = Opened()
        self.cache = cache
        self.shared_temp_path = shared_temp_path
        self._children: list[Child] = []
        self._runs: set[Run | Query] = set()
        self._output = output
        self._halted = False
        self._tables: Tables | None = None
        self._log_dir: tempfile.TemporaryDirectory[str] | None = None
        pair = certificates.load(tls) if isinstance(tls, str) else tls
        if address is not None:
            if pair is None and address.startswith("tls:"):
                pair = certificates.load(cache.config.grid_tls)
            self.cluster: Cluster = cluster.Cluster(address, pair, timeout=timeout)
        else:
            self._start(pair or certificates.temporary(), workers, threads, hosts, timeout)
        super().__init__(self.cluster)
        from fscache.grid.tasklog import TaskLog

        self._log = TaskLog(tasks if tasks is not None else getattr(cache, "tasks", None))

    # -- the cluster --------------------------------------------------------------------------

    def workers(self) -> list[WorkerInfo]:
        """Return the workers that are there now."""
        return self.cluster.workers()

    def ishalted(self) -> bool:
        """Whether the grid has been closed, or its scheduler is gone."""
        return self._halted or not self.cluster.alive

    def close(self) -> None:
        """End runs and services of this program, and the cluster if it was started here."""
        if self._halted:
            return
        self._halted = True
        for run in list(self._runs):
            run.cancel()
        if self.cluster.alive:
            try:
                self.terminate()
            except ClusterError:
                pass  # it went away by itself, and with it what was to be ended
        super().close()
        for child in self._children:
            child.stop()
        self.cluster.close()
        for child in self._children:
            child.join()
        if self._log_dir is not None:
            self._log_dir.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    # -- work ---------------------------------------------------------------------------------

    @property
    def tables(self) -> Tables:
        """The tables: `deploy ls show drop rebalance verify`."""
        if self._tables is None:
            from fscache.grid.tables import Tables

            self._tables = Tables(self.cluster, self.cache)
        return self._tables

    def map_reduce(
        self,
        table: str | Table,
        mapper: Callable[[Any], Any],
        reducer: Callable[[Any, Any], Any] | None = None,
        finalizer: Callable[[Any], Any] | None = None,
        *,
        columns: Sequence[str] | None = None,
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
            columns: The columns that the mapper may read; all by default.
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
        columns: Sequence[str] | None = None,
        where: str | pa.compute.Expression | None = None,
        shared: Any = None,
        streaming: bool = False,
        progress: bool | Callable[[Progress], None] | None = None,
    ) -> Run:
        """Start a map-reduce and return it at once; arguments as for `map_reduce`."""
        from fscache.grid.runner import Piece
        from fscache.grid.table import Table as Known

        known = table if isinstance(table, Known) else self.tables.show(table)
        workers = self.workers()
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
        if columns is not None:
            known.check_columns(columns)
        job = {
            "mapper": mapper,
            "reducer": reducer,
            "columns": list(columns) if columns is not None else None,
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
        urls: Iterable[str],
        *,
        progress: bool | Callable[[Progress], None] | None = None,
    ) -> list[Any]:
        """Call `function` with the path of each URL, where its object lies; return the values in order.

        What no node has is fetched by the node that is to work on it.
        """
        from fscache.grid.runner import Piece

        listed = list(urls)
        if not listed:
            return []
        workers = self.workers()
        found = self.cluster.ask_all(
            "lookup", at=[worker.address for worker in workers], urls=listed
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
            for number, url in enumerate(listed)
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
                f"map {len(listed)} urls",
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

    def sql(
        self,
        query: str,
        shared: Mapping[str, Any] | None = None,
        *,
        streaming: bool = False,
        progress: bool | Callable[[Progress], None] | None = None,
        max_gather: int | None = None,
    ) -> SQLResult | Stream:
        """Run a query over tables, where their shards lie; see `fscache.grid.sql.sql`.

        `EXPLAIN` before it shows what each worker would compute. URLs in it are staged by this program.
        """
        from fscache.grid.sql.driver import start

        return start(
            self.cluster,
            self.tables,
            self.cache,
            query,
            shared,
            streaming=streaming,
            progress=progress,
            max_gather=max_gather,
            name=lambda: f"{self.cluster.client}/{next(_numbers)}",
            runs=self._runs,
            log=self._log,
        )

    def cancel(self) -> int:
        """Cancel all runs of this program that are under way; return how many those were."""
        runs = [run for run in list(self._runs) if not run.done()]
        for run in runs:
            run.cancel()
        return len(runs)

    def copy_files(
        self,
        rootdir: str,
        patterns: Iterable[str],
        hosts: Sequence[str] | None = None,
        exclude: Iterable[str] | None = None,
    ) -> list[CopyStatus]:
        """Copy files to the hosts' temporary directories, or to the one that all of them share.

        Args:
            rootdir: A directory; the directories below it are made again over there.
            patterns: Items `folder/pattern`; see `fscache.grid.copying`.
            hosts: Names of hosts or workers; all by default.
            exclude: Strings that no path may contain; `cns/` and `.svn/` by default.

        Returns:
            What happened on each host: copied, unchanged, or why it failed.
        """
        from fscache.grid import copying

        return copying.copy_files(
            self.cluster,
            self.cache,
            os.fspath(rootdir),
            list(patterns),
            exclude=copying.EXCLUDE if exclude is None else list(exclude),
            hosts=hosts,
            shared=self.shared_temp_path,
        )

    # -- inside -------------------------------------------------------------------------------

    def _start(
        self,
        pair: KeyPair,
        workers: int | None,
        threads: int,
        hosts: Sequence[Host] | None,
        timeout: float,
    ) -> None:
        from fscache.grid import cluster
        from fscache.grid.hosts import Host as Local
        from fscache.grid.launch import Child as Process

        count = workers or len(os.sched_getaffinity(0))
        root = self.cache.root.path
        chosen = hosts or [Local("localhost", n_cpu=threads, root=root) for _ in range(count)]
        remote = any(not host.is_local for host in chosen)
        self.cluster = cluster.Cluster.embedded(pair, "0.0.0.0" if remote else "127.0.0.1")  # noqa: S104 - TLS
        self._log_dir = tempfile.TemporaryDirectory(prefix="fscache-grid-")
        try:
            for number, host in enumerate(chosen):
                orders = {
                    "role": "worker",
                    "head": self.cluster.address,
                    "pair": list(pair),
                    "name": f"{host.name}-{number}",
                    "threads": host.n_cpu,
                    "root": host.root,
                    "temp": host.temp_path,
                }
                log = f"{self._log_dir.name}/{number}.log"
                self._children.append(Process(host.command(), orders, log))
            try:
                self.cluster.wait_for(len(chosen), timeout)
            except ClusterError as exc:
                raise ClusterError(f"{exc.why}{self._last_words()}") from exc
        except BaseException:
            for child in self._children:
                child.stop()
            self.cluster.close()
            self._log_dir.cleanup()
            raise

    def _last_words(self) -> str:
        words = ""
        if self._log_dir is not None:
            for name in sorted(os.listdir(self._log_dir.name)):
                with open(f"{self._log_dir.name}/{name}", errors="replace") as log:
                    text = log.read()[-500:].strip()
                if text:
                    words += f"\nworker {name.removesuffix('.log')}: {text}"
        return words

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
        name = f"{self.cluster.client}/{next(_numbers)}"
        self._log.begin(name, title, len(pieces))
        try:
            run = Run(
                self.cluster,
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
            self.cluster.ask_all("cancel", run=name)  # what is on its way must not go on
            raise
        if run.done():
            self._runs.discard(run)
        return run

    def _ended(self, run: Run) -> None:
        self._runs.discard(run)
        self._log.end(run.id, run.exception(), run.progress)
