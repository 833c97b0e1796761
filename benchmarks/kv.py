"""Key-values beside diskcache, SQLite, sqlitedict, LMDB and the original metastore's mechanism.

Every run writes into a fresh directory of `BENCH_DIR` (and of /dev/shm), removed after each table.

Times are those of a quiet machine only if it is one. So what one process does in the page cache is
timed by the processor time that it takes, user and system, all threads (`BENCH_WALL=1`: by the wall);
what waits for the disk or for other processes, by the wall.

Durability: all contenders survive a killed process and none syncs in a put (SQLite: synchronous=OFF;
diskcache as it comes, WAL with synchronous=NORMAL; LMDB: sync=False), except where a name says
"synced": there every put is on the disk before it returns, or (ours) within 0.1 s, and the run ends
with a flush.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sqlite3
import tempfile
import time
from functools import partial
from typing import Any

from harness import Case, compare, main

PLACES = {"disk": os.environ.get("BENCH_DIR", tempfile.gettempdir()), "tmpfs": "/dev/shm"}
_MADE: list[str] = []
_CLOCK = time.perf_counter if os.environ.get("BENCH_WALL") else time.process_time


def _fresh(place: str) -> str:
    path = tempfile.mkdtemp(prefix="fscache-bench-", dir=place)
    _MADE.append(path)
    return path


# -- contenders: open(directory) → an object with put, get, multiput, keys, close -----------------


class Ours:
    """fscache.kv."""

    def __init__(self, top: str, durability: str = "process", **options: Any) -> None:
        from fscache import Cache
        from fscache.config import load
        from fscache.kv.local import LocalStore

        config = load({}, {"root": f"{top}/root", "durability": durability}, "/nonexistent")
        self.kv = LocalStore(Cache(config=config).root, **options)
        self.put, self.get, self.keys = self.kv.put, self.kv.get, self.kv.keys
        self.multiput, self.multiget = self.kv.multiput, self.kv.multiget
        self.delete, self.incr = self.kv.delete, self.kv.incr

    def close(self) -> None:
        self.kv.flush()


class Diskcache:
    """diskcache.Cache."""

    def __init__(self, top: str) -> None:
        import diskcache

        self.cache = diskcache.Cache(f"{top}/dc", size_limit=2**40)
        self.put, self.get, self.delete = self.cache.set, self.cache.get, self.cache.delete
        self.incr, self.close = self.cache.incr, self.cache.close

    def multiput(self, pairs: dict) -> None:
        for key, value in pairs.items():
            self.put(key, value)

    def multiget(self, keys: list) -> dict:
        return {key: self.get(key) for key in keys}

    def keys(self) -> list:
        return list(self.cache.iterkeys())


class DiskcacheFanout(Diskcache):
    """diskcache.FanoutCache."""

    def __init__(self, top: str) -> None:
        import diskcache

        self.cache = diskcache.FanoutCache(f"{top}/fc", size_limit=2**40)
        self.put, self.get, self.close = self.cache.set, self.cache.get, self.cache.close


class DiskcacheTransaction(Diskcache):
    """diskcache.Cache, many puts in one transaction."""

    def multiput(self, pairs: dict) -> None:
        with self.cache.transact():
            super().multiput(pairs)


class SQLite:
    """A table in WAL mode, a commit for each put."""

    def __init__(self, top: str, synchronous: str = "OFF", journal: str = "WAL") -> None:
        self.db = sqlite3.connect(f"{top}/kv.db", isolation_level=None, timeout=60)
        self.db.execute(f"PRAGMA journal_mode={journal}")
        self.db.execute(f"PRAGMA synchronous={synchronous}")
        self.db.execute("CREATE TABLE IF NOT EXISTS kv (k TEXT PRIMARY KEY, v BLOB) WITHOUT ROWID")
        self.close = self.db.close

    def put(self, key: str, value: bytes) -> None:
        self.db.execute("REPLACE INTO kv VALUES (?, ?)", (key, value))

    def get(self, key: str) -> bytes:
        return self.db.execute("SELECT v FROM kv WHERE k = ?", (key,)).fetchone()[0]

    def delete(self, key: str) -> None:
        self.db.execute("DELETE FROM kv WHERE k = ?", (key,))

    def multiput(self, pairs: dict) -> None:
        for key, value in pairs.items():
            self.put(key, value)

    def multiget(self, keys: list) -> dict:
        return {key: self.get(key) for key in keys}

    def keys(self) -> list:
        return [row[0] for row in self.db.execute("SELECT k FROM kv")]


class Metastore:
    """The original metastore's mechanism: one table of text, REPLACE and commit for each put."""

    def __init__(self, top: str, synchronous: str = "OFF") -> None:
        self.db = sqlite3.connect(f"{top}/meta.sdb", timeout=60)
        self.db.execute(f"PRAGMA synchronous={synchronous}")
        self.db.execute(
            "CREATE TABLE IF NOT EXISTS metastore (k varchar(255), v text, primary key(k))"
        )
        self.close = self.db.close

    def put(self, key: str, value: bytes) -> None:
        cursor = self.db.cursor()
        cursor.execute("REPLACE INTO metastore (k, v) VALUES (?, ?)", (key, value))
        self.db.commit()

    def get(self, key: str) -> bytes:
        cursor = self.db.cursor()
        cursor.execute("SELECT v FROM metastore WHERE k = ?", (key,))
        return cursor.fetchone()[0]

    def delete(self, key: str) -> None:
        self.db.execute("DELETE FROM metastore WHERE k = ?", (key,))
        self.db.commit()

    def multiput(self, pairs: dict) -> None:
        for key, value in pairs.items():
            self.put(key, value)

    def multiget(self, keys: list) -> dict:
        return {key: self.get(key) for key in keys}

    def keys(self) -> list:
        return [row[0] for row in self.db.execute("SELECT k FROM metastore")]


