"""100,000 mixed requests against one daemon: its memory, threads and descriptors must not grow.

    python -m tests.support.soak [requests]

Fails (exit code 1) if they do. Some minutes; `make soak`, not part of the tests.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import threading
from pathlib import Path

from fscache import errors
from fscache.remote.cache import RemoteCache
from tests.support.origin import Origin
from tests.support.servers import Daemon

CLIENTS = 8
ROUNDS = 10
URLS = 200
MOST_GROWTH = 0.10
"""Of the resident memory, from the end of the second tenth of the requests to the last."""


def main(requests: int) -> int:
    """Send the requests in ten rounds and judge what the daemon holds after each."""
    where = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with (
        tempfile.TemporaryDirectory(dir=where) as folder,
        Origin() as origin,
        Daemon(f"{folder}/served") as daemon,
    ):
        urls = [origin.add(f"/f{n}", os.urandom(4096)) for n in range(URLS)]
        assert daemon.process is not None
        pid = daemon.process.pid
        held = []
        print("| requests | resident, KiB | threads | descriptors |\n|---|---|---|---|")
        for number in range(ROUNDS):
            _round(daemon, folder, urls, requests // ROUNDS)
            held.append(_held(pid))
            done = (number + 1) * (requests // ROUNDS)
            print(f"| {done:,} | {held[-1][0]:,} | {held[-1][1]} | {held[-1][2]} |", flush=True)
    early, late = held[1], held[-1]
    grown = (
        late[0] > early[0] * (1 + MOST_GROWTH) or late[1] > early[1] + 2 or late[2] > early[2] + 4
    )
    print("it grows" if grown else "flat")
    return int(grown)


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
    elif kind < 0.85:
        ids = cache.rpc("url.stage", [dice.choice(urls)])
        cache.rpc("url.wait", ids, 10.0, parked=10.0)
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
