"""The task database beside ipyparallel's DictDB and SQLiteDB: the same records, the same calls.

Records are what a controller writes for a load-balanced task with a 1 KiB buffer: asked for (a miss),
added, given to an engine, completed, a thousand tasks at a time; one in a hundred stays pending.
`BENCH_TASKS` sets how many (100,000). Every run writes into a fresh directory of `BENCH_DIR`, removed
at the end.

Times are processor times, user and system (`BENCH_WALL=1`: of the wall): no contender waits for the
disk. SQLiteDB commits every two seconds, as its controller has it do; ours is in the file after every
call. DictDB's limits are lifted.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import shutil
import tempfile
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from harness import Case, compare, main

COUNT = int(os.environ.get("BENCH_TASKS", "100000"))
PLACE = os.environ.get("BENCH_DIR", tempfile.gettempdir())
_CLOCK = time.perf_counter if os.environ.get("BENCH_WALL") else time.process_time
_MADE: list[str] = []
START = datetime(2025, 6, 1, 12, tzinfo=UTC)
DATA = os.urandom(2**20)
IN_FLIGHT = 1000


def _fresh() -> str:
    path = tempfile.mkdtemp(prefix="fscache-bench-", dir=PLACE)
    _MADE.append(path)
    return path


def _clear() -> None:
    while _MADE:
        shutil.rmtree(_MADE.pop(), ignore_errors=True)


# -- contenders: a class with `make(directory)` → a backend of ipyparallel's interface ---------------


class Ours:
    """fscache.tasks in files."""

    def __init__(self, top: str) -> None:
        from fscache import Cache
        from fscache.config import load

        self.db = Cache(config=load({}, {"root": f"{top}/root"}, "/nonexistent")).tasks

    def tick(self) -> None:
        pass

    def end(self) -> None:
        pass  # every call is in the file when it returns


class Dict:
    """ipyparallel's DictDB."""

    def __init__(self, top: str) -> None:
        from ipyparallel.controller.dictdb import DictDB

        self.db = DictDB(record_limit=10**9, size_limit=2**50)

    def tick(self) -> None:
        pass

    def end(self) -> None:
        pass


class SQLite:
    """ipyparallel's SQLiteDB, with its table check repaired: as shipped it opens an empty table."""

    def __init__(self, top: str) -> None:
        from ipyparallel.controller.sqlitedb import SQLiteDB

        class Repaired(SQLiteDB):
            def _check_table(self) -> bool:
                found = self._db.execute(f"PRAGMA table_info('{self.table}')").fetchall()
                return not found or [row[1] for row in found] == list(self._keys)

        self.db = Repaired(location=top)
        self._next = time.monotonic() + 2.0

    def tick(self) -> None:
        if time.monotonic() > self._next:
            self.end()

    def end(self) -> None:
        self.db._db.commit()  # noqa: SLF001 - as its timer does, which needs a running loop
        self._next = time.monotonic() + 2.0


PEERS = {"fscache": Ours, "SQLiteDB": SQLite, "DictDB": Dict}


# -- the work ------------------------------------------------------------------------------------------


def _session(number: int) -> str:
    return f"{number * 2654435761 % 2**32:08x}-5f0a8d1c2b3e4f607182930a"


def _id(number: int) -> str:
    return f"{_session(number % 5)}_12345_{number}"


def _engine(number: int) -> str:
    return _session(number % 20 + 100)


def _header(number: int, kind: str) -> dict[str, Any]:
    return {
        "msg_id": _id(number), "msg_type": kind, "username": "ann", "version": "5.3",
        "session": _session(number % 5), "date": START,
    }  # fmt: skip


def _request(number: int) -> dict[str, Any]:
    record = dict.fromkeys(
        ("engine_uuid", "started", "completed", "resubmitted", "received", "result_header",
         "result_metadata", "result_content", "result_buffers", "execute_input", "execute_result",
         "error", "label")
    )  # fmt: skip
    offset = number * 1024 % (2**20 - 1024)
    return record | {
        "msg_id": _id(number),
        "header": _header(number, "apply_request"),
        "metadata": {
            "retries": 0,
            "targets": [],
            "after": [],
            "follow": [],
            "timeout": None,
            "is_broadcast": False,
            "is_coalescing": False,
            "original_msg_id": "",
        },
        "content": {},
        "buffers": [memoryview(b"%010d" % number + DATA[offset : offset + 1014])],
        "submitted": START + timedelta(seconds=number),
        "client_uuid": _session(number % 5),
        "queue": "task",
        "stdout": "",
        "stderr": "",
    }


