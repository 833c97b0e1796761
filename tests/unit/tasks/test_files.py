"""Promises of the record log: what is on the disk is read again, whatever happened to it."""

from __future__ import annotations

import gc
import logging
import os
import resource
import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fscache.errors import (
    CorruptObjectError,
    FormatError,
    NoSuchTaskError,
    RootPermissionError,
    StoreError,
)
from fscache.fs.walk import files
from fscache.tasks import backends, frames, log, snapshot, upkeep
from fscache.tasks.cull import Limits
from fscache.tasks.segment import HEADER
from fscache.tasks.writing import MOVED
from tests.support.catalogs import objects_on_disk
from tests.support.kv import reap, start
from tests.support.processes import ALICE, in_child
from tests.support.tasks import hasten_upkeep
from tests.unit.tasks.conftest import START

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.records.root import Root
    from fscache.tasks.database import TaskDatabase
    from tests.conftest import Clock

    Open = Callable[..., TaskDatabase]

LARGE = b"large" * 20_000


def fill(tasks: TaskDatabase, numbers: range, **more: Any) -> None:
    for number in numbers:
        record = {"submitted": START + timedelta(seconds=number), "buffers": [b"x" * 1000], **more}
        tasks.add_record(f"id-{number}", record)


def complete(tasks: TaskDatabase, numbers: range) -> None:
    for number in numbers:
        tasks.update_record(f"id-{number}", {"completed": START, "result_buffers": [b"r" * 100]})


def segments(root: Root) -> list[str]:
    directory = f"{root.path}/tasks"
    return sorted(f"{directory}/{name}" for name in os.listdir(directory) if name.endswith(".log"))


def disk(root: Root) -> int:
    return sum(os.stat(path).st_size for path in segments(root))


# -- opening again ----------------------------------------------------------------------------------


def test_nothing_needs_to_be_closed(root: Root, open_tasks: Open) -> None:
    first = open_tasks()
    fill(first, range(10))
    complete(first, range(5))
    first.drop_record("id-7")
    second = open_tasks()
    assert second.get_history() == [f"id-{number}" for number in range(10) if number != 7]
    assert second.find_records({}) == first.find_records({})
    assert second.count({"completed": None}) == 4
    second.update_record("id-8", {"stdout": "of the second"})
    first.update_record("id-8", {"stderr": "of the first"})
    for each in (first, second, open_tasks()):
        record = each.get_record("id-8")
        assert (record["stdout"], record["stderr"]) == ("of the second", "of the first")


def test_an_empty_root_is_not_written_to_by_reading(root_path: str, clock: Clock) -> None:
    from fscache.records.root import Root

    tasks = backends.in_files(Root(root_path, now=clock))
    assert tasks.get_history() == []
    assert tasks.find_records({}) == []
    with pytest.raises(NoSuchTaskError):
        tasks.get_record("a")
    tasks.close()
    assert not os.path.exists(root_path)


def test_who_may_only_read_reads(users: None, open_tmp: str) -> None:
    from fscache.records.root import Root

    root = Root(f"{open_tmp}/root", now=time.time)
    tasks = backends.in_files(root)
    fill(tasks, range(3), content={"large": "x" * 100_000})

    def read() -> tuple[int, Any, str]:
        mine = backends.in_files(Root(f"{open_tmp}/root", now=time.time))
        found: Any = mine.get_record("id-1")
        try:
            mine.update_record("id-1", {"stdout": "x"})
        except RootPermissionError as exc:
            return mine.count({}), len(found["content"]["large"]), type(exc).__name__
        return 0, 0, "no error"

    assert in_child(read, uid=ALICE) == (3, 100_000, "RootPermissionError")
    tasks.close()


