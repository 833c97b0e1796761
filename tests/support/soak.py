"""100,000 mixed requests against one daemon: its memory, threads and descriptors must not grow.

    python -m tests.support.soak [requests]

Fails (exit code 1) if they do. Some minutes; `make soak`, not part of the tests.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import threading
from pathlib import Path
from urllib.parse import quote

from fscache import errors
from fscache.remote.cache import RemoteCache
from tests.support.origin import Origin
from tests.support.servers import Daemon

CLIENTS = 8
ROUNDS = 10
URLS = 200
MOST_GROWTH = 0.10
"""Of the resident memory, from the end of the second tenth of the requests to the last."""


Held = tuple[int, int, int]
"""Resident KiB, threads and descriptors of a daemon."""


def main(requests: int, daemon: type[Daemon] = Daemon) -> int:
    """Send the requests in ten rounds and judge what the daemon holds after each."""
    os.environ["MALLOC_ARENA_MAX"] = "2"  # as the daemon's unit has it
    where = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with (
        tempfile.TemporaryDirectory(dir=where) as folder,
        Origin() as origin,
        daemon(f"{folder}/served") as served,
    ):
        urls = [origin.add(f"/f{n}", os.urandom(4096)) for n in range(URLS)]
        assert served.process is not None
        pid = served.process.pid
        held = []
        print("| requests | resident, KiB | threads | descriptors |\n|---|---|---|---|")
        for number in range(ROUNDS):
            _round(served, folder, urls, requests // ROUNDS)
            held.append(_held(pid))
            done = (number + 1) * (requests // ROUNDS)
            print(f"| {done:,} | {held[-1][0]:,} | {held[-1][1]} | {held[-1][2]} |", flush=True)
    found = growing(held)
    print(f"it grows: {', '.join(found)}" if found else "flat")
    return int(bool(found))


def growing(held: list[Held]) -> list[str]:
    """Return what a daemon held more of at the end than after the second round.

    The first round is its warming up: caches fill, threads of the stager start.
    """
    (memory, threads, descriptors), late = held[1], held[-1]
    found = []
    if late[0] > memory * (1 + MOST_GROWTH):
        found.append("memory")
    if late[1] > threads + 2:
        found.append("threads")
    if late[2] > descriptors + 4:
        found.append("descriptors")
    return found


def _held(pid: int) -> tuple[int, int, int]:
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    resident = int(status["VmRSS"].split()[0])
    return resident, int(status["Threads"]), len(os.listdir(f"/proc/{pid}/fd"))


def _round(daemon: Daemon, folder: str, urls: list[str], requests: int) -> None:
    failures: list[BaseException] = []

    def client(number: int) -> None:
        dice = random.Random(number)
        try:
            with RemoteCache(
                daemon.address, token=daemon.token(), root=f"{folder}/node", shared=False
            ) as cache:
                for _ in range(requests // CLIENTS):
                    _one(cache, dice, urls)
        except BaseException as exc:  # noqa: BLE001 - raised again in the main thread
            failures.append(exc)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _one(cache: RemoteCache, dice: random.Random, urls: list[str]) -> None:
    kind = dice.random()
    key = f"k{dice.randrange(1000)}"
    if kind < 0.4:
        cache.kv.get(key, None)
    elif kind < 0.7:
        cache.kv.put(key, "x" * dice.randrange(200))
    elif kind < 0.82:
        ids = cache.rpc("url.stage", [dice.choice(urls)])
        cache.rpc("url.wait", ids, 10.0, parked=10.0)
    elif kind < 0.84:  # fetched anew
        url = dice.choice(urls)
        cache.rpc("url.forget", url)
        cache.rpc.client.call("GET", f"/urls/{quote(url, safe='')}")
    elif kind < 0.86:
        asked = json.dumps(dice.sample(urls, 20)).encode()
        cache.rpc.client.call("POST", "/bundle", asked, {"Content-Type": "application/json"})
    elif kind < 0.9:
        cache.rpc.client.call("GET", "/")
    elif kind < 0.95:
        try:
            cache.path("0" * 20)
        except errors.NotCachedError:
            pass
    else:
        cache.rpc("precondition.wait", [key], 0.0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