def _reply(number: int) -> dict[str, Any]:
    then = START + timedelta(seconds=number)
    return {
        "result_header": _header(number, "apply_reply")
        | {"status": "ok", "engine": _engine(number)},
        "result_metadata": {
            "engine": _engine(number),
            "status": "ok",
            "started": str(then),
        },
        "result_content": {"status": "ok"},
        "result_buffers": [memoryview(b"r" * 64)],
        "engine_uuid": _engine(number),
        "received": then,
        "started": then,
        "completed": then + timedelta(seconds=1),
    }


def _live(contender: Any, numbers: range, worst: list[float] | None = None) -> float:
    """Give tasks their lives, a thousand in flight; return the seconds that the database took."""
    seconds = 0.0
    for first in range(numbers.start, numbers.stop, IN_FLIGHT):
        flight = [
            (
                number,
                _id(number),
                _request(number),
                {"engine_uuid": _engine(number)},
                _reply(number),
            )
            for number in range(first, min(first + IN_FLIGHT, numbers.stop))
        ]
        start = _CLOCK()
        _fly(contender, flight, worst)
        seconds += _CLOCK() - start
    start = _CLOCK()
    contender.end()
    return seconds + _CLOCK() - start


def _fly(contender: Any, flight: list, worst: list[float] | None) -> None:
    """Call the database; each call is timed only where the worst is asked for: that takes 1 µs."""
    db = contender.db
    clock = time.thread_time
    last = clock()
    for phase in range(3):
        for number, msg_id, request, given, reply in flight:
            if phase == 0:
                try:
                    db.get_record(msg_id)
                except KeyError:
                    pass
                db.add_record(msg_id, request)
            elif phase == 1:
                db.update_record(msg_id, given)
            elif number % 100:
                db.update_record(msg_id, reply)
            contender.tick()
            if worst is not None:
                now = clock()
                worst[0] = max(worst[0], now - last)
                last = now


def _filled(make: Any) -> Any:
    contender = make(_fresh())
    _live(contender, range(COUNT))
    return contender


def _timed(call: Any) -> float:
    start = _CLOCK()
    call()
    return _CLOCK() - start


def _settle() -> None:
    """Keep what is there from being looked through on others' time: DictDB holds millions of objects."""
    gc.collect()
    gc.freeze()


def _compare(title: str, runs: dict[str, Any], base: str, rounds: int, **options: Any) -> dict:
    """Compare `runs`: name → callable that returns seconds, or that and what comes before it."""
    cases = [
        Case(name, *run) if isinstance(run, tuple) else Case(name, run)
        for name, run in runs.items()
    ]
    _settle()
    try:
        return compare(title, cases, base, rounds=rounds, **options)
    finally:
        gc.unfreeze()


# -- what is measured ------------------------------------------------------------------------------------


