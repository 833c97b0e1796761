"""The example queries of IPython's documentation, as they are written there.

`rc` is a client there; here it is what answers for one: the database, its session and its engines.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from fscache.tasks import backends
from fscache.tasks.model import NaiveDatetimeWarning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fscache.records.root import Root
    from fscache.tasks.database import TaskDatabase
    from tests.conftest import Clock

ENGINES = {number: f"engine-{number}" for number in range(6)}


@dataclass
class Session:
    session: str = "me"


class Client:
    def __init__(self, tasks: TaskDatabase) -> None:
        self.db_query = tasks.db_query
        self.session = Session()
        self._engines = ENGINES


@pytest.fixture(params=["files", "memory"])
def rc(request: pytest.FixtureRequest, root: Root, clock: Clock) -> Iterator[Client]:
    tasks = backends.in_files(root) if request.param == "files" else backends.in_memory(clock)
    now = datetime.now().astimezone()
    for number, hours in enumerate((0, 0.5, 2, 3, 0.2, 5)):
        started = now - timedelta(hours=hours)
        record: dict[str, Any] = {
            "submitted": started,
            "started": started if number else None,
            "client_uuid": ("me", "you")[number % 2],
            "engine_uuid": ENGINES[number],
            "buffers": [b"request"],
        }
        if number > 1:
            record |= {
                "completed": now,
                "result_header": {"engine": number},
                "result_buffers": [b"result"],
            }
        tasks.add_record(f"task-{number}", record)
    yield Client(tasks)
    tasks.close()


def ids(records: list[dict[str, Any]]) -> list[str]:
    return [record["msg_id"] for record in records]


def test_incomplete_tasks_with_id_and_start_alone(rc: Any) -> None:
    incomplete = rc.db_query({"complete": None}, keys=["msg_id", "started"])
    assert ids(incomplete) == ["task-0", "task-1"]
    assert set(incomplete[0]) == {"msg_id", "started"}
    assert incomplete == rc.db_query({"completed": None}, keys=["msg_id", "started"])


def test_started_in_the_last_hour_by_me(rc: Any) -> None:
    hourago = datetime.now() - timedelta(1.0 / 24)  # noqa: DTZ005 - as it stands there
    with pytest.warns(NaiveDatetimeWarning, match="local time"):
        recent = rc.db_query({"started": {"$gte": hourago}, "client_uuid": rc.session.session})
    assert ids(recent) == ["task-4"]
    assert not {"buffers", "result_buffers"} & set(recent[0])
    assert recent[0]["result_header"] == {"engine": 4}


def test_started_more_than_an_hour_ago_by_clients_other_than_me(rc: Any) -> None:
    hourago = datetime.now() - timedelta(1.0 / 24)  # noqa: DTZ005 - as it stands there
    with pytest.warns(NaiveDatetimeWarning):
        recent = rc.db_query(
            {"started": {"$le": hourago}, "client_uuid": {"$ne": rc.session.session}}
        )
    assert ids(recent) == ["task-3", "task-5"]


def test_result_headers_of_engines_3_or_4(rc: Any) -> None:
    uuids = map(rc._engines.get, (3, 4))
    hist34 = rc.db_query({"engine_uuid": {"$in": uuids}}, keys="result_header")
    assert hist34 == [
        {"msg_id": "task-3", "result_header": {"engine": 3}},
        {"msg_id": "task-4", "result_header": {"engine": 4}},
    ]


@pytest.mark.parametrize(
    ("operator", "operand", "numbers"),
    [
        ("$in", [1, 3], [1, 3]),
        ("$nin", [1, 3], [0, 2, 4]),
        ("$eq", 2, [2]),
        ("$ne", 2, [0, 1, 3, 4]),
        ("$ge", 2, [3, 4]),  # >, as the table says
        ("$gt", 2, [3, 4]),
        ("$gte", 2, [2, 3, 4]),
        ("$le", 2, [0, 1]),  # <
        ("$lt", 2, [0, 1]),
        ("$lte", 2, [0, 1, 2]),
    ],
)
def test_the_table_of_operators(
    clock: Clock, operator: str, operand: Any, numbers: list[int]
) -> None:
    tasks = backends.in_memory(clock)
    for number in range(5):
        tasks.add_record(f"{number}", {"metadata": {"n": number}})
    found = tasks.db_query({"metadata.n": {operator: operand}}, ["msg_id"])
    assert [int(str(record["msg_id"])) for record in found] == numbers
    tasks.close()
