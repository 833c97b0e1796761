"""Promises of the record face: what may be given, what comes back, and whose it is."""

from __future__ import annotations

import array
import pickle
from copy import deepcopy
from datetime import UTC, date, datetime, timedelta, timezone
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from fscache import errors
from fscache.tasks.buffers import Buffers
from fscache.tasks.model import FIELDS, NaiveDatetimeWarning
from tests.unit.tasks.conftest import START

if TYPE_CHECKING:
    from fscache.tasks.database import TaskDatabase


def ids(found: list[dict[str, Any]]) -> list[Any]:
    return [record["msg_id"] for record in found]


# -- what comes back ----------------------------------------------------------------------------------


def test_every_value_that_a_controller_gives_comes_back(tasks: TaskDatabase) -> None:
    record = {
        "header": {"msg_id": "a", "date": START, "version": "5.3"},
        "metadata": {"retries": 0, "after": [], "timeout": None, "started": START.isoformat()},
        "content": {"text": "ü\u2028\ud800", "n": [1, 2.5, -(10**30), True, None]},
        "submitted": START,
        "started": START + timedelta(microseconds=1),
        "completed": None,
        "client_uuid": "ü" * 300,
        "engine_uuid": "",
        "queue": "task",
        "execute_result": {"data": {"text/plain": "7"}, "b": b"\x00\xff"},
        "error": {"traceback": ["line"] * 50},
        "stdout": "x\ny",
        "stderr": "",
        "resubmitted": "b",
        "label": None,
        "display_data": [{"data": {}}],
        "my own key": 7,
    }
    tasks.add_record("a", {**record, "msg_id": "ignored"})
    found = tasks.get_record("a")
    assert found == {**dict.fromkeys(FIELDS), **record, "msg_id": "a"}
    assert found["submitted"].tzinfo is UTC  # type: ignore[attr-defined]


def test_records_with_the_same_keys_are_told_apart(tasks: TaskDatabase) -> None:
    """What is made out of a list of keys is used again: whatever the values, and keys that are equal."""
    request = {"header": {"a": 1}, "metadata": {}, "content": {}, "buffers": [b"1"]}
    full = request | {"stdout": "", "stderr": "", "submitted": START, "label": "l"}
    others: list[dict[str, Any]] = [
        full,
        dict(reversed(full.items())),
        full | {"header": None},
        full | {"header": ["no", "mapping"], "label": 5},
        full | {"buffers": None, "submitted": None, "label": None},
        full | {"label": "l" * 70_000, "content": {"text": "c" * 70_000}},
        full | {"content": {"text": "c" * 70_000}},
    ]
    for number, record in enumerate(others * 2):
        tasks.add_record(f"added {number}", record)
        tasks.add_record(f"updated {number}", full)
        tasks.update_record(f"updated {number}", record)
        for kind in ("added", "updated"):
            found = tasks.get_record(f"{kind} {number}")
            assert {key: found[key] for key in record} == record
    for number, key in enumerate((1, True, 1.0)):
        tasks.add_record(f"own {number}", {key: "said"})
        assert tasks.get_record(f"own {number}")[("1", "true", "1.0")[number]] == "said"


def test_what_is_no_json_is_degraded_not_refused(tasks: TaskDatabase) -> None:
    loop: list[object] = []
    loop.append(loop)
    tasks.add_record("a", {"content": {1: (1, {2}), "object": object(), "loop": loop}})
    content: Any = tasks.get_record("a")["content"]
    assert content["1"] == [1, [2]]
    assert "object at" in content["object"]


def test_what_is_returned_is_the_callers_own(tasks: TaskDatabase) -> None:
    given: dict[str, Any] = {"header": {"n": [1]}, "buffers": [bytearray(b"abc")]}
    tasks.add_record("a", given)
    given["header"]["n"].append(2)
    given["buffers"][0][0] = 0
    for _ in range(2):
        found: Any = tasks.get_record("a")
        assert found["header"] == {"n": [1]}
        assert found.pop("buffers") == [b"abc"]
        found["header"]["n"].append(3)


