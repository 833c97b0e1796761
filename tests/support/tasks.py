"""What a task query means, said as plainly as possible; and databases that do their upkeep early."""

from __future__ import annotations

import fnmatch
import operator
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from fscache.tasks import upkeep

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest

DATES = ("submitted", "started", "completed", "received")
_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "$lt": operator.lt,
    "$le": operator.lt,
    "$lte": operator.le,
    "$gt": operator.gt,
    "$ge": operator.gt,
    "$gte": operator.ge,
}


def matches(record: Mapping[str, Any], query: Mapping[str, Any]) -> bool:
    """Whether a record matches."""
    for key, wanted in query.items():
        if key == "$and":
            good = all(matches(record, each) for each in wanted)
        elif key == "$or":
            good = any(matches(record, each) for each in wanted)
        elif key == "$nor":
            good = not any(matches(record, each) for each in wanted)
        else:
            conditions = wanted if isinstance(wanted, dict) else {"$eq": wanted}
            good = _holds(_value(record, key), conditions, is_date=key in (*DATES, "complete"))
        if not good:
            return False
    return True


def _value(record: Mapping[str, Any], key: str) -> Any:
    first, *path = key.split(".")
    value: Any = record.get("completed" if first == "complete" else first)
    for part in path:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _holds(value: Any, conditions: Mapping[str, Any], *, is_date: bool) -> bool:
    return all(
        not _holds(value, operand, is_date=is_date)
        if name == "$not"
        else _accepts(value, name, operand, is_date=is_date)
        for name, operand in conditions.items()
    )


def _accepts(value: Any, name: str, operand: Any, *, is_date: bool) -> bool:
    if is_date:
        operand = [_moment(each) for each in operand] if _is_list(name) else operand
        operand = _moment(operand) if name in ("$eq", "$ne", *_ORDERED) else operand
    if name in ("$eq", "$ne"):
        return (value == operand) is (name == "$eq")
    if name in ("$in", "$nin"):
        return any(value == each for each in operand) is (name == "$in")
    if name == "$exists":
        return (value is not None) is bool(operand)
    if name == "$all":
        held = value if isinstance(value, list) else [value]
        return bool(operand) and all(any(one == each for one in held) for each in operand)
    if name == "$mod":
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and value % operand[0] == operand[1]
    if name in ("$glob", "$regex"):
        if not isinstance(value, str):
            return False
        if name == "$glob":
            return fnmatch.fnmatchcase(value, operand)
        return re.search(operand, value) is not None
    if value is None:
        return False
    try:
        return _ORDERED[name](value, operand)
    except TypeError:
        return False


def _is_list(name: str) -> bool:
    return name in ("$in", "$nin", "$all")


def _moment(value: Any) -> Any:
    """Return what a date is compared with: a text is read as ISO 8601."""
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            return object()
    return value if value is None or isinstance(value, datetime) else object()


def hasten_upkeep(patch: pytest.MonkeyPatch) -> None:
    """Have snapshots and rewriting begin after a few frames instead of many thousands."""
    patch.setattr(upkeep, "SNAPSHOT_FRAMES", 10)
    patch.setattr(upkeep, "MIN_DEAD", 200)
    patch.setattr(upkeep, "_CHECK_FRAMES", 4)
    patch.setattr(upkeep, "REAPED_AT_ONCE", 2)
    patch.setattr(upkeep, "_PART_SECONDS", 0.0)
