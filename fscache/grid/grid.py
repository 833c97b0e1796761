"""`Grid`: the cluster, its services, its tables, and map-reduce where the data lies.

from fscache.grid import Grid

with Grid() as grid:                                   # workers on this machine
    table = grid.tables.deploy("catalogue/", "sky")
    count = grid.map_reduce("sky", len, operator.add)

grid = Grid("tls://head:8786")                         # or join a cluster, with its certificates
grid = Grid(hosts=create_host_list(["n1", "n2"]))      # or start workers through ssh
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from fscache.errors import ClusterError
from fscache.grid.addresses import in_full
from fscache.grid.mapreduce import to_stdout
from fscache.grid.runs import MapReduce
from fscache.grid.services import Services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from fscache.cache import Cache
    from fscache.grid.cluster import Cluster, WorkerInfo
    from fscache.grid.copying import CopyStatus
    from fscache.grid.crew import Crew
    from fscache.grid.hosts import Host
    from fscache.grid.mapreduce import Progress
    from fscache.grid.sql.result import Result as SQLResult
    from fscache.grid.sql.stream import Stream
    from fscache.grid.tls import KeyPair


class Grid(Services, MapReduce):
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
            address: Of its scheduler, `tls://host:port` or `host`; by default, a cluster is started here.
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
            GridAddressError: this is no address.
            InsecureGridError: another host's cluster, and no certificates.
            ClusterError: no scheduler answers, or not all workers came.
        """
        from fscache.grid import cluster
        from fscache.grid import tls as certificates

        if cache is None:
            from fscache.cache import Cache as Opened

            cache = Opened()
        # Before anything is started: what fails here leaves nothing behind.
        recorded_in = tasks if tasks is not None else getattr(cache, "tasks", None)
        self.cache = cache
        self.shared_temp_path = shared_temp_path
        self._halted = False
        self._crew: Crew | None = None
        pair = certificates.load(tls) if isinstance(tls, str) else tls
        if address is not None:
            address = in_full(address)
            if pair is None and address.startswith("tls:"):
                pair = certificates.load(cache.config.grid_tls)
            self.cluster: Cluster = cluster.Cluster(address, pair, timeout=timeout)
        else:
            self._start(pair or certificates.temporary(), workers, threads, hosts, timeout)
        Services.__init__(self, self.cluster)
        MapReduce.__init__(self, self.cluster, cache, tasks=recorded_in, output=output)

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
        with ExitStack() as last:  # from the bottom up, and each of them whatever the others raise
            if self._crew is not None:
                last.callback(self._crew.join)
            last.callback(self.cluster.close)
            if self._crew is not None:
                last.callback(self._crew.stop)
            last.callback(super().close)
            self.cancel()
            if self.cluster.alive:
                try:
                    self.terminate()
                except ClusterError:
                    pass  # it went away by itself, and with it what was to be ended

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    # -- work ---------------------------------------------------------------------------------

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
            name=self._name,
            runs=self._runs,
            log=self._log,
        )

    def copy_files(
        self,
        rootdir: str,
        patterns: str | Iterable[str],
        hosts: str | Iterable[str] | None = None,
        exclude: str | Iterable[str] | None = None,
    ) -> list[CopyStatus]:
        """Copy files to the hosts' temporary directories, or to the one that all of them share.

        Args:
            rootdir: A directory; the directories below it are made again over there.
            patterns: Items `folder/pattern`, or one; see `fscache.grid.copying`.
            hosts: Names of hosts or workers; all by default.
            exclude: Strings that no path may contain; `cns/` and `.svn/` by default.

        Returns:
            What happened on each host: copied, unchanged, or why it failed.

        Raises:
            FileNotFoundError: there is no such folder.
            ValueError: an item leads out of `rootdir`.
            GridError: there is no such host or worker.
        """
        from fscache.grid import copying

        return copying.copy_files(
            self.cluster,
            self.cache,
            os.fspath(rootdir),
            patterns,
            exclude=copying.EXCLUDE if exclude is None else exclude,
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
        from fscache.grid.crew import Crew as Started
        from fscache.grid.hosts import Host as Local

        count = workers or len(os.sched_getaffinity(0))
        root = self.cache.root.path
        chosen = hosts or [Local("localhost", n_cpu=threads, root=root) for _ in range(count)]
        remote = any(not host.is_local for host in chosen)
        self.cluster = cluster.Cluster.embedded(pair, "0.0.0.0" if remote else "127.0.0.1")  # noqa: S104 - TLS
        try:
            self._crew = Started(self.cluster, chosen, pair, timeout)
        except BaseException:
            self.cluster.close()
            raise
