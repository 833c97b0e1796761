"""Promises of dropping: whoever drops however many, all who have the root open agree on what is left."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from fscache.tasks import core, log, timeline, values
from fscache.tasks.cull import Limits
from tests.support.tasks import hasten_upkeep
from tests.unit.tasks.conftest import START

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.tasks.database import TaskDatabase

    Open = Callable[..., TaskDatabase]

COUNT = 60
ODD = ['"', "\\", '","', "\n", "\x7f", "ü", "\U0001f600", "a/../b"]
LARGE = b"large" * 2000


def fill(tasks: TaskDatabase, numbers: range) -> None:
    for number in numbers:
        record: dict[str, Any] = {"buffers": [LARGE, b"%d" % number]}
        if number % 7:
            record["submitted"] = START + timedelta(seconds=number * 31 % COUNT)
        tasks.add_record(f"id-{number}", record)
        if number % 5:
            tasks.update_record(f"id-{number}", {"completed": START, "result_buffers": [b"r"]})


def judge(tasks: TaskDatabase, numbers: list[int]) -> None:
    ids = [f"id-{number}" for number in numbers]
    assert [record["msg_id"] for record in tasks.find_records({}, ["msg_id"])] == ids
    timed = [number for number in numbers if number % 7]
    timed.sort(key=lambda number: number * 31 % COUNT)
    assert tasks.get_history() == [f"id-{number}" for number in timed]
    pending = [f"id-{number}" for number in numbers if not number % 5]
    assert [each["msg_id"] for each in tasks.find_records({"completed": None})] == pending
    for number, record in zip(numbers, tasks.find_records({}), strict=True):
        assert record["buffers"] == [LARGE, b"%d" % number]
    core_ = tasks._core
    sizes = [record["buffers"].nbytes for record in tasks.find_records({})]  # type: ignore[attr-defined]
    done = len(numbers) - len(pending)
    assert core_.index.size == sum(sizes) + done  # what culling by size goes by


@pytest.mark.parametrize("exact", [True, False], ids=["by-record", "by-all-segments"])
@pytest.mark.parametrize(
    "gone",
    [range(COUNT), range(1, COUNT), range(0, COUNT, 2), range(COUNT // 2), range(5), range(7, 8)],
    ids=["all", "all-but-one", "every-other", "half", "few", "one"],
)
def test_all_agree_on_what_is_left(
    open_tasks: Open, monkeypatch: pytest.MonkeyPatch, gone: range, exact: bool
) -> None:
    hasten_upkeep(monkeypatch)
    if not exact:
        monkeypatch.setattr(core, "_EXACT_DROPS", 0)
    dropper, reader, writer = open_tasks(), open_tasks(), open_tasks()
    fill(dropper, range(COUNT // 2))
    fill(writer, range(COUNT // 2, COUNT))
    judge(reader, list(range(COUNT)))
    query = {"msg_id": {"$in": [f"id-{number}" for number in gone]}}
    assert dropper.drop_matching_records(query) == len(gone)
    left = [number for number in range(COUNT) if number not in gone]
    for each in (dropper, reader, writer, open_tasks()):
        judge(each, left)
    fill(writer, range(COUNT, COUNT + 20))  # rows are used again, what is dead is given back
    fill(dropper, range(COUNT + 20, COUNT + 30))
    left += range(COUNT, COUNT + 30)
    for each in (reader, dropper, writer, open_tasks()):
        judge(each, left)
    dropper.compact()
    for each in (writer, reader, dropper, open_tasks()):
        judge(each, left)


def test_ids_of_any_text_are_dropped(open_tasks: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "_EXACT_DROPS", 3)
    dropper, reader = open_tasks(), open_tasks()
    for msg_id in ["left", *ODD]:
        dropper.add_record(msg_id, {})
    assert reader.count({}) == len(ODD) + 1
    assert dropper.drop_matching_records({"msg_id": {"$ne": "left"}}) == len(ODD)
    for tasks in (dropper, reader, open_tasks()):
        assert [record["msg_id"] for record in tasks.find_records({})] == ["left"]


@pytest.mark.parametrize("texts", [[], ["a"], [""], ["a", "b"], ODD, ["a", "\ud800"]])
def test_a_list_of_texts_is_the_json_of_it(texts: list[str]) -> None:
    assert b"".join(values.encode_texts(texts)) == values.encode(texts)


def test_what_was_dropped_is_given_back_before_segments_are_rewritten(
    open_tasks: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the same drop, of perhaps 100,000 ids, would be said anew for each segment that goes."""
    hasten_upkeep(monkeypatch)
    monkeypatch.setattr(log, "SEGMENT_BYTES", 2000)
    said: list[int] = []
    tasks = open_tasks()
    fill(tasks, range(COUNT))
    copy = tasks._core.copy_drop

    def counted(groups: Any, stamp: int) -> None:
        said.append(stamp)
        copy(groups, stamp)

    monkeypatch.setattr(tasks._core, "copy_drop", counted)
    assert tasks.drop_matching_records({"completed": {"$ne": None}}) == COUNT - COUNT // 5
    for number in range(COUNT, 3 * COUNT):
        tasks.add_record(f"id-{number}", {})
    assert not tasks._core.index.unreaped
    assert len(said) == 1


@pytest.mark.parametrize("stale", [0, 10_000], ids=["made-anew", "as-inserted"])
def test_of_those_submitted_at_one_instant_the_first_is_the_oldest(
    open_tasks: Open, monkeypatch: pytest.MonkeyPatch, stale: int
) -> None:
    """Clocks are coarse, and rows are used again."""
    monkeypatch.setattr(timeline, "_MIN_STALE", stale)
    tasks = open_tasks(limits=Limits(records=5, fraction=0.0))
    for number in range(40):
        tasks.add_record(f"id-{number}", {"submitted": START, "completed": START})
        assert tasks.get_history() == [f"id-{each}" for each in range(number + 1)][-5:]