def test_keys_may_be_one_many_or_none_and_are_never_changed(tasks: TaskDatabase) -> None:
    tasks.add_record("a", {"buffers": [b"x"], "stdout": "text", "engine_uuid": "e"})
    wanted = ["stdout", "engine_uuid"]
    expected = [{"msg_id": "a", "stdout": "text", "engine_uuid": "e"}]
    assert tasks.find_records({}, wanted) == tasks.find_records({}, tuple(wanted)) == expected
    assert wanted == ["stdout", "engine_uuid"]
    assert tasks.find_records({}, "completed") == [{"msg_id": "a", "completed": None}]
    for keys in (None, [], ()):
        assert tasks.find_records({}, keys)[0]["buffers"] == [b"x"]
        assert "buffers" not in tasks.db_query({}, keys)[0]
        assert "result_buffers" not in tasks.db_query({}, keys)[0]
    assert tasks.db_query({}, ["buffers"]) == [{"msg_id": "a", "buffers": [b"x"]}]
    assert tasks.find_records({}, ["complete"]) == [{"msg_id": "a", "completed": None}]


def test_history_is_by_submission_and_leaves_out_what_never_was(tasks: TaskDatabase) -> None:
    for name, minutes in (("late", 5), ("early", 1), ("same", 5), ("never", None)):
        when = None if minutes is None else START + timedelta(minutes=minutes)
        tasks.add_record(name, {"submitted": when})
    assert tasks.get_history() == ["early", "late", "same"]
    tasks.update_record("early", {"submitted": START + timedelta(hours=1)})
    tasks.update_record("never", {"submitted": START})
    tasks.drop_record("same")
    assert tasks.get_history() == ["never", "late", "early"]


def test_a_stub_that_output_came_for_first_is_filled_later(tasks: TaskDatabase) -> None:
    tasks.add_record("a", {"stdout": "early"})
    tasks.update_record("a", {"submitted": START, "buffers": [b"x"], "header": {"a": 1}})
    record = tasks.get_record("a")
    assert (record["stdout"], record["buffers"], record["header"]) == ("early", [b"x"], {"a": 1})
    tasks.update_record("a", {})
    assert tasks.get_record("a") == record
    tasks.update_record("a", {"buffers": None, "header": None, "stdout": None})
    record = tasks.get_record("a")
    assert (record["stdout"], record["buffers"], record["header"]) == (None, None, None)


@pytest.mark.parametrize("before", [[], [b""], [b"x"], [b"x" * 10_000]])
def test_buffers_become_none_and_others_again(tasks: TaskDatabase, before: list[bytes]) -> None:
    tasks.add_record("a", {"buffers": before, "result_buffers": before})
    tasks.update_record("a", {"buffers": None})
    assert tasks.get_record("a")["buffers"] is None
    assert tasks.get_record("a")["result_buffers"] == before
    tasks.update_record("a", {"buffers": [b"new"], "result_buffers": []})
    assert tasks.get_record("a")["buffers"] == [b"new"]
    assert tasks.get_record("a")["result_buffers"] == []


# -- buffers -------------------------------------------------------------------------------------------


def test_buffers_are_whatever_has_bytes(tasks: TaskDatabase) -> None:
    numbers = array.array("d", [1.0, 2.0, 3.0])
    given = [b"bytes", bytearray(b"array"), memoryview(b"view")[1:], memoryview(numbers)]
    tasks.add_record("a", {"buffers": given})
    found: Any = tasks.get_record("a")["buffers"]
    assert [bytes(each) for each in found] == [b"bytes", b"array", b"iew", numbers.tobytes()]
    assert (len(found), found.nbytes, found[3], found[1:3]) == (
        *(4, 37, numbers.tobytes()),
        [b"array", b"iew"],
    )


