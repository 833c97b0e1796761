"""Every query finds what the plainest reading of it finds, with and without the index's help."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fscache.tasks import backends
from fscache.tasks.match import compile_query
from fscache.tasks.model import FIELDS
from tests.support.tasks import DATES, matches

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from fscache.tasks.database import TaskDatabase

START = datetime(2025, 6, 1, 12, tzinfo=UTC)
ZONES = [UTC, timezone(timedelta(hours=2)), timezone(timedelta(hours=-9, minutes=-30))]
TEXTS = ["client_uuid", "engine_uuid", "queue", "label"]
WORDS = ["a", "b", "run-1", "Run-2", "run-10", "", "a*b", "[x]", "ü", "2025"]
COMPARED = ["$eq", "$ne", "$lt", "$le", "$lte", "$gt", "$ge", "$gte"]
OTHERS = ["$in", "$nin", "$all", "$exists", "$glob", "$regex", "$mod"]
KNOWN: dict[str, Any] = {"submitted": START, "grade": 1, "engine_uuid": "x" * 20_000}
"""Always there: so the user's key is known, and a text is too long for a column."""


# -- what is drawn: by Hypothesis, which makes failures small, or by a plain generator, which is quick --


def moment(choose: Random) -> datetime:
    return (START + timedelta(minutes=choose.randint(-3, 3))).astimezone(choose.choice(ZONES))


def scalar(choose: Random) -> Any:
    return choose.choice([None, True, False, -1, 0, 1, 2, 6, 0.5, 2.0, 1e300, *WORDS])


def value(choose: Random, depth: int = 2) -> Any:
    kind = choose.randint(0, 5)
    if depth and kind == 0:
        return [value(choose, depth - 1) for _ in range(choose.randint(0, 3))]
    if depth and kind == 1:
        return {
            choose.choice("abn0"): value(choose, depth - 1) for _ in range(choose.randint(0, 3))
        }
    return moment(choose) if kind == 2 else scalar(choose)


def date_operand(choose: Random) -> Any:
    kind = choose.randint(0, 5)
    if kind == 0:
        return None
    return moment(choose).isoformat() if kind == 1 else moment(choose)


GROUPS: list[tuple[tuple[str, ...], Callable[[Random], Any]]] = [
    ((*DATES, "submitted", "completed", "complete"), date_operand),
    ((*TEXTS, "stdout", "result_content", "grade", "msg_id", "error"), scalar),
    (("msg_id",), lambda choose: choose.choice(["id-0", "id-1", "id-2", "known", "none", None])),
    (("header.msg_type", "header.date", "header.n.0", "content.a", "content.0.b"), value),
    (("content", "result_content"), value),
]


def record(choose: Random) -> dict[str, Any]:
    found: dict[str, Any] = {"submitted": choose.choice([None, moment(choose), moment(choose)])}
    for field in (*DATES[1:], *TEXTS, "stdout", "grade", "header", "content", "result_content"):
        if choose.randint(0, 2) == 0:
            continue
        if field in DATES:
            found[field] = choose.choice([None, moment(choose)])
        elif field in TEXTS or field == "stdout":
            found[field] = choose.choice([None, *WORDS])
        elif field == "header":
            found[field] = {key: value(choose) for key in ("msg_type", "date", "n")}
        else:
            found[field] = scalar(choose) if field == "grade" else value(choose)
    return found


def condition(choose: Random, operand: Callable[[Random], Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(choose.randint(1, 2)):
        name = choose.choice([*COMPARED, *OTHERS])
        if name in COMPARED:
            found[name] = operand(choose)
        elif name == "$exists":
            found[name] = choose.choice([True, False])
        elif name == "$glob":
            found[name] = choose.choice(["*", "run-*", "[ar]*", "?", "a[*]b", "[!a]*"])
        elif name == "$regex":
            found[name] = choose.choice(["", "^run", "1$", "[0-9]+", "(?i)RUN"])
        elif name == "$mod":
            found[name] = [choose.choice([2, 3, -2, 0.5]), choose.choice([0, 1, 0.5, -1])]
        else:
            found[name] = [operand(choose) for _ in range(choose.randint(0, 4))]
    return {"$not": found} if choose.randint(0, 4) == 0 else found


def query(choose: Random, depth: int = 2) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(choose.choice([0, 1, 1, 1, 2]) if depth < 2 else choose.choice([1, 1, 2])):
        fields, operand = choose.choice(GROUPS)
        plain = operand(choose)
        if isinstance(plain, dict) or choose.choice([True, False]):
            plain = condition(choose, operand)
        found[choose.choice(fields)] = plain
    if depth and choose.randint(0, 2) == 0:
        name = choose.choice(["$and", "$or", "$nor"])
        found[name] = [query(choose, depth - 1) for _ in range(choose.randint(1, 3))]
    return found


# -- what is promised ---------------------------------------------------------------------------------


def fill(tasks: TaskDatabase, choose: Random, count: int) -> dict[str, dict[str, Any]]:
    """Fill a database and return what it should hold; rows are used again, so in no simple order."""
    model: dict[str, dict[str, Any]] = {}

    def add(msg_id: str, content: Mapping[str, Any]) -> None:
        tasks.add_record(msg_id, content)
        model[msg_id] = {**content, "msg_id": msg_id}

    add("known", KNOWN)
    for number in range(count):
        add(f"id-{number}", record(choose))
        if choose.randint(0, 3) == 0:
            gone = choose.choice([each for each in model if each != "known"])
            tasks.drop_record(gone)
            del model[gone]
        if choose.randint(0, 2) == 0:
            changed, change = choose.choice(list(model)), record(choose)
            if changed != "known":
                tasks.update_record(changed, change)
                model[changed] |= change
    return model


def check(tasks: TaskDatabase, model: dict[str, dict[str, Any]], asked: dict[str, Any]) -> int:
    expected = [msg_id for msg_id, content in model.items() if matches(content, asked)]
    assert [each["msg_id"] for each in tasks.find_records(asked, ["msg_id"])] == expected, asked
    assert tasks.count(asked) == len(expected)
    return len(expected)


@given(st.randoms(use_true_random=False), st.integers(0, 8))
def test_a_database_finds_what_the_reference_does(choose: Random, count: int) -> None:
    tasks = backends.in_memory(time.time)
    model = fill(tasks, choose, count)
    asked = query(choose)
    found = check(tasks, model, asked)
    assert len(tasks.find_records(asked)) == found
    assert tasks.drop_matching_records(asked) == found
    assert tasks.count({}) == len(model) - found


@pytest.mark.parametrize("seed", range(4))
def test_thousands_of_queries_find_what_the_reference_does(seed: int) -> None:
    choose = random.Random(seed)
    tasks = backends.in_memory(time.time)
    model = fill(tasks, choose, 60)
    found = [check(tasks, model, query(choose)) for _ in range(1500)]
    assert sum(0 < each < len(model) for each in found) > 250, "most queries say nothing"


@given(st.randoms(use_true_random=False))
def test_the_matcher_alone_agrees_with_the_reference(choose: Random) -> None:
    content = {"msg_id": "id-0", **record(choose)}
    asked = query(choose)
    assert compile_query(asked, [*FIELDS, "grade"]).matches(content) == matches(content, asked)