class Sqlitedict:
    """sqlitedict.SqliteDict, autocommit."""

    def __init__(self, top: str) -> None:
        import logging

        import sqlitedict

        logging.getLogger("sqlitedict").setLevel(logging.ERROR)
        self.cache = sqlitedict.SqliteDict(
            f"{top}/sd.db", autocommit=True, journal_mode="OFF", encode=bytes, decode=bytes
        )
        self.put, self.get = self.cache.__setitem__, self.cache.__getitem__
        self.delete, self.close = self.cache.__delitem__, self.cache.close

    multiput, multiget = SQLite.multiput, SQLite.multiget

    def keys(self) -> list:
        return list(self.cache.keys())


class LMDB:
    """lmdb, a transaction for each put."""

    def __init__(self, top: str, **options: Any) -> None:
        import lmdb

        self.env = lmdb.open(f"{top}/lmdb", map_size=2**33, **{"sync": False, **options})
        self.close = self.env.close

    def put(self, key: str, value: bytes) -> None:
        with self.env.begin(write=True) as transaction:
            transaction.put(key.encode(), value)

    def get(self, key: str) -> bytes:
        with self.env.begin() as transaction:
            return transaction.get(key.encode())

    def delete(self, key: str) -> None:
        with self.env.begin(write=True) as transaction:
            transaction.delete(key.encode())

    multiput, multiget = SQLite.multiput, SQLite.multiget

    def keys(self) -> list:
        with self.env.begin() as transaction:
            return [key.decode() for key in transaction.cursor().iternext(values=False)]


PEERS = {
    "fscache": Ours,
    "diskcache": Diskcache,
    "sqlite3 WAL": SQLite,
    "original metastore, not synced": Metastore,
    "sqlitedict": Sqlitedict,
    "lmdb": LMDB,
}


# -- what is measured -----------------------------------------------------------------------------


def _timed(call: Any) -> float:
    start = _CLOCK()
    call()
    return _CLOCK() - start


def _puts(make: Any, place: str, value: bytes, count: int, *, again: bool = False) -> float:
    store = make(_fresh(place))

    def work() -> None:
        put = store.put
        for number in range(count):
            put(f"run_42/worker/{number}", value)

    if again:
        work()
    seconds = _timed(work)
    store.close()
    return seconds


def _filled(make: Any, place: str, value: bytes, count: int) -> tuple[str, Any]:
    top = _fresh(place)
    store = make(top)
    for start in range(0, count, 1000):
        numbers = range(start, min(start + 1000, count))
        store.multiput({f"run_42/worker/{number}": value for number in numbers})
    return top, store


def _gets(make: Any, place: str, value: bytes, count: int, how: str) -> float:
    top, store = _filled(make, place, value, count)
    if how != "seen":
        store.close()
        store = make(top)
    keys = [f"run_42/worker/{number}" for number in range(count)]

    def work() -> None:
        get = store.get
        for key in keys:
            get(key)

    def batches() -> None:
        for start in range(0, count, 100):
            store.multiget(keys[start : start + 100])

    seconds = _timed(batches if how == "batches" else work)
    store.close()
    return seconds


def _multiputs(make: Any, place: str, count: int) -> float:
    store = make(_fresh(place))
    batches = [
        {f"run_42/worker/{number}": b"v" * 100 for number in range(start, start + 100)}
        for start in range(0, count, 100)
    ]
    seconds = _timed(lambda: [store.multiput(batch) for batch in batches])
    store.close()
    return seconds


def _deletes(make: Any, place: str, count: int) -> float:
    _, store = _filled(make, place, b"v" * 100, count)
    seconds = _timed(lambda: [store.delete(f"run_42/worker/{n}") for n in range(count)])
    store.close()
    return seconds


