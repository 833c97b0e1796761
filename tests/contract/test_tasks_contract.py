"""What every task database promises, here or on a server: one suite for both."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from fscache import errors
from fscache.cache import Cache
from fscache.tasks.model import NaiveDatetimeWarning
from tests.support.servers import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fscache.tasks.face import Tasks

NOON = datetime(2026, 3, 1, 12, 0, 0, 250, tzinfo=UTC)


@pytest.fixture(params=["local", "remote"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cache]:
    if request.param == "local":
        with Cache(tmp_path / "root") as made:
            yield made
        return
    with serving(tmp_path / "root") as served, served.remote(tmp_path / "node") as made:
        yield made


@pytest.fixture
def tasks(cache: Cache) -> Tasks:
    return cache.tasks


def record(**keys: Any) -> dict[str, Any]:
    return {
        "header": {"msg_type": "apply_request", "nested": [1, None, {"é": "\x1b[1m"}]},
        "submitted": NOON,
        "buffers": [b"\0\xff" * 10, b"", b"x" * 100_000],
        "label": "night-7",
        **keys,
    }


def test_a_record_comes_back_as_it_was_added(tasks: Tasks) -> None:
    tasks.add_record("a", record(stdout="a\r\nb\x00", queue="pure", result_content={"n": 2**70}))
    found = tasks.get_record("a")
    assert found["msg_id"] == "a"
    assert found["submitted"] == NOON
    assert found["header"] == record()["header"]
    assert list(found["buffers"]) == record()["buffers"]  # type: ignore[call-overload]
    assert (found["stdout"], found["result_content"]) == ("a\r\nb\x00", {"n": 2**70})
    assert (found["completed"], found["label"]) == (None, "night-7")


def test_a_second_record_of_one_id_and_a_missing_one_are_key_errors(tasks: Tasks) -> None:
    tasks.add_record("a", {})
    with pytest.raises(errors.TaskExistsError) as caught:
        tasks.add_record("a", {})
    assert caught.value.msg_id == "a"
    for call in (
        lambda: tasks.get_record("b"),
        lambda: tasks.update_record("b", {"label": "x"}),
        lambda: tasks.drop_record("b"),
        lambda: tasks.is_own("b"),
        lambda: tasks.wait(["b"], 0),
    ):
        with pytest.raises(errors.NoSuchTaskError):
            call()


def test_updates_change_what_they_name(tasks: Tasks) -> None:
    tasks.add_record("a", record())
    tasks.update_record(
        "a", {"completed": NOON + timedelta(hours=1), "result_buffers": [memoryview(b"r")]}
    )
    found = tasks.get_record("a")
    assert found["completed"] == NOON + timedelta(hours=1)
    assert list(found["result_buffers"]) == [b"r"]  # type: ignore[call-overload]
    assert found["label"] == "night-7"


def test_queries_find_by_every_kind_of_value(tasks: Tasks) -> None:
    for number in range(5):
        tasks.add_record(
            f"t{number}",
            record(
                submitted=NOON + timedelta(minutes=number),
                completed=None if number % 2 else NOON + timedelta(hours=1),
            ),
        )
    zone = timezone(timedelta(hours=5))
    later = (NOON + timedelta(minutes=3)).astimezone(zone)
    assert [each["msg_id"] for each in tasks.find_records({"completed": None})] == ["t1", "t3"]
    assert [each["msg_id"] for each in tasks.db_query({"submitted": {"$gte": later}})] == [
        "t3",
        "t4",
    ]
    assert tasks.count({"header.msg_type": "apply_request"}) == 5
    assert tasks.count({"msg_id": {"$in": ("t1", "t2", "nothing")}}) == 2
    assert len(tasks) == 5
    assert tasks.get_history() == [f"t{number}" for number in range(5)]


def test_a_query_takes_iterables_and_compiled_patterns(tasks: Tasks) -> None:
    for number, queue in enumerate(("Pure", "task\nmux", "mux")):
        tasks.add_record(f"t{number}", {"queue": queue})

    def found(query: dict[str, Any]) -> list[Any]:
        return [each["msg_id"] for each in tasks.db_query(query)]

    assert found({"msg_id": {"$in": map("t{}".format, (0, 2))}}) == ["t0", "t2"]
    assert found({"msg_id": {"$nin": (f"t{number}" for number in (0, 2))}}) == ["t1"]
    assert found({"msg_id": {"$in": {"t1": None}.keys()}}) == ["t1"]
    assert found({"$or": [{"msg_id": {"$in": iter(["t1"])}}, {"queue": "mux"}]}) == ["t1", "t2"]
    assert found({"queue": {"$regex": re.compile("P")}}) == ["t0"]
    assert found({"queue": {"$regex": re.compile("^M.x", re.IGNORECASE | re.MULTILINE)}}) == [
        "t1",
        "t2",
    ]
    assert found({"queue": {"$regex": re.compile("(?i)^ M", re.VERBOSE)}}) == ["t2"]
    assert found({"queue": {"$not": {"$regex": re.compile("mux")}}}) == ["t0"]
    for operand in (re.compile(b"x"), {"a": 1}):
        with pytest.raises(errors.InvalidQueryError):
            found({"queue": {"$regex": operand}})


def test_a_query_returns_the_keys_that_were_asked_for(tasks: Tasks) -> None:
    tasks.add_record("a", record())
    assert tasks.find_records({}, ["label"]) == [{"msg_id": "a", "label": "night-7"}]
    assert tasks.db_query({}, "submitted") == [{"msg_id": "a", "submitted": NOON}]
    (without,) = tasks.db_query({})
    assert "buffers" not in without
    (whole,) = tasks.find_records({})
    assert list(whole["buffers"]) == record()["buffers"]  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"colour": 1}, errors.UnknownFieldError),
        ({"submitted": {"$near": 1}}, errors.UnknownOperatorError),
        ({"$and": 5}, errors.InvalidQueryError),
    ],
)
def test_a_wrong_query_says_so(tasks: Tasks, query: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        tasks.find_records(query)


def test_a_wrong_record_says_so(tasks: Tasks) -> None:
    for msg_id, keys in (("", {}), ("a", {"submitted": "noon"}), ("a", {"buffers": [5]})):
        with pytest.raises(errors.InvalidRecordError):
            tasks.add_record(msg_id, keys)
    assert len(tasks) == 0


def test_a_time_without_a_zone_is_this_machines_time(tasks: Tasks) -> None:
    naive = datetime(2026, 3, 1, 12, 0)  # noqa: DTZ001 - the point
    with pytest.warns(NaiveDatetimeWarning):
        tasks.add_record("a", {"submitted": naive})
    assert tasks.get_record("a")["submitted"] == naive.astimezone(UTC)


@pytest.mark.parametrize(
    "far",
    [
        datetime.min.replace(tzinfo=timezone(timedelta(hours=5))),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))),
    ],
)
def test_a_time_that_no_datetime_of_utc_can_hold_is_refused(tasks: Tasks, far: datetime) -> None:
    with pytest.raises(errors.InvalidRecordError):
        tasks.add_record("a", {"submitted": far})
    with pytest.raises(errors.InvalidQueryError):
        tasks.count({"submitted": {"$lt": far}})
    tasks.add_record("b", {"header": {"date": far}, "submitted": datetime.max.replace(tzinfo=UTC)})
    found = tasks.get_record("b")
    assert found["header"] == {"date": repr(far)}
    assert found["submitted"] == datetime.max.replace(tzinfo=UTC)


def test_records_are_dropped_one_by_one_by_query_and_when_completed(tasks: Tasks) -> None:
    for number in range(6):
        tasks.add_record(f"t{number}", record(completed=NOON if number < 4 else None))
    tasks.drop_record("t0")
    assert tasks.drop_matching_records({"msg_id": "t5"}) == 1
    assert tasks.purge({"msg_id": {"$in": ["t1", "t4"]}}) == 1
    assert tasks.purge(records=1) == 1
    assert tasks.purge() == 1
    assert [each["msg_id"] for each in tasks.find_records({}, ["label"])] == ["t4"]


def test_waiting_ends_when_the_task_does(tasks: Tasks) -> None:
    tasks.add_record("a", record())
    assert not tasks.wait(["a"], 0.01)
    ended = []
    waiter = threading.Thread(target=lambda: ended.append(tasks.wait(["a"], 60)))
    waiter.start()
    tasks.update_record("a", {"completed": NOON})
    waiter.join(60)
    assert ended == [True]


def test_a_function_runs_as_a_task_and_its_result_is_in_the_record(tasks: Tasks) -> None:
    task = tasks.submit(divmod, 17, 5, label="sum")
    assert task.result(30) == (3, 2)
    assert tasks.wait([task.msg_id], 30)
    assert tasks.wait(task.msg_id, 0)
    (found,) = tasks.db_query({"label": "sum"})
    assert found["completed"] is not None
    assert tasks.get_result(task.msg_id, 30, trust=True) == (3, 2)


def test_a_need_is_a_precondition_that_somebody_declares_met(cache: Cache) -> None:
    task = cache.tasks.submit(len, "abc", needs=["inputs ready"])
    assert not task.done()
    cache.met("inputs ready")
    assert task.result(60) == 3


# -- of a server only -------------------------------------------------------------------------


def test_a_pickle_that_came_through_a_server_is_loaded_only_on_trust(tmp_path: Path) -> None:
    with (
        serving(tmp_path / "root") as served,
        served.remote(tmp_path / "a") as one,
        served.remote(tmp_path / "b") as two,
    ):
        task = one.tasks.submit(divmod, 17, 5)
        task.result(30)
        assert not two.tasks.is_own(task.msg_id)
        with pytest.raises(errors.ResultUnavailableError):
            two.tasks.get_result(task.msg_id, 30)
        assert two.tasks.get_result(task.msg_id, 30, trust=True) == (3, 2)


def test_limits_that_there_are_none_of_are_refused(tmp_path: Path) -> None:
    with serving(tmp_path / "root") as served, served.remote(tmp_path / "a") as node:
        for params in ((None, {"colour": 1}), (5,)):
            with pytest.raises(errors.RefusedRequestError):
                node.rpc("task.purge", *params)