def test_lazy_buffers_behave_as_a_list(tasks: TaskDatabase) -> None:
    data = [b"a", b"", b"large" * 20_000]
    tasks.add_record("a", {"buffers": data})
    tasks.add_record("b", {"buffers": data})
    first: Any = tasks.get_record("a")["buffers"]
    second: Any = tasks.get_record("b")["buffers"]
    assert isinstance(first, Buffers)
    assert first == data
    assert data == first
    assert first == second
    assert first != data[:2]
    assert first != "abc"
    assert deepcopy(first) == data
    assert pickle.loads(pickle.dumps(first)) == data
    assert list(reversed(first)) == data[::-1]
    assert b"a" in first
    with pytest.raises(IndexError):
        first[3]
    with pytest.raises(TypeError):
        first[0] = b"x"


def test_bad_buffers_are_refused(tasks: TaskDatabase) -> None:
    for bad in ("text", b"bytes", ["text"], [None], 7):
        with pytest.raises(errors.InvalidRecordError):
            tasks.add_record("a", {"buffers": bad})
    assert tasks.count({}) == 0


# -- ids ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "msg_id", ["a/b", "../../etc/passwd", "..", ".", "\x00", "ü\n\r", " ", "$eq", "x" * 60_000]
)
def test_any_text_is_an_id(tasks: TaskDatabase, msg_id: str) -> None:
    tasks.add_record(msg_id, {"buffers": [b"large" * 2000], "submitted": START})
    tasks.update_record(msg_id, {"stdout": "x"})
    assert tasks.get_record(msg_id)["msg_id"] == msg_id
    assert ids(tasks.find_records({"msg_id": msg_id}, ["msg_id"])) == [msg_id]
    assert tasks.get_history() == [msg_id]
    tasks.drop_record(msg_id)
    assert tasks.count({}) == 0


@pytest.mark.parametrize("msg_id", ["", "x" * 70_000, "\ud800", None, 7, b"bytes"])
def test_what_is_no_id_is_refused(tasks: TaskDatabase, msg_id: Any) -> None:
    with pytest.raises(errors.InvalidRecordError):
        tasks.add_record(msg_id, {})
    with pytest.raises(errors.NoSuchTaskError):
        tasks.get_record(msg_id)
    with pytest.raises(errors.NoSuchTaskError):
        tasks.drop_record(msg_id)


def test_duplicates_missing_ids_and_changed_ids_are_refused(tasks: TaskDatabase) -> None:
    tasks.add_record("a", {"stdout": "first"})
    for attempt in (
        *(lambda: tasks.add_record("a", {"stdout": "second"}), lambda: tasks.get_record("b")),
        *(lambda: tasks.update_record("b", {"stdout": "x"}), lambda: tasks.drop_record("b")),
    ):
        with pytest.raises(KeyError):
            attempt()
    with pytest.raises(errors.InvalidRecordError):
        tasks.update_record("a", {"msg_id": "b"})
    tasks.update_record("a", {"msg_id": "a", "stdout": "third"})
    assert tasks.get_record("a")["stdout"] == "third"
    tasks.drop_record("a")
    tasks.add_record("a", {})
    assert tasks.get_record("a")["stdout"] is None


# -- times ----------------------------------------------------------------------------------------------


def test_times_are_instants_whatever_their_zone(tasks: TaskDatabase) -> None:
    east = timezone(timedelta(hours=2))
    tasks.add_record("a", {"submitted": START.astimezone(east), "header": {"date": START}})
    record: Any = tasks.get_record("a")
    assert (record["submitted"], record["submitted"].tzinfo) == (START, UTC)
    for query in (
        {"submitted": START},
        {"submitted": {"$gte": START.astimezone(east)}},
        {"submitted": {"$in": [START.astimezone(east)]}},
        {"submitted": START.astimezone(east).isoformat()},
        {"header.date": {"$lte": START.astimezone(east)}},
    ):
        assert tasks.count(query) == 1, query