def life(rounds: int) -> dict:
    """The four calls of a task's life, into databases that grow."""
    figures = {}
    tenth = max(COUNT // 10, 1)
    contenders = {name: make(_fresh()) for name, make in PEERS.items()}
    grown = dict.fromkeys(PEERS, 0)

    def run(name: str) -> float:
        first = grown[name]
        grown[name] += tenth
        return _live(contenders[name], range(first, first + tenth))

    runs = {name: (partial(run, name), _settle) for name in PEERS}
    figures["life"] = _compare(
        f"life cycle: get, add, two updates; {tenth} a round",
        *(runs, "SQLiteDB", rounds), work=tenth, unit="tasks",
    )  # fmt: skip
    _clear()
    return figures


def reads(rounds: int) -> dict:
    """Queries and single records, in databases of `BENCH_TASKS` records."""
    contenders = {name: _filled(make) for name, make in PEERS.items()}
    choose = random.Random(1)
    some = [_id(choose.randrange(COUNT)) for _ in range(200)]
    since = START + timedelta(seconds=COUNT - COUNT // 100)
    engines = {"engine_uuid": {"$in": [_engine(3), _engine(4)]}}
    late = {"submitted": {"$gte": since}}
    calls = {
        "get_record, 200 at random": lambda db: [db.get_record(each) for each in some],
        "pending (1 %), two keys": lambda db: db.find_records(
            {"completed": None}, ["msg_id", "started"]
        ),
        "submitted $gte (1 %), two keys": lambda db: db.find_records(late, ["msg_id", "submitted"]),
        "submitted $gte (1 %), full records": lambda db: db.find_records(late),
        "engine_uuid $in (10 %), msg_id only": lambda db: db.find_records(engines, ["msg_id"]),
        "engine_uuid $in (10 %), result_header": lambda db: db.find_records(
            engines, ["msg_id", "result_header"]
        ),
        "engine_uuid $in (10 %), full records": lambda db: db.find_records(engines),
        "one id, as get_result polls": lambda db: db.find_records({"msg_id": {"$in": [some[0]]}}),
        "get_history": lambda db: db.get_history(),
        "result_header.status, no index": lambda db: db.find_records(
            {"result_header.status": "error"}, ["msg_id"]
        ),
    }
    figures = {}
    for title, call in calls.items():
        runs = {}
        for name, contender in contenders.items():
            if "no index" in title and name != "fscache":
                continue  # SQLiteDB has no dotted keys; DictDB finds nothing by them
            times = 20 if "one id" in title else 1
            runs[name] = lambda db=contender.db, times=times, call=call: (
                _timed(lambda: [call(db) for _ in range(times)]) / times
            )
        figures[title] = _compare(
            f"{title}; {COUNT} records", runs, next(iter([*runs][1:2] or runs)), rounds
        )
    contenders.clear()
    _clear()
    return figures


def append(rounds: int) -> dict:
    """A line of output added to a task that has a request buffer of 16 MiB."""
    contenders = {name: make(_fresh()) for name, make in PEERS.items()}
    for contender in contenders.values():
        contender.db.add_record(_id(0), _request(0) | {"buffers": [memoryview(DATA * 16)]})

    def run(db: Any) -> float:
        db.update_record(_id(0), {"stdout": ""})

        def lines() -> None:
            for number in range(20):
                text = db.get_record(_id(0))["stdout"] or ""
                db.update_record(_id(0), {"stdout": f"{text}line {number}\n"})

        return _timed(lines) / 20

    runs = {name: partial(run, each.db) for name, each in contenders.items()}
    figures = _compare("stdout append beside 16 MiB (get and update)", runs, "SQLiteDB", rounds)
    _clear()
    return figures


def _in_child(queue: Any, work: Any, *arguments: Any) -> None:
    queue.put(work(*arguments))


def _child(work: Any, *arguments: Any) -> Any:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_in_child, args=(queue, work, *arguments))
    process.start()
    found = queue.get()
    process.join()
    return found


def _rss() -> float:
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024


def _footprint(name: str, top: str) -> tuple[float, float]:
    contender = PEERS[name](top)
    _live(contender, range(1))
    before = _rss()
    worst = [0.0]
    _live(contender, range(1, COUNT), worst)
    return _rss() - before, worst[0]


def _reopen(name: str, top: str) -> tuple[float, int]:
    seconds = time.perf_counter()
    clock = _CLOCK()
    contender = PEERS[name](top)
    found = len(contender.db.find_records({"completed": None}, ["msg_id"]))
    seen = len(contender.db.get_history())
    assert time.perf_counter() >= seconds
    assert found <= seen
    return _CLOCK() - clock, seen


def footprint(_rounds: int) -> dict:
    """Memory over that of one record, disk, the worst single call, and opening again."""
    figures = {}
    print(f"\n## {COUNT} records\n\n| case | RSS | disk | worst call | reopened in | seen |")
    print("|---|---|---|---|---|---|")
    for name in PEERS:
        top = _fresh()
        rss, worst = _child(_footprint, name, top)
        disk = sum(
            os.stat(os.path.join(directory, each)).st_blocks * 512
            for directory, _, names in os.walk(top)
            for each in names
        )
        again, seen = _child(_reopen, name, top) if name != "DictDB" else (0.0, 0)
        figures[name] = {"rss": rss, "disk": disk, "worst": worst, "reopen": again, "seen": seen}
        print(
            f"| {name} | {rss:.0f} MiB | {disk / 1e6:.0f} MB | {worst * 1e3:.1f} ms |"
            f" {again * 1e3:.0f} ms | {seen} |"
        )
        _clear()
    return figures


def purge(_rounds: int) -> dict:
    """The longest single call while completed tasks are dropped, by engine and then all."""
    figures = {}
    print(f"\n## dropping, of {COUNT} records\n\n| case | by engine (5 %) | all completed |")
    print("|---|---|---|")
    for name, make in PEERS.items():
        contender = _filled(make)
        db = contender.db
        done = {"completed": {"$ne": None}}
        one = _timed(lambda db=db: db.drop_matching_records({"engine_uuid": _engine(3)}))
        rest = _timed(lambda db=db, done=done: db.drop_matching_records(done))
        figures[name] = {"engine": one, "all": rest}
        print(f"| {name} | {one * 1e3:.1f} ms | {rest * 1e3:.1f} ms |")
        _clear()
    return figures


if __name__ == "__main__":
    main({"life": life, "reads": reads, "append": append, "footprint": footprint, "purge": purge})