def _table(
    title: str,
    runs: dict[str, Any],
    count: int,
    rounds: int,
    unit: str,
    *,
    base: str = "diskcache",
) -> dict:
    """Compare `runs`, name → callable that returns seconds."""
    cases = [Case(name, run) for name, run in runs.items()]
    try:
        return compare(title, cases, base, rounds=rounds, work=count, unit=unit)
    finally:
        while _MADE:
            shutil.rmtree(_MADE.pop(), ignore_errors=True)


def small(rounds: int) -> dict:
    """Values of 100 B and 4 KiB."""
    figures = {}
    count = 5000
    for label, place in PLACES.items():
        for size, name in ((100, "100 B"), (4096, "4 KiB")):
            value = os.urandom(size)

            def table(
                title: str, run: Any, of: dict = PEERS, *, key: str = f"{name}, {label}"
            ) -> None:
                runs = {peer: partial(run, make) for peer, make in of.items()}
                figures[f"{title}, {key}"] = _table(f"{title}, {key}", runs, count, rounds, "ops")

            table("put, new keys", partial(_put_case, place, value, count, False))
            table("put, keys that are there", partial(_put_case, place, value, count, True))
            table(
                "get, seen before by this process", partial(_get_case, place, value, count, "seen")
            )
            table("get, first time in a process", partial(_get_case, place, value, count, "first"))
            table("multiget of 100, first time", partial(_get_case, place, value, count, "batches"))
        of = {**PEERS, "diskcache, one transaction": DiskcacheTransaction}
        runs = {peer: partial(_multiputs, make, place, count) for peer, make in of.items()}
        title = f"multiput of 100, 100 B, {label}"
        figures[title] = _table(title, runs, count, rounds, "ops")
        runs = {peer: partial(_deletes, make, place, count) for peer, make in PEERS.items()}
        title = f"delete, {label}"
        figures[title] = _table(title, runs, count, rounds, "ops")
    return figures


def _put_case(place: str, value: bytes, count: int, again: bool, make: Any) -> float:
    return _puts(make, place, value, count, again=again)


def _get_case(place: str, value: bytes, count: int, how: str, make: Any) -> float:
    return _gets(make, place, value, count, how)


def large(rounds: int) -> dict:
    """Values of 1 MiB, each different."""
    import numpy as np

    figures = {}
    count = 64
    values = [os.urandom(1 << 20) for _ in range(count)]
    arrays = [np.frombuffer(value) for value in values]

    def put(make: Any, place: str, what: list) -> float:
        store = make(_fresh(place))
        seconds = _timed(lambda: [store.put(f"k{n}", value) for n, value in enumerate(what)])
        store.close()
        return seconds

    def get(make: Any, place: str, what: list, times: int, **options: Any) -> float:
        top = _fresh(place)
        store = make(top)
        for number, value in enumerate(what):
            store.put(f"k{number}", value)
        store.close()
        store = make(top, **options)
        for _ in range(times):
            seconds = _timed(lambda: [store.get(f"k{number}") for number in range(count)])
        store.close()
        return seconds

    peers = {"fscache": Ours, "diskcache": Diskcache, "sqlite3 WAL": SQLite, "lmdb": LMDB}
    for label, place in PLACES.items():
        table = partial(_table, count=count, rounds=rounds, unit="MiB")
        figures[f"put {label}"] = table(
            f"put 1 MiB, {label}",
            {name: partial(put, make, place, values) for name, make in peers.items()},
        )
        figures[f"get {label}"] = table(
            f"get 1 MiB of bytes, first time in a process, {label}",
            {name: partial(get, make, place, values, 1) for name, make in peers.items()},
        )
        figures[f"get again {label}"] = table(
            f"get 1 MiB of bytes again (ours with 256 MiB of memory), {label}",
            {
                # What is read once is not kept, so as to cost no memory; the third time it is there.
                "fscache": partial(get, Ours, place, values, 3, memory=2**28),
                "diskcache": partial(get, Diskcache, place, values, 3),
            },
        )
        both = {"fscache": Ours, "diskcache": Diskcache}
        figures[f"array {label}"] = table(
            f"get an array of 1 MiB, first time in a process, {label}",
            {name: partial(get, make, place, arrays, 1) for name, make in both.items()},
        )
    return figures


def _hammer(make: Any, top: str, keys: list, results: Any) -> None:
    errors = 0
    store = make(top)
    start = time.perf_counter()
    for number, key in enumerate(keys):
        try:
            store.put(key, b"%100d" % number)
            store.get(key)
        except Exception:
            errors += 1
    results.put((time.perf_counter() - start, errors))
    store.close()


