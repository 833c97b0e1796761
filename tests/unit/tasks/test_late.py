"""Promises of fscache.tasks.late: nobody finds out that frames wait, whatever is asked, and by whom."""

from __future__ import annotations

import ast
import copy
import os
import threading
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import fscache.tasks
from fscache.errors import NoSuchTaskError, TaskExistsError
from fscache.tasks import late
from fscache.tasks.cull import Limits
from fscache.tasks.index import Index
from tests.support.processes import in_child
from tests.support.tasks import hasten_upkeep
from tests.unit.tasks.conftest import START

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.tasks.database import TaskDatabase

    Open = Callable[..., TaskDatabase]

LARGE = b"large" * 2000
CAUGHT = sorted(
    name
    for each in Index.__mro__
    for name, value in vars(each).items()
    if isinstance(value, late.Caught)
)
OWN = {"__init__", "apply", "_link", "_new_record", "changed", "depth_of", "number_of"}
"""What may look at columns as they are: it fills them in, or has made sure of the row it looks at."""


def fill(tasks: TaskDatabase, count: int = 5) -> Index:
    """Add and complete tasks; something waits."""
    for number in range(count):
        submitted = START + timedelta(seconds=number)
        tasks.add_record(f"id-{number}", {"submitted": submitted, "buffers": [LARGE]})
    for number in range(count):
        reply = {"completed": START, "engine_uuid": "e", "result_buffers": [b"r"]}
        tasks.update_record(f"id-{number}", reply)
    index = tasks._core.index
    assert index.waiting
    return index


@pytest.mark.parametrize("name", CAUGHT)
def test_whoever_reads_or_sets_a_column_has_all_taken_up(tasks: TaskDatabase, name: str) -> None:
    index = fill(tasks)
    value = getattr(index, name)
    assert not index.waiting
    tasks.update_record("id-1", {"queue": "mux"})
    assert index.waiting
    setattr(index, name, value)
    assert not index.waiting


def test_all_that_may_be_behind_is_reached_so(tasks: TaskDatabase) -> None:
    index = fill(tasks)
    index.take_up()
    tasks.update_record("id-1", {"completed": None, "queue": "mux"})
    tasks.add_record("new", {"submitted": START, "buffers": [LARGE]})
    before = {name: _image(value) for name, value in vars(index).items()}
    index.take_up()
    changed = {name for name, value in vars(index).items() if _image(value) != before[name]}
    assert changed - {"waiting", "late_rows"} == {f"_{name}" for name in CAUGHT}


def _image(value: object) -> object:
    """Return what can be compared later."""
    if isinstance(value, list) and value and hasattr(value[0], "__slots__"):
        return [_image(each) for each in value]
    slots = getattr(type(value), "__slots__", ())
    if slots:
        held = {name: getattr(value, name) for name in slots}
        return {name: copy.copy(each) for name, each in held.items() if not callable(each)}
    return copy.deepcopy(value) if isinstance(value, list) else copy.copy(value)


def test_nobody_else_looks_at_columns_as_they_are() -> None:
    private = {f"_{name}" for name in CAUGHT}
    assert private > {"_numbers", "_fragments", "_size"}
    family = {"late.py", "rows.py", "living.py", "index.py"}
    for path in Path(fscache.tasks.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text())
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef):
                continue
            for node in ast.walk(function):
                if not (isinstance(node, ast.Attribute) and node.attr in private):
                    continue
                itself = isinstance(node.value, ast.Name) and node.value.id == "self"
                if path.name in family or not itself:
                    assert function.name in OWN, f"{path.name}: {function.name}: {node.attr}"


