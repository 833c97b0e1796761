"""Task records under `kill -9` and failing calls: what a call that returned has written is there."""

from __future__ import annotations

import os
import shutil
import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from fscache.errors import FscacheError
from fscache.objects.digest import digest_of
from fscache.records.root import Root
from fscache.tasks import backends
from tests.crash.conftest import faults
from tests.support.catalogs import keeper_of
from tests.support.kv import Ledger, described, judge, kill_at_random
from tests.support.strace import traced
from tests.support.tasks import hasten_upkeep

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fscache.tasks.database import TaskDatabase

    State = dict[str, dict[str, Any]]
    Step = tuple[str, str, dict[str, Any]]

START = datetime(2025, 6, 1, tzinfo=UTC)
LARGE, OTHER = b"large" * 2000, b"other" * 2000
KEYS = ("completed", "stdout", "buffers", "result_buffers", "content")

# What is done, step by step; between them every kind of upkeep is due.
STEPS: list[Step] = [
    ("add", "a", {"submitted": START, "buffers": [b"small", LARGE]}),
    ("add", "b", {"submitted": START, "buffers": [LARGE]}),
    ("add", "c", {"submitted": START, "buffers": [OTHER], "content": {"text": "x" * 70_000}}),
    ("update", "a", {"stdout": "line\n" * 20}),
    ("update", "a", {"stdout": "line\n" * 40}),
    ("update", "b", {"completed": START, "result_buffers": [OTHER]}),
    ("update", "c", {"buffers": [b"replaced"]}),
    ("drop", "b", {}),
    ("add", "b", {"stdout": "again"}),
    ("update", "a", {"completed": START, "result_buffers": [b"result"]}),
    ("purge", "", {}),
    ("add", "d", {"submitted": START, "buffers": [LARGE]}),
    ("compact", "", {}),
    ("update", "d", {"stdout": "end"}),
]


def step(tasks: TaskDatabase, what: str, msg_id: str, record: dict[str, Any]) -> None:
    if what == "add":
        tasks.add_record(msg_id, record)
    elif what == "update":
        tasks.update_record(msg_id, record)
    elif what == "drop":
        tasks.drop_record(msg_id)
    elif what == "purge":
        tasks.purge()
    else:
        tasks.compact()


def states() -> list[State]:
    """Return what there is before the first step, and after each."""
    found: list[State] = [{}]
    for what, msg_id, record in STEPS:
        now = dict(found[-1])
        if what == "add":
            now[msg_id] = {**dict.fromkeys(KEYS), **record}
        elif what == "update":
            now[msg_id] = {**now[msg_id], **record}
        elif what == "drop":
            del now[msg_id]
        elif what == "purge":
            now = {key: each for key, each in now.items() if each["completed"] is None}
        found.append(now)
    return [
        {name: {key: each[key] for key in KEYS} for name, each in state.items()} for state in found
    ]


STATES = states()


def state_of(tasks: TaskDatabase) -> State:
    found: State = {}
    for record in tasks.find_records({}):
        for key in ("buffers", "result_buffers"):
            if record[key] is not None:
                record[key] = list(record[key])  # type: ignore[call-overload]
        found[str(record["msg_id"])] = {key: record[key] for key in KEYS}
    return found


def open_tasks(path: str) -> TaskDatabase:
    return backends.in_files(Root(path, now=time.time, durable=True))


def do(path: str, acked: str, first: int = 0) -> None:
    tasks = open_tasks(path)
    for number in range(first, len(STEPS)):
        step(tasks, *STEPS[number])
        with open(acked, "a", encoding="ascii") as file:
            file.write(".")


def left_wrong(path: str, acked: int) -> list[str]:
    """Judge what a crash has left, go on from there, and judge the end."""
    wrong = faults(path)
    tasks = open_tasks(path)
    state = state_of(tasks)
    if state not in STATES[acked : acked + 2]:
        wrong.append(f"{acked} steps had returned, and there is {summary(state)}")
        return wrong
    wrong += unprotected(path, state)
    # Where two states are equal, the step between them may be done twice: those may.
    begin = acked if state == STATES[acked] else acked + 1
    for number in range(begin, len(STEPS)):
        step(tasks, *STEPS[number])
    for again in (tasks, open_tasks(path)):
        if state_of(again) != STATES[-1]:
            wrong.append(f"in the end there is {summary(state_of(again))}")
    return wrong + unprotected(path, STATES[-1])


def unprotected(path: str, state: State) -> list[str]:
    """Return the objects that records name and the catalog does not know of."""
    if not state:
        return []
    catalog = keeper_of(Root(path, now=time.time)).open()
    try:
        rows = catalog.db.execute("SELECT address FROM entries WHERE kind = 'task'")
        named = {address for (address,) in rows}
    finally:
        catalog.close()
    needed = {
        digest_of(data)[:20]
        for record in state.values()
        for data in [*(record["buffers"] or ()), *(record["result_buffers"] or ())]
        if len(data) > 4096
    }
    return [f"a purge would take {address}" for address in needed - named]


def summary(state: State) -> dict[str, list[str]]:
    return {name: [key for key in KEYS if each[key] is not None] for name, each in state.items()}


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    hasten_upkeep(monkeypatch)


