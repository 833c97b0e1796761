"""The grid beside bare Dask, multiprocessing, ipyparallel and Ray: calls, map-reduce, deploy; and limits.

Every contender has two workers of one thread, on this machine; map-reduce has the same 64 Parquet
shards. Peers that are not installed, or do not start, are left out and say so.
"""

from __future__ import annotations

import collections
import contextlib
import glob
import multiprocessing
import operator
import os
import shutil
import statistics
import tempfile
import time
from functools import partial, reduce

from harness import Case, compare, main

from fscache import Cache
from fscache.grid import Grid

SHARDS = 64
WORKERS = 2


class Echo:
    """The service that is called."""

    def __init__(self):
        self.seen = []

    def echo(self, value):
        """Return it."""
        return value

    def note(self, value):
        """Keep it."""
        self.seen.append(value)

    def noted(self):
        """Return what was kept."""
        return self.seen

    def pid(self):
        """Return the process's."""
        return os.getpid()

    def spin(self, seconds):
        """Take that long."""
        time.sleep(seconds)


def _source(top, rows=1_600_000):
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    directory = f"{top}/source"
    os.makedirs(directory)
    random = np.random.default_rng(1)
    words = np.array([f"word{number}" for number in range(1000)])
    each = rows // SHARDS
    for number in range(SHARDS):
        table = pa.table(
            {
                "id": np.arange(number * each, (number + 1) * each),
                "x": random.normal(size=each),
                "text": [" ".join(row) for row in words[random.integers(0, 1000, (each // 20, 20))]]
                * 20,
            }
        )
        pq.write_table(table, f"{directory}/{number:03d}.parquet")
    return directory


@contextlib.contextmanager
def _grid():
    with (
        tempfile.TemporaryDirectory() as top,
        Grid(workers=WORKERS, cache=Cache(f"{top}/root")) as grid,
    ):
        yield grid, top


# -- services -------------------------------------------------------------------------------------


def calls(rounds):
    """One call after the other, and a thousand at once, beside a bare actor on the same worker."""
    times = 300
    with _grid() as (grid, _top):
        service = grid.publish(Echo(), wait="all")
        proxy = grid.acquire_service(service)
        actor = grid.cluster.actor(Echo, at=grid.workers()[0].address)

        def ours():
            for _ in range(times):
                proxy.echo(1).get()

        def theirs():
            for _ in range(times):
                actor.echo(1).result()

        def piped():
            for result in [proxy.echo(number) for number in range(times)]:
                result.get()

        def piped_actor():
            for future in [actor.echo(number) for number in range(times)]:
                future.result()

        ours(), theirs()
        cases = [Case("bare Dask actor", theirs), Case("fscache", ours), *_call_peers(times)]
        figures = compare(
            "Service calls, one after the other",
            cases,
            "bare Dask actor",
            rounds=rounds,
            work=times,
            unit="calls",
        )
        figures |= compare(
            "Service calls, all sent at once",
            [Case("bare Dask actor, piped", piped_actor), Case("fscache, piped", piped)],
            "bare Dask actor, piped",
            rounds=rounds,
            work=times,
            unit="calls",
        )
        start = time.perf_counter()
        for number in range(5000):
            proxy.note(number)
        ordered = proxy.noted().get() == list(range(5000))
        rate = 5000 / (time.perf_counter() - start)
        print(f"\n5,000 calls in order: {ordered}, {rate:,.0f}/s")
        grid.release_service(proxy)
        return {**figures, "ordered": ordered, "ordered_rate": rate}


def _call_peers(times):
    ray = _ray()
    if ray is None:
        return []
    actor = ray.remote(Echo).remote()
    ray.get(actor.echo.remote(1))

    def run():
        for _ in range(times):
            ray.get(actor.echo.remote(1))

    return [Case("Ray actor", run)]


# -- map-reduce -----------------------------------------------------------------------------------


def column_sum(path):
    import pyarrow.parquet as pq

    return int(pq.read_table(path, columns=["id"], use_threads=False)["id"].to_numpy().sum())


def word_count(path):
    import pyarrow.parquet as pq

    counter = collections.Counter()
    for text in pq.read_table(path, columns=["text"], use_threads=False)["text"].to_pylist():
        counter.update(text.split())
    return counter


def shard_sum(shard):
    return int(shard["id"].sum())


def shard_words(shard):
    counter = collections.Counter()
    for text in shard.column("text").to_pylist():
        counter.update(text.split())
    return counter


def mapreduce(rounds):
    """A column's sum and a word count in Python over 64 shards."""
    figures = {}
    with _grid() as (grid, top):
        source = _source(top)
        table = grid.tables.deploy(source, "t", shard_size=os.path.getsize(f"{source}/000.parquet"))
        assert len(table.shards) == SHARDS
        paths = [str(grid.cache.path(address)) for address in table.addresses]
        client = grid.cluster._client  # noqa: SLF001 - the same cluster, by hand
        pool = multiprocessing.get_context("spawn").Pool(WORKERS)
        peers = _map_peers()
        for title, ours, theirs in (
            ("Sum of a column, 64 shards", shard_sum, column_sum),
            ("Word count in Python, 64 shards", shard_words, word_count),
        ):
            right = reduce(operator.add, map(theirs, paths[:2]))
            assert right

            def run_ours(ours=ours):
                grid.map_reduce("t", ours, operator.add)

            def run_dask(theirs=theirs):
                reduce(operator.add, client.gather(client.map(theirs, paths, pure=False)))

            def run_pool(theirs=theirs):
                reduce(operator.add, pool.map(theirs, paths, chunksize=1))

            cases = [
                Case("hand-written Dask", run_dask),
                Case("fscache", run_ours),
                Case("multiprocessing", run_pool),
            ]
            cases += [Case(name, partial(run, theirs, paths)) for name, run in peers]
            for case in cases:
                with contextlib.suppress(Exception):
                    case.run()  # imports
            figures[title] = compare(title, cases, "hand-written Dask", rounds=rounds)
        pool.terminate()
        pool.join()
    return figures


def _map_peers():
    peers = []
    ray = _ray()
    if ray is not None:

        def run_ray(function, paths):
            remote = ray.remote(function)
            reduce(operator.add, ray.get([remote.remote(path) for path in paths]))

        peers.append(("Ray", run_ray))
    parallel = _ipyparallel()
    if parallel is not None:

        def run_ipp(function, paths):
            reduce(operator.add, parallel.map_sync(function, paths))

        peers.append(("ipyparallel", run_ipp))
    return peers


def _ray():
    try:
        import ray

        if not ray.is_initialized():
            ray.init(
                num_cpus=WORKERS,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
            )
        return ray
    except Exception as exc:
        print(f"Ray left out: {type(exc).__name__}: {exc}"[:100])
        return None


def _ipyparallel():
    try:
        import ipyparallel

        cluster = ipyparallel.Cluster(n=WORKERS, log_level=50).start_and_connect_sync()
        view = cluster.load_balanced_view()
        cluster[:].use_cloudpickle()
        return view
    except Exception as exc:
        print(f"ipyparallel left out: {type(exc).__name__}: {exc}"[:100])
        return None


# -- limits ---------------------------------------------------------------------------------------


def limits(rounds):
    """How long a cancel takes inside a mapper that does not end, and how long a death goes unnoticed."""
    cancels, deaths = [], []
    with _grid() as (grid, top):
        import numpy as np

        np.save(f"{top}/a.npy", np.arange(1000))
        grid.tables.deploy(f"{top}/a.npy", "t", shards=4)

        def spin(_shard):
            while True:
                pass

        for _ in range(rounds):
            run = grid.submit("t", spin)
            time.sleep(0.5)
            start = time.perf_counter()
            run.cancel()
            grid.map_reduce("t", len, operator.add)  # the workers are free again
            cancels.append(time.perf_counter() - start)
        for _ in range(rounds):
            service = grid.publish(Echo(), wait="all")
            proxy = grid.acquire_service(service)
            pid = grid.gather([proxy.pid()])[0]
            result = proxy.spin(60)
            time.sleep(0.1)
            start = time.perf_counter()
            os.kill(pid, 9)
            assert result.exception(30) is not None
            deaths.append(time.perf_counter() - start)
            grid.cluster.wait_for(WORKERS, 30)
            grid.terminate(service)
    print(
        f"\ncancel in a loop, until the next run has ended: {statistics.median(cancels):.3f} s "
        f"(worst {max(cancels):.3f})"
    )
    print(f"HostDied after kill -9: {statistics.median(deaths):.4f} s (worst {max(deaths):.4f})")
    return {"cancel": cancels, "host_died": deaths}


# -- deploy ---------------------------------------------------------------------------------------


def deploy(rounds):
    """1 GB of Parquet in 4 files, into shards; beside `cp` and a rewrite by DuckDB."""
    import duckdb
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _grid() as (grid, top):
        source = f"{top}/source"
        os.makedirs(source)
        random = np.random.default_rng(1)
        rows = 7_000_000
        for number in range(4):
            columns = {f"f{each}": random.normal(size=rows) for each in range(4)}
            columns["id"] = random.integers(0, 1 << 40, rows)
            pq.write_table(pa.table(columns), f"{source}/{number}.parquet")
        size = sum(map(os.path.getsize, glob.glob(f"{source}/*")))
        print(f"\n{size / 1e9:.2f} GB in 4 files")

        def clean():
            shutil.rmtree(f"{top}/copy", ignore_errors=True)
            shutil.rmtree(f"{top}/written", ignore_errors=True)
            for table in grid.tables.ls():
                grid.tables.drop(table.name)
            shutil.rmtree(f"{top}/root/objects", ignore_errors=True)
            os.makedirs(f"{top}/root/objects")

        def peer():
            shutil.copytree(source, f"{top}/copy")
            with duckdb.connect() as connection:
                connection.execute(
                    f"COPY (FROM read_parquet('{top}/copy/*.parquet')) TO '{top}/written' "
                    "(FORMAT parquet, FILE_SIZE_BYTES '64MB')"
                )

        def ours(partition_by=None):
            grid.tables.deploy(source, "t", partition_by)

        cases = [
            Case("cp, rewrite by DuckDB", peer, clean),
            Case("deploy", ours, clean),
            Case("deploy, sorted", lambda: ours("id"), clean),
        ]
        return compare(
            "Deploy of Parquet",
            cases,
            "cp, rewrite by DuckDB",
            rounds=rounds,
            work=size / 1e6,
            unit="MB",
        )


if __name__ == "__main__":
    main({"calls": calls, "mapreduce": mapreduce, "limits": limits, "deploy": deploy})
