"""Promises of folding: what comes back is what was given, whatever it is; what is known becomes short."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fscache.tasks import frames, model, shapes, values
from fscache.tasks.frames import ADD
from fscache.tasks.segment import HEADER
from fscache.tasks.writing import make_frame
from tests.support import commands
from tests.unit.tasks.conftest import START

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.records.root import Root
    from fscache.tasks.database import TaskDatabase

VERSION_1 = os.path.join(os.path.dirname(commands.__file__), "tasks-version-1.log")
NAMES = ["a-task's-id", "a client", "an engine"]
TEXTS = {shapes.CLIENT: NAMES[1], shapes.ENGINE: NAMES[2]}
CELLS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.sampled_from([*NAMES, "", "other", START, START.astimezone(timezone(timedelta(hours=2)))])
    | st.lists(st.integers(0, 9), max_size=3)
    | st.sampled_from([{}, {"\x01time": 5}, {"n": [None]}])
)


def _filled(shape: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(dict.fromkeys(shape, CELLS))


INNER = st.sampled_from(shapes.INNER).flatmap(_filled)
OTHER = st.dictionaries(st.sampled_from(["date", "msg_id", "session", "x"]), CELLS, max_size=4)


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    shape = draw(st.sampled_from([*shapes.BODIES, ("header",), ("header", "own")]))
    return {
        key: draw(INNER | OTHER | (CELLS if draw(st.booleans()) else INNER))
        if key.endswith(("header", "metadata"))
        else draw(CELLS)
        for key in shape
    }


def read_again(msg_id: str, record: dict[str, Any]) -> Any:
    """Return what a reader makes of the frame that says `record`; without buffers."""
    data, _ = frames.encode(make_frame(ADD, 1, msg_id, record, None))  # type: ignore[arg-type]
    json, meta, at = frames.body_of(data)
    body: Any = values.decode(json)
    return shapes.unfold(body, msg_id, frames.texts_of(meta, at)) if type(body) is list else body


@given(body=bodies(), client=st.sampled_from([None, *NAMES, 7]), known=st.booleans())
def test_what_is_folded_comes_back(body: dict[str, Any], client: Any, known: bool) -> None:
    texts: Any = {**TEXTS, shapes.CLIENT: client} if known else {}
    plain = values.decode(values.encode(body))  # what JSON makes of it is told elsewhere
    number, spots = shapes.shape_of(tuple(body))
    own = [*map(texts.get, range(len(model.TEXTS))), NAMES[0]]
    cells = [number, *body.values()]
    is_folded = spots is not None and shapes.fold(cells, spots, own)
    folded: Any = values.decode(values.encode(cells if is_folded else body))
    if isinstance(folded, list):
        folded = shapes.unfold(folded, NAMES[0], texts)
    assert values.encode(folded) == values.encode(
        plain
    )  # 1, 1.0 and True are equal, their JSON is not


def request(msg_id: str) -> dict[str, Any]:
    """Return what ipyparallel 9's hub writes of a request, with jupyter_client 8."""
    session = "0a1b2c3d-5f0a8d1c2b3e4f607182930a"
    return {
        "header": {
            "msg_id": msg_id,
            "msg_type": "apply_request",
            "username": "ann",
            "session": session,
            "date": START,
            "version": "5.3",
        },
        "content": {},
        "metadata": dict.fromkeys(("after", "follow", "timeout", "targets", "retries", "label")),
        "client_uuid": session,
        "stdout": "",
        "stderr": "",
        "buffers": [],
    }


@pytest.mark.parametrize("length", [1, 50, 60_000])
def test_a_controllers_request_is_short(length: int) -> None:
    record = request("i" * length)
    body = {key: record[key] for key in shapes.BODIES[1]}
    ordered = {key: record[key] for key in ("client_uuid", *shapes.BODIES[1])}
    frame = make_frame(ADD, 1, "i" * length, ordered, None)  # type: ignore[arg-type]
    assert len(frame.json) < 120
    assert read_again("i" * length, ordered) == body


def test_odd_records_are_kept_as_they_are(tasks: TaskDatabase) -> None:
    odd = request("id")
    naive = datetime(2025, 6, 1)  # noqa: DTZ001 - what this is about
    for number, changes in enumerate(
        [
            {"msg_id": None},
            {"msg_id": ["id"]},
            {"session": None},
            {"session": 65534},
            {"date": 5},
            {"date": True},
            {"date": "2025-06-01"},
            {"version": {"a": START}},
        ]
    ):
        name = f"{number}"
        record = {**odd, "header": odd["header"] | changes}
        tasks.add_record(name, record)
        assert tasks.get_record(name)["header"] == record["header"]
    long = "x" * 70_000
    tasks.add_record(
        "long", odd | {"client_uuid": long, "header": odd["header"] | {"session": long}}
    )
    assert tasks.get_record("long")["header"]["session"] == long  # type: ignore[index]
    with pytest.warns(UserWarning, match="no time zone"):
        tasks.add_record("naive", odd | {"header": odd["header"] | {"date": naive}})
    assert tasks.get_record("naive")["header"]["date"] == naive.astimezone(UTC)  # type: ignore[index]


@pytest.mark.parametrize("cells", [[], [99], [0], ["a"], [None], [0, [0], {}, {}, 1, "", ""]])
def test_what_is_no_folded_body_is_a_value_error(cells: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"folded|shorter|not enough"):
        shapes.unfold(cells, "id", {})


# -- older segments -----------------------------------------------------------------------------------


def test_a_segment_of_version_1_is_read_and_goes_on(
    root: Root, open_tasks: Callable[..., TaskDatabase]
) -> None:
    path = f"{root.path}/tasks/00060a24181e4000-000000000000.log"
    shutil.copyfile(VERSION_1, path)
    tasks = open_tasks()
    _judge_version_1(tasks)
    tasks.update_record("session_1", {"stdout": "said later"})
    os.chmod(path, 0o444)  # finished: it can be rewritten
    tasks.compact()
    assert not os.path.exists(path)
    for each in (tasks, open_tasks()):
        assert each.get_record("session_1")["stdout"] == "said later"
        each.update_record("session_1", {"stdout": ""})
        _judge_version_1(each)
        each.update_record("session_1", {"stdout": "said later"})
    for name in os.listdir(f"{root.path}/tasks"):
        if name.endswith(".log"):
            with open(f"{root.path}/tasks/{name}", "rb") as file:
                assert file.read(len(HEADER)) == HEADER


def _judge_version_1(tasks: TaskDatabase) -> None:
    first, second, third = tasks.find_records({})
    for number, record in enumerate((first, second, third)):
        expected = request(f"session_{number}")
        assert record["header"] == expected["header"] | {"session": "session"}
        assert list(record["metadata"]) == list(expected["metadata"])  # type: ignore[call-overload]
        assert record["own"] == [number, {"a": None}]
        assert (record["engine_uuid"], record["queue"]) == ("engine", "task")
        assert record["submitted"] == START + timedelta(seconds=number)
    assert (first["buffers"], second["buffers"]) == ([b"replaced"], [b"request 1"])
    assert (first["result_buffers"], third["result_buffers"]) == ([b"reply"], None)
    assert second["result_header"]["msg_id"] == "other"  # type: ignore[index]
    assert (second["completed"], third["completed"]) == (START, None)
    assert (second["stdout"], third["stdout"]) == ("", "line\n" * 30)