def processes(rounds: int) -> dict:
    """Four processes at once, on one key and on different ones."""
    figures = {}
    count = 1000
    context = multiprocessing.get_context("fork")
    peers = {
        "fscache": Ours,
        "diskcache": Diskcache,
        "diskcache fanout": DiskcacheFanout,
        "sqlite3 WAL": SQLite,
        "original metastore, not synced": Metastore,
        "lmdb": LMDB,
    }
    for label, place in PLACES.items():
        for shared in (True, False):
            failures: dict[str, int] = dict.fromkeys(peers, 0)

            def run(
                name: str, place: str = place, shared: bool = shared, f: Any = failures
            ) -> float:
                top = _fresh(place)
                peers[name](top).close()
                results = context.Queue()
                keys = [
                    ["shared" if shared else f"{which}/{number}" for number in range(count)]
                    for which in range(4)
                ]
                workers = [
                    context.Process(target=_hammer, args=(peers[name], top, mine, results))
                    for mine in keys
                ]
                for worker in workers:
                    worker.start()
                found = [results.get() for _ in workers]
                for worker in workers:
                    worker.join()
                f[name] += sum(errors for _, errors in found)
                return max(seconds for seconds, _ in found)

            title = (
                f"4 processes, put and get, {'one shared key' if shared else 'own keys'}, {label}"
            )
            runs = {name: partial(run, name) for name in peers}
            figures[title] = _table(title, runs, 4 * count, rounds, "pairs")
            figures[title]["errors"] = failures
            print(f"\nerrors: {failures}")
    return figures


def listing(rounds: int) -> dict:
    """The names of 100,000 keys."""
    figures = {}
    count = 100_000
    for label, place in PLACES.items():
        tops = {}
        for name, make in PEERS.items():
            tops[name], store = _filled(make, place, b"v" * 100, count)
            store.close()
        kept = _MADE[:]
        _MADE.clear()  # for both tables
        held = {name: PEERS[name](top) for name, top in tops.items()}
        held["fscache"].keys()

        def first(name: str, tops: dict = tops) -> float:
            store = PEERS[name](tops[name])
            seconds = _timed(lambda: _check(store.keys()))
            store.close()
            return seconds

        def _check(keys: list) -> None:
            if len(keys) != count:
                raise RuntimeError(f"{len(keys)} keys")

        title = f"list 100,000 keys, first time in a process, {label}"
        runs = {name: partial(first, name) for name in PEERS}
        figures[title] = _table(title, runs, count, rounds, "keys")
        title = f"list 100,000 keys again, {label}"
        runs = {name: lambda store=store: _timed(store.keys) for name, store in held.items()}
        figures[title] = _table(title, runs, count, rounds, "keys")
        for store in held.values():
            store.close()
        for top in kept:
            shutil.rmtree(top, ignore_errors=True)
    return figures


def _synced_puts(make: Any, fill: Any, count: int, *, again: bool) -> float:
    """Time puts into a store that has 2,000 keys, and ours its directories: `fill` makes it, quickly."""
    top = _fresh(PLACES["disk"])
    value = b"v" * 100
    store = fill(top)
    store.multiput({f"run_41/{number}": value for number in range(2000)})
    store.close()
    store = make(top)
    keys = [f"run_42/worker/{number}" for number in range(count)]
    store.put("run_42", value)  # what `fill` has not synced goes with it
    for key in keys if again else ():
        store.put(key, value)
    start = time.perf_counter()
    for key in keys:
        store.put(key, value)
    store.close()
    return time.perf_counter() - start


def synced(rounds: int) -> dict:
    """Puts of 100 B that survive a loss of power."""
    power = partial(Ours, durability="power")
    peers = {
        "fscache, durability=power": (power, power),
        # What the original metastore promises by syncs, this one does to a killed process without.
        "fscache, durability=process, not synced": (Ours, power),
        "diskcache, not synced": (Diskcache, DiskcacheTransaction),
        "sqlite3 WAL, synced": (partial(SQLite, synchronous="FULL"), SQLite),
        "original metastore, synced": (partial(Metastore, synchronous="FULL"), Metastore),
        "lmdb, synced": (partial(LMDB, sync=True), LMDB),
    }
    count = 300
    figures = {}
    for again, what in ((False, "new keys"), (True, "keys that are there")):
        runs = {
            name: partial(_synced_puts, make, fill, count, again=again)
            for name, (make, fill) in peers.items()
        }
        title = f"put 100 B, {what}, synced but where it is said, disk"
        base = "original metastore, synced"
        figures[title] = _table(title, runs, count, rounds, "ops", base=base)
    return figures


if __name__ == "__main__":
    try:
        main(
            {
                "small": small,
                "large": large,
                "processes": processes,
                "listing": listing,
                "synced": synced,
            }
        )
    finally:
        while _MADE:
            shutil.rmtree(_MADE.pop(), ignore_errors=True)
