"""A catalogue of a million stars on three workers, one of which is killed in the midst of the run.

    python examples/grid_mapreduce.py

Each worker is a process with a cache of its own, as on three nodes. The table has 64 shards; a shard
whose worker is gone is pulled by another one and counted once, so the answer is that of all stars.
"""

from __future__ import annotations

import operator
import os
import signal
import tempfile
import threading
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fscache import Cache
from fscache.grid import Grid, Host

ROWS = 1_000_000
SHARDS = 64


def catalogue(directory: str) -> dict[str, float]:
    """Write the catalogue as eight Parquet files; return what is to be found out about it."""
    dice = np.random.default_rng(1)
    bright, flux_sum = 0, 0.0
    for number in range(8):
        flux = dice.exponential(5.0, ROWS // 8)
        ids = np.arange(number * ROWS // 8, (number + 1) * ROWS // 8)
        pq.write_table(pa.table({"id": ids, "flux": flux}), f"{directory}/{number}.parquet")
        bright += int((flux > 10).sum())
        flux_sum += float(flux.sum())
    return {"rows": ROWS, "bright": bright, "flux": flux_sum}


def mapper(shard):
    """Count one shard; runs on the worker that has it."""
    flux = shard["flux"]
    time.sleep(0.02)  # so that there is a midst in which to kill
    return {"rows": len(shard), "bright": int((flux > 10).sum()), "flux": float(flux.sum())}


def add(one, other):
    """Put two counts together."""
    return {name: one[name] + other[name] for name in one}


def main() -> None:
    """Run it."""
    with tempfile.TemporaryDirectory() as top:
        source = f"{top}/catalogue"
        os.mkdir(source)
        expected = catalogue(source)
        hosts = [Host("localhost", root=f"{top}/node{number}") for number in range(3)]
        with Grid(hosts=hosts, cache=Cache(f"{top}/root")) as grid:
            table = grid.tables.deploy(source, "stars", partition_by="id", shards=SHARDS)
            print(f"{table.rows:,} rows in {len(table.shards)} shards on {len(hosts)} workers")

            victim = grid.workers()[0]
            threading.Timer(0.3, os.kill, (victim.pid, signal.SIGKILL)).start()
            print(f"worker {victim.address} is killed while the run is under way")
            found = grid.map_reduce("stars", mapper, add, columns=["flux"])

            rows = grid.map_reduce("stars", len, operator.add)  # on the two that are left
        print(f"found    {found}")
        print(f"expected {expected}")
        if found["rows"] != rows or found["bright"] != expected["bright"]:
            raise SystemExit("not the same")


if __name__ == "__main__":
    main()