def test_naive_times_are_local_ones_with_a_warning(
    tasks: TaskDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        naive = datetime(2025, 6, 1, 8)  # noqa: DTZ001 - it is what is tested
        with pytest.warns(NaiveDatetimeWarning, match="taken as local time") as told:
            tasks.add_record("a", {"submitted": naive})
        assert told[0].filename == __file__  # the line to be mended, not one of ours
        assert tasks.get_record("a")["submitted"] == START
        with pytest.warns(NaiveDatetimeWarning):
            assert tasks.count({"submitted": {"$in": [naive]}}) == 1
        with pytest.warns(NaiveDatetimeWarning):
            assert tasks.count({"submitted": {"$gt": naive}}) == 0
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("record", [None, [], "text", 5])
def test_a_record_is_a_mapping(tasks: TaskDatabase, record: Any) -> None:
    with pytest.raises(errors.InvalidRecordError, match="a record is a mapping"):
        tasks.add_record("a", record)
    tasks.add_record("a", MappingProxyType({"label": "x"}))
    with pytest.raises(errors.InvalidRecordError, match="a record is a mapping"):
        tasks.update_record("a", record)
    assert tasks.get_record("a")["label"] == "x"


def test_an_operator_like_no_other_is_not_guessed_by_its_sign(tasks: TaskDatabase) -> None:
    for given, meant in (
        ("$foo", ""),
        ("$glub", "$glob"),
        ("glob", "$glob"),
        ("$exist", "$exists"),
    ):
        with pytest.raises(errors.UnknownOperatorError) as caught:
            tasks.count({"label": {given: 1}})
        assert caught.value.nearest == meant


@pytest.mark.parametrize("key", ["\x01append", "\x01object"])
def test_the_logs_own_keys_are_nobody_elses(tasks: TaskDatabase, key: str) -> None:
    tasks.add_record("a", {"stdout": "x"})
    for write in (tasks.add_record, tasks.update_record):
        with pytest.raises(errors.InvalidRecordError, match="a key cannot begin"):
            write("b" if write == tasks.add_record else "a", {key: {"stdout": ["0" * 20, 0, 1]}})
    assert [record["stdout"] for record in tasks.find_records({})] == ["x"]


@pytest.mark.parametrize("limit", [{"records": -1}, {"size": -1}, {"age": "1d"}])
def test_a_limit_is_a_number_from_0(tasks: TaskDatabase, limit: Any) -> None:
    tasks.add_record("a", {"submitted": START, "completed": START})
    with pytest.raises(errors.InvalidQueryError, match="is a number from 0"):
        tasks.purge(**limit)
    assert tasks.count({}) == 1


def test_a_date_is_a_datetime_or_none(tasks: TaskDatabase) -> None:
    for bad in ("2025-06-01", 7, START.date()):
        with pytest.raises(errors.InvalidRecordError, match="submitted"):
            tasks.add_record("a", {"submitted": bad})
    tasks.add_record("a", {})
    with pytest.raises(ValueError, match="completed"):
        tasks.update_record("a", {"completed": "now"})
    assert tasks.get_record("a")["completed"] is None


# -- queries: what the property tests do not say --------------------------------------------------------


def test_nulls_are_in_no_range(tasks: TaskDatabase) -> None:
    tasks.add_record("null", {})
    tasks.add_record("set", {"submitted": START, "started": START, "stdout": "b"})
    for field in ("submitted", "started"):
        for operator in ("$lt", "$le", "$lte", "$gt", "$ge", "$gte"):
            for shift in (-1, 1):
                query = {field: {operator: START + timedelta(hours=shift)}}
                assert "null" not in ids(tasks.find_records(query, [])), query
        assert ids(tasks.find_records({field: {"$lt": START + timedelta(hours=1)}})) == ["set"]
    assert ids(tasks.find_records({"stdout": {"$gt": ""}})) == ["set"]


def test_any_number_of_ids(tasks: TaskDatabase) -> None:
    for number in range(50):
        tasks.add_record(f"id-{number}", {"engine_uuid": f"e-{number}"})
    many = [f"id-{number}" for number in range(40, 20_000)]
    assert ids(tasks.find_records({"msg_id": {"$in": many}}, [])) == many[:10]
    assert tasks.count({"msg_id": {"$nin": many}}) == 40
    assert tasks.count({"engine_uuid": {"$in": [f"e-{number}" for number in range(5000)]}}) == 50
    assert tasks.count({"msg_id": {"$in": []}}) == 0
    assert tasks.count({"msg_id": {"$nin": []}}) == 50
    assert tasks.count({"msg_id": {"$in": map(str, range(3))}}) == 0
    assert tasks.drop_matching_records({"msg_id": {"$in": many}}) == 10


@pytest.mark.parametrize("query", [{"submited": 1}, {"heeder.date": 1}, {"$or": [{"queu": 1}]}])
def test_an_unknown_field_is_a_key_error_that_names_the_nearest(
    tasks: TaskDatabase, query: dict[str, Any]
) -> None:
    with pytest.raises(KeyError, match=r"did you mean '(submitted|header|queue)'") as caught:
        tasks.find_records(query)
    assert isinstance(caught.value, errors.UnknownFieldError)
    with pytest.raises(KeyError, match="'completed'"):
        tasks.find_records({}, ["compleeted"])


@pytest.mark.parametrize(
    "query",
    [
        {"submitted": {"$gtt": START}},
        {"submitted": {"gte": START}},
        {"$xor": [{}]},
        {"queue": {"$not": {"$inn": []}}},
        {"$and": [{"queue": {"$glop": "x"}}]},
    ],
)
def test_an_unknown_operator_is_a_key_error_though_there_are_no_records(
    tasks: TaskDatabase, query: dict[str, Any]
) -> None:
    with pytest.raises(errors.UnknownOperatorError, match="did you mean"):
        tasks.find_records(query)
    with pytest.raises(KeyError):
        tasks.drop_matching_records(query)


@pytest.mark.parametrize(
    "query",
    [
        *({"queue": {"$in": "text"}}, {"queue": {"$in": 7}}, {"queue": {"$glob": 7}}),
        *({"queue": {"$regex": "("}}, {"queue": {"$mod": 2}}, {"queue": {"$mod": [0, 1]}}),
        *({"queue": {"$not": "x"}}, {"$or": {}}, {"$and": []}, {"$or": [7]}, [], "text", None),
        *({"submitted": {"$gte": "yesterday"}}, {"submitted": {"$gte": 1795284000}}),
        *({"completed": 0}, {"started": {"$in": [START, "now"]}}, {"complete": {"$ne": True}}),
        *({"received": {"$not": {"$lt": date(2026, 1, 1)}}}, {"started": {"$all": [[None]]}}),
    ],
)
def test_a_query_that_says_nothing_is_an_error(tasks: TaskDatabase, query: Any) -> None:
    with pytest.raises(errors.InvalidQueryError):
        tasks.find_records(query)


def test_the_examples_of_ipythons_documentation(tasks: TaskDatabase) -> None:
    now = datetime.now(UTC)
    hourago = now - timedelta(hours=1)
    for number, (minutes, client, engine, done) in enumerate(
        [(10, "me", "e3", True), (120, "you", "e4", True), (30, "me", "e1", False)]
    ):
        when = now - timedelta(minutes=minutes)
        tasks.add_record(
            f"id-{number}",
            {
                "submitted": when,
                "started": when,
                "completed": now if done else None,
                "client_uuid": client,
                "engine_uuid": engine,
                "result_header": {"engine": engine} if done else None,
            },
        )
    assert ids(tasks.db_query({"complete": None}, keys=["msg_id", "started"])) == ["id-2"]
    mine = {"started": {"$ge": hourago}, "client_uuid": "me"}
    assert ids(tasks.db_query(mine)) == ["id-0", "id-2"]
    others = {"started": {"$le": hourago}, "client_uuid": {"$ne": "me"}}
    assert ids(tasks.db_query(others)) == ["id-1"]
    uuids = map({3: "e3", 4: "e4"}.get, (3, 4))
    assert tasks.db_query({"engine_uuid": {"$in": uuids}}, keys="result_header") == [
        {"msg_id": "id-0", "result_header": {"engine": "e3"}},
        {"msg_id": "id-1", "result_header": {"engine": "e4"}},
    ]
