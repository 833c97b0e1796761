"""Promises of fscache.cli.tasks: filters are queries, states are those of the words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from fscache.cli import tasks
from fscache.errors import InvalidFilterError
from fscache.tasks import backends

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fscache.tasks.database import TaskDatabase
    from tests.conftest import Clock

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

RECORDS: dict[str, dict[str, Any]] = {
    tasks.QUEUED: {},
    tasks.RUNNING: {"engine_uuid": "e1", "started": NOW - HOUR / 2},
    "given": {"engine_uuid": "e2"},
    tasks.DONE: {
        "started": NOW - 2 * HOUR, "completed": NOW - HOUR, "result_content": {"status": "ok"},
        "engine_uuid": "e1", "label": "a.b*c",
    },
    "silent": {"started": NOW - 2 * HOUR, "completed": NOW, "engine_uuid": "e1"},
    tasks.FAILED: {"completed": NOW, "result_content": {"status": "error"}, "label": "aXbcc"},
    tasks.CANCELLED: {"completed": NOW, "result_content": {"status": "aborted"}},
}  # fmt: skip
STATES = {"given": tasks.RUNNING, "silent": tasks.DONE}


@pytest.fixture
def database(clock: Clock) -> Iterator[TaskDatabase]:
    made = backends.in_memory(clock)
    for name, record in RECORDS.items():
        made.add_record(name, {"submitted": NOW - 3 * HOUR, **record})
    yield made
    made.close()


def found(database: TaskDatabase, text: str) -> list[str]:
    query = tasks.parse_filter(text, NOW)
    return [str(record["msg_id"]) for record in database.find_records(query, ["msg_id"])]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("started>1h", ["done", "silent"]),
        ("started>=2h", ["done", "silent"]),
        ("started > 2h", []),
        ("started<1h", ["running"]),
        ("started<=30m", ["running"]),
        ("completed<1s", ["silent", "failed", "cancelled"]),
        ("complete>30m", ["done"]),
        ("state=queued", ["queued"]),
        ("state=running", ["running", "given"]),
        ("state=pending", ["queued", "running", "given"]),
        ("state=done", ["done", "silent"]),
        ("state=failed", ["failed"]),
        ("state=cancelled", ["cancelled"]),
        ("state!=pending", ["done", "silent", "failed", "cancelled"]),
        ("label=a.b*c", ["done"]),
        ("label~.b*", ["done"]),
        ("label~b", ["done", "failed"]),
        ("label!~c", ["queued", "running", "given", "silent", "cancelled"]),
        ("engine_uuid!=e1", ["queued", "given", "failed", "cancelled"]),
        ("result_content.status=ok", ["done"]),
    ],
)
def test_a_filter_finds_what_it_says(database: TaskDatabase, text: str, names: list[str]) -> None:
    assert found(database, text) == names


@pytest.mark.parametrize(
    "text",
    [
        *("", "started", "=x", "started=1h", "started~1h", "started>", "started>yesterday"),
        *("started>99999999999999d", "label>3", "state>done", "state=finished", "state~done"),
    ],
)
def test_a_filter_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidFilterError) as caught:
        tasks.parse_filter(text, NOW)
    assert caught.value.text == text


@pytest.mark.parametrize("name", RECORDS)
def test_the_word_for_a_state_and_its_filter_agree(database: TaskDatabase, name: str) -> None:
    state = tasks.state_of(database.get_record(name))
    assert state == STATES.get(name, name)
    assert name in found(database, f"state={state}")


def test_what_a_task_does_is_told_in_one_line(database: TaskDatabase) -> None:
    for record, told in (
        ({"content": {"function": "m:f"}}, "m:f"),
        ({"content": {"code": "\n  x = 1\ny = 2"}}, "x = 1"),
        ({"content": {}, "header": {"msg_type": "apply_request"}}, "apply_request"),
        ({"content": "text", "header": None}, ""),
        ({}, ""),
    ):
        assert tasks.task_of({"content": None, "header": None, **record}) == told


def test_listed_are_the_latest_first_and_those_without_a_date_last(
    database: TaskDatabase,
) -> None:
    database.add_record("stub", {})
    database.add_record("new", {"submitted": NOW})
    for limit in (None, 3):
        records = tasks.listed(database, {"$nor": [{"msg_id": "given"}]}, limit=limit)
        names = ["new", "queued", "running", "done", "silent", "failed", "cancelled", "stub"]
        assert [record["msg_id"] for record in records] == names[:limit]
    earliest = tasks.listed(database, {}, reverse=True, limit=1)
    assert earliest[0]["msg_id"] == "queued"
    last = tasks.listed(database, {"completed": {"$ne": None}}, "completed")
    assert [record["msg_id"] for record in last] == ["silent", "failed", "cancelled", "done"]


def test_records_become_json(database: TaskDatabase) -> None:
    database.add_record(
        "all",
        {
            "submitted": NOW,
            "buffers": [b"abc", b""],
            "header": {"date": NOW, "parts": [b"\xff", NOW]},
        },
    )
    told = tasks.as_json(database.get_record("all"))
    assert told["submitted"] == "2026-01-01T12:00:00+00:00"
    assert told["buffers"] == [3, 0]
    assert told["header"]["parts"] == [{"$bytes": "/w=="}, told["submitted"]]
