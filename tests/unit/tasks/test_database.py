"""The task database over files and in memory: one set of promises for both."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from fscache import errors
from fscache.tasks import backends
from tests.unit.tasks.conftest import START

if TYPE_CHECKING:
    from fscache.records.root import Root
    from fscache.tasks.database import TaskDatabase


def fill(tasks: TaskDatabase, count: int = 10) -> None:
    for number in range(count):
        record = {
            "submitted": START + timedelta(minutes=number),
            "client_uuid": f"client-{number % 2}",
            "engine_uuid": f"engine-{number % 4}",
            "buffers": [b"x" * number],
        }
        tasks.add_record(f"id-{number}", record)


def test_a_record_comes_back_with_every_key(tasks: TaskDatabase) -> None:
    fill(tasks, 1)
    record = tasks.get_record("id-0")
    assert record["msg_id"] == "id-0"
    assert record["submitted"] == START
    assert record["started"] is None
    assert [bytes(b) for b in record["buffers"]] == [b""]


def test_a_second_add_and_a_missing_id_are_key_errors(tasks: TaskDatabase) -> None:
    fill(tasks, 1)
    with pytest.raises(errors.TaskExistsError):
        tasks.add_record("id-0", {})
    with pytest.raises(KeyError):
        tasks.get_record("none")
    with pytest.raises(KeyError):
        tasks.update_record("none", {"stdout": "x"})


def test_an_update_is_seen_and_a_dropped_record_is_gone(tasks: TaskDatabase) -> None:
    fill(tasks, 2)
    tasks.update_record("id-0", {"completed": START + timedelta(hours=1), "stdout": "done"})
    assert tasks.get_record("id-0")["stdout"] == "done"
    tasks.drop_record("id-0")
    with pytest.raises(KeyError):
        tasks.get_record("id-0")
    assert tasks.get_history() == ["id-1"]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"client_uuid": "client-1", "engine_uuid": "engine-3"}, [3, 7]),
        ({"engine_uuid": {"$in": ["engine-2", "engine-3"]}}, [2, 3, 6, 7]),
        ({"client_uuid": {"$ne": "client-0"}}, [1, 3, 5, 7, 9]),
        ({"submitted": {"$gte": START + timedelta(minutes=8)}}, [8, 9]),
        ({"submitted": {"$ge": START + timedelta(minutes=8)}}, [9]),
        ({"submitted": {"$lt": START + timedelta(minutes=2)}}, [0, 1]),
        ({"completed": None}, list(range(10))),
        ({"completed": {"$lt": START + timedelta(days=1)}}, []),
        ({"$or": [{"msg_id": "id-1"}, {"msg_id": "id-2"}]}, [1, 2]),
    ],
)
def test_queries_find_what_they_say(
    tasks: TaskDatabase, query: dict[str, object], ids: list[int]
) -> None:
    fill(tasks)
    found = tasks.db_query(query, keys=["msg_id"])
    assert sorted(record["msg_id"] for record in found) == [f"id-{number}" for number in ids]


def test_an_unknown_operator_or_field_says_what_was_meant(tasks: TaskDatabase) -> None:
    fill(tasks, 1)
    with pytest.raises(KeyError, match=r"\$gte"):
        tasks.db_query({"submitted": {"$gtee": START}})
    with pytest.raises(KeyError, match="submitted"):
        tasks.db_query({"submited": START})


def test_records_are_there_after_reopening(root: Root) -> None:
    first = backends.in_files(root)
    fill(first, 5)
    first.update_record("id-3", {"stdout": "x" * 10_000, "result_buffers": [b"y" * 100_000]})
    second = backends.in_files(root)  # the first one was never closed
    try:
        assert second.get_history() == [f"id-{number}" for number in range(5)]
        record = second.get_record("id-3")
        assert record["stdout"] == "x" * 10_000
        assert [bytes(b) for b in record["result_buffers"]] == [b"y" * 100_000]
        first.add_record("later", {"submitted": START})
        assert second.get_record("later")["submitted"] == START
    finally:
        second.close()
        first.close()