def test_at_most_so_many_wait_and_none_that_is_long(tasks: TaskDatabase) -> None:
    index = tasks._core.index
    most = 0
    for number in range(3 * late.MOST):
        tasks.add_record(f"id-{number}", {})
        most = max(most, len(index.waiting))
    assert most == late.MOST - 1
    tasks.add_record("small", {})
    assert index.waiting
    tasks.add_record("long", {"buffers": [b"4096" * 1024] * (late.LONG // 4096)})
    assert not index.waiting


def test_a_record_is_known_at_once_and_nothing_is_taken_up_for_it(tasks: TaskDatabase) -> None:
    tasks.add_record("a", {"queue": "task"})
    index = tasks._core.index
    with pytest.raises(TaskExistsError):
        tasks.add_record("a", {})
    with pytest.raises(NoSuchTaskError):
        tasks.get_record("b")
    tasks.add_record("b", {})
    tasks.update_record("b", {"engine_uuid": "e"})
    tasks.update_record("b", {"result_buffers": [b"r"]})
    assert index.waiting
    assert tasks.get_record("a")["queue"] == "task"
    assert not index.waiting
    assert tasks.get_record("b")["result_buffers"] == [b"r"]


def test_buffers_that_wait_are_given_up_when_they_are_replaced(tasks: TaskDatabase) -> None:
    tasks.add_record("a", {"buffers": [LARGE]})
    tasks.update_record("a", {"buffers": [b"other"]})
    assert tasks._core.index.size == len(b"other")
    assert not tasks._core.index.references


def test_a_record_that_is_updated_again_and_again_is_rewritten(tasks: TaskDatabase) -> None:
    tasks.add_record("a", {})
    for number in range(100):
        tasks.update_record("a", {"engine_uuid": f"e{number}"})
    assert tasks._core.index.depth[0] < 40
    assert tasks.get_record("a")["engine_uuid"] == "e99"


def test_limits_are_kept_at_every_call(tasks: TaskDatabase) -> None:
    tasks.limits.records, tasks.limits.fraction = 3, 0.0
    assert isinstance(tasks.limits, Limits)
    for number in range(20):
        tasks.add_record(f"id-{number}", {"submitted": START + timedelta(seconds=number)})
        tasks.update_record(f"id-{number}", {"completed": START})
        assert len(tasks) == min(number + 1, 3)
    assert tasks.get_history() == ["id-17", "id-18", "id-19"]


def test_what_waits_is_in_the_file(open_tasks: Open) -> None:
    index = fill(open_tasks())
    found = open_tasks().find_records({"completed": START}, ["msg_id", "engine_uuid"])
    assert found == [{"msg_id": f"id-{number}", "engine_uuid": "e"} for number in range(5)]
    assert index.waiting


def test_what_others_write_comes_after_it(open_tasks: Open) -> None:
    one, other = open_tasks(), open_tasks()
    fill(one)
    other.update_record("id-1", {"engine_uuid": "later"})
    other.drop_record("id-2")
    assert one._core.index.waiting
    found = {each["msg_id"]: each["engine_uuid"] for each in one.find_records({})}
    assert found == {"id-0": "e", "id-1": "later", "id-3": "e", "id-4": "e"}
    assert found == {each["msg_id"]: each["engine_uuid"] for each in other.find_records({})}


def test_snapshots_have_it(open_tasks: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    hasten_upkeep(monkeypatch)
    writer = open_tasks()
    fill(writer)
    writer.close()
    again = open_tasks()
    assert again.count({"engine_uuid": "e"}) == 5
    assert again._core.index.size == 5 * (len(LARGE) + 1)


def test_where_one_fails_the_others_wait_on(tasks: TaskDatabase) -> None:
    index = fill(tasks)
    count = len(index.waiting)
    _, frame, *place = index.waiting[2]
    index.waiting[2] = (1 << 40, frame, *place)  # type: ignore[assignment]  # no such row
    with pytest.raises((IndexError, OverflowError)):
        tasks.count({"engine_uuid": "e"})
    assert len(index.waiting) == count - 3
    assert tasks.count({"completed": START}) == 4


def test_a_child_goes_on_with_what_waits(tasks: TaskDatabase) -> None:
    index = fill(tasks)

    def look() -> tuple[int, int, int]:
        waiting = len(index.waiting)
        return waiting, tasks.count({"engine_uuid": "e"}), os.getpid()

    waiting, count, pid = in_child(look)
    assert (waiting > 0, count) == (True, 5)
    assert pid != os.getpid()
    assert len(index.waiting) == waiting
    assert tasks.count({"engine_uuid": "e"}) == 5


def test_threads_that_read_and_write_at_once(tasks: TaskDatabase) -> None:
    wrong: list[object] = []

    def live(which: int) -> None:
        for number in range(100):
            msg_id = f"{which}-{number}"
            tasks.add_record(msg_id, {"queue": "task"})
            tasks.update_record(msg_id, {"completed": START})
            if number % 7 == 0 and tasks.get_record(msg_id)["completed"] != START:
                wrong.append(msg_id)
            if number % 31 == 0 and tasks.count({"completed": START}) <= number:
                wrong.append(number)

    threads = [threading.Thread(target=live, args=(which,)) for which in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong
    assert tasks.count({"completed": START, "queue": "task"}) == 400


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
