"""What dropped records have left goes soon, without another call."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from fscache.tasks import backends, upkeep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fscache.records.root import Root
    from fscache.tasks.database import TaskDatabase


class Removed:
    """Takes the addresses that are to be removed; one call at a time waits for `gate`."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.calls = 0
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, addresses: Sequence[str]) -> None:
        self.calls += 1
        assert self.gate.wait(20)
        self.addresses += addresses


@pytest.fixture
def removed() -> Removed:
    return Removed()


@pytest.fixture
def tasks(root: Root, removed: Removed) -> Iterator[TaskDatabase]:
    made = backends.in_files(root, remove_objects=removed)
    yield made
    removed.gate.set()
    made.close()


def drop_one(tasks: TaskDatabase, name: str) -> None:
    tasks.add_record(name, {"buffers": [name.encode() * 10_000]})
    tasks.drop_matching_records({"msg_id": name})


def test_a_second_drop_waits_for_its_turn_and_for_no_call(
    tasks: TaskDatabase,
    removed: Removed,
    until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upkeep, "DISCARD_SECONDS", 0.5)
    for count, name in enumerate("abc", 1):
        drop_one(tasks, name)
        until(lambda count=count: len(removed.addresses) == count, "the object to be removed")


def test_what_is_dropped_while_others_are_removed_is_removed_too(
    tasks: TaskDatabase,
    removed: Removed,
    until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upkeep, "DISCARD_SECONDS", 0.1)
    removed.gate.clear()
    drop_one(tasks, "a")
    until(lambda: removed.calls == 1, "the first removal")
    drop_one(tasks, "b")
    removed.gate.set()
    until(lambda: len(removed.addresses) == 2, "the second object to be removed")


def test_a_database_may_end_in_the_thread_that_removes(
    root: Root, until: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    made: list[TaskDatabase] = []

    def remove(_addresses: Sequence[str]) -> None:
        made.pop().close()  # as when the thread finds the database among the garbage

    made.append(backends.in_files(root, remove_objects=remove))
    drop_one(made[0], "a")
    until(lambda: not made, "the end")
    ends = [each for each in threading.enumerate() if each.name == "fscache-task-objects"]
    until(lambda: not any(each.is_alive() for each in ends), "the thread to end")
    assert not caplog.text


def test_closing_waits_for_no_turn(tasks: TaskDatabase, removed: Removed) -> None:
    for name in "ab":
        drop_one(tasks, name)
    tasks.close()
    assert len(removed.addresses) == 2
    assert not [each for each in threading.enumerate() if each.name == "fscache-task-objects"]