# -- damage -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 10, 500, 1100])
def test_a_torn_tail_is_cut_not_fatal(root: Root, open_tasks: Open, cut: int) -> None:
    fill(open_tasks(), range(5))
    (path,) = segments(root)
    os.truncate(path, os.stat(path).st_size - cut)
    again = open_tasks()
    assert again.get_history() == [f"id-{number}" for number in range(4)]
    fill(again, range(4, 8))
    assert again.count({}) == open_tasks().count({}) == 8
    assert again.find_records({}) == open_tasks().find_records({})


def test_a_damaged_frame_costs_its_record_alone(
    root: Root, open_tasks: Open, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = open_tasks()
    fill(tasks, range(9))
    (path,) = segments(root)
    with open(path, "r+b") as file:
        data = file.read()
        file.seek(data.index(b"id-4") + 3)
        file.write(b"\xff")
    clock.now = time.time() + 60  # nobody writes to it any more
    again = open_tasks()
    assert again.get_history() == [f"id-{number}" for number in range(9) if number != 4]
    assert "damaged bytes" in caplog.text


def test_damaged_buffers_are_told_and_nothing_else_suffers(root: Root, open_tasks: Open) -> None:
    tasks = open_tasks()
    tasks.add_record("a", {"buffers": [b"unmistakable" * 10], "stdout": "x"})
    tasks.add_record("b", {"buffers": [LARGE]})
    (path,) = segments(root)
    with open(path, "r+b") as file:
        data = file.read()
        file.seek(data.index(b"unmistakable"))
        file.write(b"\xff")
    (address,) = objects_on_disk(root)
    os.chmod(root.objects().locate(address), 0o600)
    with open(root.objects().locate(address), "r+b") as file:
        file.write(b"\xff")
    again = open_tasks()
    for name in ("a", "b"):
        record: Any = again.get_record(name)
        assert len(record["buffers"]) == 1
        with pytest.raises(CorruptObjectError):
            record["buffers"][0]
    assert again.get_record("a")["stdout"] == "x"
    assert len(list(files(f"{root.path}/quarantine"))) == 1


@pytest.mark.parametrize(
    "place",
    [["..//..//victim.txtab", 0, 8], ["0" * 20, "/../../x", 8], [5, 0, 8]],
)
def test_what_a_log_calls_an_object_is_no_path_to_another_file(
    root: Root, open_tasks: Open, caplog: pytest.LogCaptureFixture, place: list[Any]
) -> None:
    """Whoever shares the root may write a log; what others read must move none of their files."""
    victim = Path(f"{root.path}/../victim.txtab")
    victim.write_text("precious")
    tasks = open_tasks()
    tasks._core.write(frames.ADD, "evil", {MOVED: {"stdout": place}})
    assert open_tasks().get_record("evil")["stdout"] is None
    assert "no objects" in caplog.text
    assert victim.read_text() == "precious"


def test_what_is_no_segment_is_passed_over(
    root: Root, open_tasks: Open, caplog: pytest.LogCaptureFixture
) -> None:
    fill(open_tasks(), range(3))
    for name, data in (("0.log", b"whatever that may be"), ("1.log", b""), ("2.txt", b"x")):
        with open(f"{root.path}/tasks/{name}", "wb") as file:
            file.write(data)
    os.mkdir(f"{root.path}/tasks/3.log")
    os.symlink("/etc/hostname", f"{root.path}/tasks/4.log")
    os.mkfifo(f"{root.path}/tasks/5.log")
    os.mkfifo(f"{root.path}/tasks/6.index")
    again = open_tasks()
    assert again.count({}) == 3
    fill(again, range(3, 5))
    assert again.count({}) == 5
    for name in ("0.log", "3.log", "4.log"):
        assert caplog.text.count(f"{name} is no segment") == 1
    assert open_tasks().count({}) == 5


@pytest.mark.usefixtures("hasty")
def test_what_cannot_be_read_is_not_put_together_with_the_others(
    root: Root, open_tasks: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "MANY_SMALL", 4)
    tasks = open_tasks()
    fill(tasks, range(3))
    foreign = {"0.log": b"whatever that may be", "1.log": HEADER.replace(b"2", b"3") + b"new"}
    for name, data in foreign.items():
        with open(f"{root.path}/tasks/{name}", "wb") as file:
            file.write(data)
    assert tasks.count({}) == 3
    for number in range(3, 20):
        tasks.close()  # the own segment is finished
        fill(tasks, range(number, number + 1))
    fill(tasks, range(20, 40))
    tasks.purge()
    assert len(segments(root)) < 15
    for name, data in foreign.items():
        assert Path(f"{root.path}/tasks/{name}").read_bytes() == data


def test_a_segment_from_the_future_is_an_error_at_opening_and_logged_later(
    root: Root, open_tasks: Open, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = open_tasks()
    fill(tasks, range(3))
    with open(f"{root.path}/tasks/ffffffffffffffff-0.log", "wb") as file:
        file.write(HEADER.replace(b"2", b"3") + b"frames of another kind")
    for _ in range(2):
        with pytest.raises(FormatError, match=r"version 3, newer than this program's \(2\)"):
            open_tasks().count({})
    # Whoever had it open before goes on: a controller must not stop for it.
    assert tasks.count({}) == 3
    fill(tasks, range(3, 5))
    assert tasks.count({}) == 5
    assert "newer" in caplog.text


# -- snapshots ----------------------------------------------------------------------------------------


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    hasten_upkeep(monkeypatch)


def snapshots(root: Root) -> list[str]:
    directory = f"{root.path}/tasks"
    return [f"{directory}/{name}" for name in os.listdir(directory) if name.endswith(".index")]


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    "damage", ["none", "torn", "flipped", "version", "empty", "newer than log"]
)
def test_a_snapshot_saves_reading_and_is_never_needed(
    root: Root, open_tasks: Open, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    tasks = open_tasks()
    fill(tasks, range(60), content={"large": "x" * 100_000}, own=1)
    complete(tasks, range(30))
    tasks.drop_record("id-50")
    expected, history = tasks.find_records({}), tasks.get_history()
    tasks.close()  # or its upkeep may write another one meanwhile
    (path,) = snapshots(root)
    os.chmod(path, 0o600)
    with open(path, "r+b") as file:
        data = file.read()
        if damage == "torn":
            file.truncate(len(data) // 2)
        elif damage == "flipped":
            file.seek(len(data) // 2)
            file.write(bytes([data[len(data) // 2] ^ 1]))
        elif damage == "version":
            file.write(b"fscache task index 2\n")
        elif damage == "empty":
            file.truncate(0)
    if damage == "newer than log":
        os.truncate(segments(root)[-1], len(HEADER))
        assert open_tasks().count({}) == 0
        return
    read: list[int] = []
    decode = frames.decode_meta
    monkeypatch.setattr(frames, "decode_meta", lambda meta: read.append(1) or decode(meta))
    again = open_tasks()
    assert again.count({}) == 59
    assert (len(read) < 70) is (damage == "none")
    assert again.find_records({}) == expected
    assert again.find_records({"own": 1, "completed": None}) == expected[30:]
    assert again.get_history() == history
    complete(again, range(30, 50))
    assert tasks.count({"completed": None}) == again.count({"completed": None}) == 9


@pytest.mark.usefixtures("hasty")
def test_what_another_process_did_since_the_snapshot_is_seen(root: Root, open_tasks: Open) -> None:
    first, second = open_tasks(), open_tasks()
    for number in range(0, 100, 2):
        fill(first, range(number, number + 1))
        fill(second, range(number + 1, number + 2))
        if number % 10 == 0:
            first.drop_record(f"id-{number + 1}")
            second.update_record(f"id-{number}", {"stdout": "seen"})
    expected = first.find_records({})
    assert len(expected) == 90
    assert expected == second.find_records({}) == open_tasks().find_records({})
    first.compact()
    assert expected == second.find_records({}) == open_tasks().find_records({})


# -- size ---------------------------------------------------------------------------------------------


def test_a_record_of_100_mib(root: Root, open_tasks: Open) -> None:
    data = os.urandom(1 << 20) * 50
    tasks = open_tasks()
    started = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    tasks.add_record(
        "a", {"buffers": [data, memoryview(data)[1:]], "content": {"t": "x" * (1 << 20)}}
    )
    tasks.update_record("a", {"completed": START})
    for each in (tasks, open_tasks()):
        record: Any = each.get_record("a")
        assert record["buffers"].nbytes == 100 * (1 << 20) - 1
        assert (record["buffers"][0] == data, record["buffers"][1] == data[1:]) == (True, True)
        assert record["content"] == {"t": "x" * (1 << 20)}
    assert disk(root) < 10_000, "the log holds no large values"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - started < 60


def test_equal_buffers_are_stored_once_and_cost_nothing_unread(
    root: Root, open_tasks: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = open_tasks()
    for number in range(20):
        tasks.add_record(f"id-{number}", {"buffers": [LARGE, b"%d" % number]})
    tasks.add_record("copy", {"buffers": tasks.get_record("id-3")["buffers"]})
    assert objects_on_disk(root) == {next(iter(objects_on_disk(root))): len(LARGE)}
    keeper: Any = tasks._core.keeper
    monkeypatch.setattr(keeper, "read", lambda *_: pytest.fail("a buffer was read"))
    records = open_tasks().find_records({})
    records += tasks.find_records({})
    assert all(len(record["buffers"]) == 2 for record in records)  # type: ignore[arg-type]
    tasks.update_record("id-3", {"stdout": "x"})
    tasks.update_record("id-4", {"buffers": tasks.get_record("id-3")["buffers"]})


def test_a_line_of_output_costs_a_line(root: Root, open_tasks: Open) -> None:
    tasks = open_tasks()
    tasks.add_record("a", {"buffers": [os.urandom(4000)] * 10, "stdout": ""})
    before = disk(root)
    text = ""
    for number in range(200):
        record: Any = tasks.get_record("a")
        assert record["stdout"] == text
        text += f"line {number} {'.' * 60}\n"
        tasks.update_record("a", {"stdout": text})
    assert disk(root) - before < 10 * len(text) + 3 * 40_000, "the whole text was written each time"
    for each in (tasks, open_tasks()):
        assert each.get_record("a")["stdout"] == text
    tasks.update_record("a", {"stdout": "something else altogether"})
    assert open_tasks().get_record("a")["stdout"] == "something else altogether"


# -- culling and compaction ------------------------------------------------------------------------------


def test_culling_by_records_takes_the_oldest_completed(open_tasks: Open) -> None:
    tasks = open_tasks(limits=Limits(records=20, fraction=0.2))
    fill(tasks, range(25))
    complete(tasks, range(5, 25))
    assert tasks.count({}) == 25
    fill(tasks, range(25, 26), completed=START)
    assert tasks.count({"completed": {"$ne": None}}) == 17  # as ipyparallel's own suite pins it
    assert tasks.get_history()[:6] == [f"id-{number}" for number in (0, 1, 2, 3, 4, 9)]


def test_culling_by_size_and_by_age(open_tasks: Open, clock: Clock) -> None:
    tasks = open_tasks(limits=Limits(size=10_000, fraction=0.5))
    fill(tasks, range(10))
    complete(tasks, range(9))  # 100 bytes each, so it is over the limit at once
    assert sum(record["buffers"].nbytes for record in tasks.find_records({})) <= 10_000  # type: ignore[attr-defined]
    assert tasks.count({"completed": None}) >= 1
    clock.now = START.timestamp() + 100
    aged = open_tasks(limits=Limits(age=50))
    aged.purge()
    for number in range(100, 104):
        aged.add_record(f"id-{number}", {"submitted": START, "completed": START})
        clock.advance(40)
    assert {"id-9", "id-103"} <= set(aged.get_history())  # pending; the one just added
    assert "id-100" not in aged.get_history()


def test_pending_tasks_are_never_culled(open_tasks: Open, clock: Clock) -> None:
    tasks = open_tasks(limits=Limits(records=5, size=100, age=0.001))
    clock.now = START.timestamp() + 10**6
    fill(tasks, range(30))
    clock.advance(1000)
    assert tasks.purge(records=0, size=0, age=0.0) == 0
    assert tasks.purge() == 0
    assert tasks.count({}) == 30
    complete(tasks, range(30))  # each may be the last pending one, or be culled at once
    assert tasks.count({"completed": None}) == 0
    assert tasks.count({}) <= 5


def test_purging_gives_the_disk_back(root: Root, open_tasks: Open) -> None:
    tasks = open_tasks()
    fill(tasks, range(500), buffers=[b"x" * 3000])
    complete(tasks, range(490))
    before = disk(root)
    assert tasks.purge({"submitted": {"$lt": START + timedelta(seconds=100)}}) == 100
    assert disk(root) < before * 0.9
    assert tasks.purge() == 390
    assert disk(root) < before * 0.05
    assert tasks.count({}) == open_tasks().count({}) == 10
    assert [record["buffers"] for record in open_tasks().find_records({})] == [[b"x" * 3000]] * 10


@pytest.mark.usefixtures("hasty")
def test_the_disk_comes_back_by_itself_in_small_parts(root: Root, open_tasks: Open) -> None:
    tasks = open_tasks()
    for number in range(0, 2000, 10):
        fill(tasks, range(number, number + 10))
        complete(tasks, range(number, number + 10))
        tasks.drop_matching_records({"completed": {"$ne": None}})
    assert disk(root) < 1000 * 1000
    assert len(segments(root)) < 10
    fill(tasks, range(5))
    assert open_tasks().count({}) == 5


@pytest.mark.usefixtures("hasty")
def test_segments_of_dead_processes_are_put_together(
    root: Root, open_tasks: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "MANY_SMALL", 4)
    monkeypatch.setattr(log, "IDLE_SECONDS", -1e9)  # idle for long enough

    def add(number: int) -> None:
        tasks = backends.in_files(root)
        fill(tasks, range(number, number + 1))
        os.kill(os.getpid(), signal.SIGKILL)

    for number in range(20):
        pid = start(lambda number=number: add(number))  # type: ignore[misc]
        os.waitpid(pid, 0)
    assert len(segments(root)) == 20
    tasks = open_tasks()
    fill(tasks, range(20, 200))
    assert len(segments(root)) < 10
    assert tasks.count({}) == open_tasks().count({}) == 200


# -- processes -------------------------------------------------------------------------------------------


def test_readers_see_every_record_whole_while_writers_write(root: Root, open_tasks: Open) -> None:
    def write(writer: int) -> None:
        tasks = backends.in_files(root)
        number = 0
        while True:
            msg_id = f"{writer}-{number}"
            tasks.add_record(msg_id, {"submitted": START, "buffers": [msg_id.encode() * 300]})
            tasks.update_record(msg_id, {"result_buffers": [msg_id.encode() * 2000]})
            tasks.update_record(msg_id, {"completed": START})
            if number > 20:
                tasks.drop_record(f"{writer}-{number - 20}")
            number += 1

    writers = [start(lambda writer=writer: write(writer)) for writer in range(3)]  # type: ignore[misc]
    try:
        reader = open_tasks()
        seen: dict[int, int] = {}
        deadline = time.monotonic() + 20
        while min(seen.get(each, 0) for each in range(3)) < 60 and time.monotonic() < deadline:
            for record in reader.find_records({"completed": {"$ne": None}}):
                msg_id = str(record["msg_id"])
                try:
                    buffers: Any = [list(record[key]) for key in ("buffers", "result_buffers")]  # type: ignore[call-overload]
                except NoSuchTaskError:
                    continue  # dropped since
                assert buffers == [[msg_id.encode() * 300], [msg_id.encode() * 2000]]
                writer, number = map(int, msg_id.split("-"))
                seen[writer] = max(seen.get(writer, 0), number)
    finally:
        for pid in writers:
            reap(pid)
    assert all(seen.get(writer, 0) > 5 for writer in range(3)), seen
    assert reader.find_records({}) == open_tasks().find_records({})


def test_who_came_first_makes_no_difference_to_the_order(root: Root, open_tasks: Open) -> None:
    """What was added in one microsecond is in one order for all: those who saw it grow, and new ones."""
    early, late, watcher = open_tasks(), open_tasks(), open_tasks()
    for tasks in (early, late):
        assert (
            tasks.count({}) == 0
        )  # so that neither has seen the other's, whose stamps it would pass
    for number in range(3):
        early._core.write(frames.ADD, f"1-{number}", {"submitted": START})
    assert watcher.count({}) == 3
    for number in range(3):
        late._core.write(frames.ADD, f"0-{number}", {"submitted": START})
    expected = [f"{writer}-{number}" for number in range(3) for writer in range(2)]
    for tasks in (watcher, early, late, open_tasks()):
        assert [record["msg_id"] for record in tasks.find_records({})] == expected


def test_a_forked_child_writes_a_log_of_its_own(root: Root, open_tasks: Open) -> None:
    tasks = open_tasks()
    fill(tasks, range(2))

    def child() -> int:
        fill(tasks, range(2, 4))
        tasks.update_record("id-0", {"stdout": "child"})
        return tasks.count({})

    assert in_child(child) == 4
    fill(tasks, range(4, 6))
    assert tasks.count({}) == open_tasks().count({}) == 6
    assert tasks.get_record("id-0")["stdout"] == "child"
    assert len(segments(root)) == 2


def test_nobody_collects_what_is_closed(root: Root) -> None:
    tasks = backends.in_files(root)
    fill(tasks, range(3))
    del tasks
    gc.collect()
    (path,) = segments(root)
    assert not os.stat(path).st_mode & 0o222, "the segment was not finished"


def test_a_full_disk_fails_the_call_and_changes_nothing(
    root: Root, open_tasks: Open, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = open_tasks()
    fill(tasks, range(3))
    expected = tasks.find_records({})

    def work() -> list[str]:
        said = []
        mine = backends.in_files(root)
        fill(mine, range(3, 4))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        size = os.stat(segments(root)[-1]).st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 500, resource.RLIM_INFINITY))
        for attempt in (
            lambda: fill(mine, range(4, 5)),
            lambda: mine.update_record("id-3", {"stdout": "x" * 3000}),
            lambda: mine.update_record("id-3", {"buffers": [LARGE]}),
        ):
            try:
                attempt()
            except StoreError as exc:
                said.append(type(exc).__name__)
        assert mine.get_record("id-3")["stdout"] is None
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        mine.update_record("id-3", {"stdout": "fits"})
        return said

    caplog.set_level(logging.CRITICAL)
    assert in_child(work) == ["StoreFullError"] * 3
    again = open_tasks()
    assert again.find_records({})[:3] == expected
    assert again.get_record("id-3")["stdout"] == "fits"
    assert snapshot.SUFFIX == ".index"


def test_a_buffer_that_is_looked_for_again_is_so_under_the_lock(open_tasks: Open) -> None:
    """Its owner reads it when he likes, in any thread; its segment may have been rewritten since."""
    one, other = open_tasks(), open_tasks()
    one.add_record("a", {"buffers": [b"kept"]})
    one.close()
    buffers: Any = other.get_record("a")["buffers"]
    other._core.log.close()
    one.update_record("a", {"buffers": [b"kept"]})  # the record is written anew
    one.compact()
    core = other._core
    held: list[bool] = []
    refresh = core.refresh

    def watched() -> None:
        held.append(core.lock._is_owned())  # type: ignore[attr-defined]
        refresh()

    core.refresh = watched  # type: ignore[method-assign]
    assert buffers == [b"kept"]
    assert held
    assert all(held)
