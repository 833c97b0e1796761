from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from fscache import errors
from fscache.remote.tasks import RemoteTasks
from fscache.server.limits import MAX_CALL, MAX_VALUE
from fscache.tasks.model import NaiveDatetimeWarning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.servers import Serving

EIGHT = datetime(2025, 6, 1, 8, tzinfo=UTC)
TEXT = "2025-06-01T04:00:00"


@pytest.fixture
def new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_record_may_have_more_bytes_than_a_document(served: Serving, tmp_path: Path) -> None:
    large = os.urandom(MAX_CALL)
    with served.remote(tmp_path / "node") as node:
        node.tasks.add_record("a", {"buffers": [large, b"small"], "result_buffers": None})
        assert node.tasks.get_record("a")["buffers"] == [large, b"small"]
        node.tasks.update_record("a", {"result_buffers": [large, large]})
        (found,) = node.tasks.find_records({"msg_id": "a"}, ["result_buffers"])
        assert found["result_buffers"] == [large, large]
        with pytest.raises(errors.RefusedRequestError, match=f"at most {MAX_VALUE} bytes"):
            node.tasks.update_record("a", {"buffers": [large] * 4})


@pytest.mark.usefixtures("new_york")
@pytest.mark.parametrize(
    ("query", "sent"),
    [
        ({"submitted": TEXT}, {"submitted": EIGHT}),
        ({"complete": {"$not": {"$lt": TEXT}}}, {"complete": {"$not": {"$lt": EIGHT}}}),
        (
            {"$or": [{"started": {"$in": iter([TEXT, None])}}]},
            {"$or": [{"started": {"$in": [EIGHT, None]}}]},
        ),
        ({"received": {"$gt": "now"}}, {"received": {"$gt": "now"}}),
        ({"content": {"$eq": {"submitted": TEXT}}}, {"content": {"$eq": {"submitted": TEXT}}}),
    ],
)
@pytest.mark.filterwarnings("ignore::fscache.tasks.model.NaiveDatetimeWarning")
def test_the_text_of_a_time_without_a_zone_is_this_machines_not_the_servers(
    query: dict[str, Any], sent: dict[str, Any]
) -> None:
    asked: list[Any] = []

    def rpc(_method: str, *params: Any, **_options: Any) -> int:
        asked.append(params[0])
        return 0

    tasks = RemoteTasks(rpc, now=time.time, resolve=lambda _need: None)  # type: ignore[arg-type]
    tasks.count(query)
    assert asked == [sent]


@pytest.mark.usefixtures("new_york")
def test_it_warns_of_the_text_as_it_does_of_a_datetime() -> None:
    tasks = RemoteTasks(lambda *_: 0, now=time.time, resolve=lambda _need: None)  # type: ignore[arg-type]
    with pytest.warns(NaiveDatetimeWarning, match="local time"):
        tasks.count({"submitted": TEXT})