@pytest.mark.usefixtures("injection", "_hasty")
@pytest.mark.parametrize("part", range(4))
def test_killed_at_any_call_nothing_that_returned_is_lost(quick_tmp: str, part: int) -> None:
    wrong: dict[str, list[str]] = {}
    killed = 0
    for call in calls(quick_tmp)[part::4]:
        path, acked = fresh(quick_tmp)
        run = traced(partial(do, path, acked), f"{call.name}:signal=SIGKILL:when={call.number}")
        killed += run.killed
        found = left_wrong(path, os.stat(acked).st_size)
        if found:
            wrong[f"{call.name} {call.number}: {call.text[-120:]}"] = found
    assert not wrong, report(wrong)
    assert killed >= 5


@pytest.mark.usefixtures("injection", "_hasty")
@pytest.mark.parametrize("part", range(4))
def test_failing_at_any_call_is_a_typed_error_or_none(quick_tmp: str, part: int) -> None:
    wrong: dict[str, list[str]] = {}
    for call in calls(quick_tmp)[part::4]:
        path, acked = fresh(quick_tmp)
        error = "EIO" if call.name.startswith(("close", "fsync", "fdatasync")) else "ENOSPC"
        run = traced(partial(do, path, acked), f"{call.name}:error={error}:when={call.number}")
        found = left_wrong(path, os.stat(acked).st_size)
        # Threads of ours make the count of calls differ: it was the test's own file that time.
        ours = isinstance(run.error, OSError) and run.error.filename == acked
        if run.error is not None and not ours and not isinstance(run.error, FscacheError):
            found.append(f"raised {run.error!r} {getattr(run.error, '__notes__', '')}")
        if found:
            wrong[f"{call.name} {call.number}: {call.text[-120:]}"] = found
    assert not wrong, report(wrong)


def calls(top: str) -> list[Any]:
    """What the steps do to the disk, when nothing goes wrong."""
    path, acked = fresh(top)
    run = traced(partial(do, path, acked))
    if run.error is not None:
        raise run.error
    assert state_of(open_tasks(path)) == STATES[-1]
    kinds = ("write", "open", "rename", "link", "unlink", "ftruncate", "fchmod", "mkdir", "fsync")
    return [call for call in run.calls if path in call.text and call.name.startswith(kinds)]


def fresh(top: str) -> tuple[str, str]:
    shutil.rmtree(f"{top}/run", ignore_errors=True)
    os.mkdir(f"{top}/run")
    Root(f"{top}/run/cache", now=time.time).ensure()
    acked = f"{top}/run/acked"
    open(acked, "w", encoding="ascii").close()
    return f"{top}/run/cache", acked


def report(wrong: dict[str, list[str]]) -> str:
    return "\n".join(f"{call}\n    {fault}" for call, found in wrong.items() for fault in found)


# -- many processes, killed at random -------------------------------------------------------------------

WRITERS = 4
SIZES = [0, 1000, 10_000]  # inline, and as an object


def writer(path: str, ledgers: str, number: int) -> Callable[[], None]:
    def work() -> None:
        ledger = Ledger(ledgers, number)
        count = len(ledger.lines())
        tasks = backends.in_files(Root(path, now=time.time))
        while True:
            msg_id = f"{number}-{count}"
            ledger.note("intent", msg_id)
            data = described(msg_id, number, count, SIZES[count % 3])
            tasks.add_record(msg_id, {"submitted": START, "buffers": [data]})
            ledger.note("added", msg_id)
            tasks.update_record(msg_id, {"completed": START, "result_buffers": [data]})
            ledger.note("completed", msg_id)
            if count % 4 == 0:
                ledger.note("dropping", msg_id)
                tasks.drop_record(msg_id)
                ledger.note("dropped", msg_id)
            count += 1

    return work


def compacter(path: str) -> Callable[[], None]:
    def work() -> None:
        while True:
            tasks = backends.in_files(Root(path, now=time.time))
            tasks.compact()
            tasks.close()

    return work


@pytest.mark.usefixtures("_hasty")
def test_many_writers_killed_at_random_lose_nothing(root_path: str, tmp_path: Path) -> None:
    ledgers = str(tmp_path / "ledgers")
    os.mkdir(ledgers)
    workers = [writer(root_path, ledgers, number) for number in range(WRITERS)]
    kill_at_random([*workers, compacter(root_path)], kills=40, seed=1)

    tasks = backends.in_files(Root(root_path, now=time.time))
    found = {str(record["msg_id"]): record for record in tasks.find_records({})}
    seen = 0
    for number in range(WRITERS):
        ledger = Ledger(ledgers, number)
        said: dict[str, list[str]] = {}
        for what, msg_id in ledger.lines():
            said.setdefault(msg_id, []).append(what)
        ledger.close()
        for msg_id, words in said.items():
            record: Any = found.pop(msg_id, None)
            assert (record is None) is ("dropped" in words) or words[-1] in ("intent", "dropping")
            if record is None:
                continue
            seen += 1
            assert judge(msg_id, record["buffers"][0])[0] == number
            if "completed" in words:
                assert record["completed"] == START
                assert list(record["result_buffers"]) == list(record["buffers"])
    assert found == {}, "records that nobody added"
    assert seen > WRITERS
