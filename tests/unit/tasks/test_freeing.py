"""Promises of giving back: what is dropped leaves the disk, and nobody waits for it."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from fscache.fs.lock import try_flock
from fscache.tasks import backends, tidying, upkeep
from tests.support.processes import in_child
from tests.unit.tasks.conftest import START

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pytest

    from fscache.records.root import Root
    from fscache.tasks.database import TaskDatabase

    Open = Callable[..., TaskDatabase]

COUNT = 1000


def fill(tasks: TaskDatabase) -> None:
    """Add records of 1 KiB, every tenth of them pending."""
    for number in range(COUNT):
        completed = START if number % 10 else None
        tasks.add_record(f"id-{number}", {"completed": completed, "buffers": [bytes(1024)]})


def log_bytes(root: Root) -> int:
    with os.scandir(f"{root.path}/tasks") as found:
        return sum(each.stat().st_size for each in found if each.name.endswith(".log"))


def test_a_purge_frees_the_disk_while_another_idles_in_its_own_rewriting(
    root: Root, open_tasks: Open
) -> None:
    first = open_tasks()
    fill(first)
    first.close()
    fd = os.open(f"{root.path}/locks/tasks", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        assert try_flock(fd)
        assert open_tasks().purge() == COUNT - COUNT // 10
        assert log_bytes(root) < COUNT // 10 * 1200
    finally:
        os.close(fd)
    assert len(open_tasks()) == COUNT // 10


def test_others_are_answered_while_a_purge_rewrites(
    open_tasks: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_PART_SECONDS", 0.0)
    tasks = open_tasks()
    fill(tasks)
    answers = 0
    purged = threading.Event()

    def ask() -> None:
        nonlocal answers
        while not purged.is_set():
            tasks.count({"completed": None})
            answers += 1

    other = threading.Thread(target=ask)
    other.start()
    before = answers
    tasks.purge()
    after = answers
    purged.set()
    other.join()
    assert after - before > 10
    assert len(tasks) == COUNT // 10


def test_others_are_answered_while_a_purge_removes_objects(root: Root) -> None:
    counted: list[int] = []
    made: list[TaskDatabase] = []

    def remove(_addresses: Sequence[str]) -> None:
        other = threading.Thread(target=lambda: counted.append(made[0].count({})))
        other.start()
        other.join(20)

    tasks = backends.in_files(root, remove_objects=remove)
    made.append(tasks)
    tasks.add_record("a", {"completed": START, "buffers": [bytes(10_000)]})
    assert tasks.purge() == 1
    assert counted == [0]
    tasks.close()
    made.clear()  # it keeps what keeps it


def test_a_drop_frees_the_disk_without_another_call(
    root: Root, until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "MIN_DEAD", 100_000)
    monkeypatch.setattr(upkeep, "DISCARD_SECONDS", 0.1)
    removed: list[str] = []
    tasks = backends.in_files(root, remove_objects=removed.extend)
    fill(tasks)
    tasks.update_record("id-1", {"result_buffers": [bytes(10_000)]})
    assert tasks.drop_matching_records({"completed": {"$ne": None}}) == COUNT - COUNT // 10
    until(lambda: log_bytes(root) < COUNT // 10 * 1200, "the log to shrink")
    until(lambda: len(removed) == 1, "the object to be removed")
    assert tasks.find_records({"completed": None})[1]["buffers"] == [bytes(1024)]
    tasks.close()


def test_a_child_does_not_wait_for_the_thread_of_its_parent(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tidying, "_STEP", 30.0)
    tasks = backends.in_files(root)
    fill(tasks)
    tasks.drop_matching_records({"completed": {"$ne": None}})
    assert in_child(tasks.purge) == 0
    in_child(tasks.close)
    tasks.close()
