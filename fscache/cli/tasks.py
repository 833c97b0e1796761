"""What the `tasks` commands share: which tasks are meant, and how they are told.

A filter is a word like those of `admin ls`; what it says becomes a query. Pure but for `query_of`,
which looks at the clock, and what reads the database.

    submitted>1h  started<=30m    a date: `>` is *longer ago than*; so are completed, received
    state=failed                  queued, running, done, failed, cancelled; pending: queued or running
    label=fit  label~fit          any other key, dotted too: = != ~ !~   (~ contains)
"""

from __future__ import annotations

import re
import sys
import time
from datetime import UTC, datetime, timedelta

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from fscache.cli.session import Session
    from fscache.tasks.face import Tasks
    from fscache.tasks.model import Record

    Query = dict[str, Any]

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
STATES = (QUEUED, RUNNING, DONE, FAILED, CANCELLED)
PENDING = "pending"
SHOWN = (
    *("submitted", "started", "completed", "client_uuid", "engine_uuid", "queue", "label"),
    *("resubmitted", "header", "content", "result_content"),
)
"""The keys that a line about a task is made of."""

_FORM = re.compile(r"\s*([\w.]+)\s*(>=|<=|!=|!~|=|>|<|~)\s*(.*?)\s*", re.DOTALL)
# The longer ago, the smaller the time.
_TURNED = {">": "$lt", ">=": "$lte", "<": "$gt", "<=": "$gte"}
_STATUS = {FAILED: "error", CANCELLED: "aborted"}
_GIVEN = {"$or": [{"started": {"$ne": None}}, {"engine_uuid": {"$ne": None}}]}


# -- which tasks ------------------------------------------------------------------------------


def add_choice(parser: ArgumentParser) -> None:
    """Declare `--query` and `--filter`."""
    parser.add_argument(
        "--query",
        metavar="JSON",
        help='as db_query takes it: \'{"engine_uuid": {"$in": ["a", "b"]}}\'; - is standard input',
    )
    parser.add_argument(
        "--filter",
        metavar="F",
        action="append",
        default=[],
        help="started>1h (longer ago), state=failed, label~fit (contains), …; all must hold",
    )


def query_of(
    arguments: Namespace,
    clock: Callable[[], float] = time.time,  # noqa: TID251 - the default of the injected clock
) -> Query:
    """Return the query that `--query` and `--filter` make together, empty without them.

    Raises:
        UsageError: a query is no JSON.
        InvalidFilterError: it says what was not understood.
    """
    now = datetime.fromtimestamp(clock(), UTC)
    parts = [] if arguments.query is None else [parse_query(arguments.query, arguments.command)]
    parts += [parse_filter(text, now) for text in arguments.filter]
    return parts[0] if len(parts) == 1 else {"$and": parts} if parts else {}


def parse_query(text: str, command: str) -> Query:
    """Return the query of a JSON text, or of standard input for `-`; raises UsageError.

    A time in it that names no zone is local time: so docs/cli.md says, and nobody is warned of it.
    """
    import warnings
    from json import loads

    from fscache.cli.exits import UsageError
    from fscache.tasks.model import NaiveDatetimeWarning

    warnings.simplefilter("ignore", NaiveDatetimeWarning)

    try:
        query = loads(sys.stdin.read() if text == "-" else text)
    except ValueError as exc:
        raise UsageError(f"fscache {command}", f"the query is no JSON: {exc}") from exc
    if not isinstance(query, dict):
        raise UsageError(f"fscache {command}", "the query is no JSON object")
    return query


def parse_filter(text: str, now: datetime) -> Query:
    """Return the query that a filter stands for.

    Raises:
        InvalidFilterError: it says what was not understood.
    """
    from fscache.errors import InvalidFilterError
    from fscache.tasks.model import ALIASES, DATES
    from fscache.units import parse_duration

    match = _FORM.fullmatch(text)
    if match is None:
        raise InvalidFilterError(text=text, why="expected key, operator and value: started>1h")
    key, operator, value = match.groups()
    key = ALIASES.get(key, key)
    if key in DATES:
        if operator not in _TURNED:
            raise InvalidFilterError(text=text, why=f"{key} is a date: use >, >=, < or <=")
        try:
            then = now - timedelta(seconds=parse_duration(value))
        except (ValueError, OverflowError) as exc:
            raise InvalidFilterError(text=text, why=str(exc)) from exc
        return {key: {_TURNED[operator]: then}}
    if operator not in ("=", "!=", "~", "!~"):
        raise InvalidFilterError(text=text, why=f"{key} is text: use =, !=, ~ or !~")
    if key == "state":
        if operator not in ("=", "!=") or value not in (*STATES, PENDING):
            known = ", ".join((*STATES, PENDING))
            raise InvalidFilterError(text=text, why=f"state is = or != one of {known}")
        return in_state(value) if operator == "=" else {"$nor": [in_state(value)]}
    if operator.endswith("~"):
        contains = {"$regex": re.escape(value)}
        return {key: contains if operator == "~" else {"$not": contains}}
    return {key: {"$eq" if operator == "=" else "$ne": value}}


def in_state(state: str) -> Query:
    """Return the query for the tasks of a state."""
    if state in (QUEUED, RUNNING, PENDING):
        pending: Query = {"completed": None}
        if state == PENDING:
            return pending
        return pending | (_GIVEN if state == RUNNING else {"started": None, "engine_uuid": None})
    status: Query = {"$nin": list(_STATUS.values())} if state == DONE else {"$eq": _STATUS[state]}
    return {"completed": {"$ne": None}, "result_content.status": status}


def keys_of(text: str | None) -> list[str] | None:
    """Return the keys of an option like `msg_id,started`."""
    if text is None:
        return None
    return [key for word in text.split(",") if (key := word.strip())]


# -- how they are told ------------------------------------------------------------------------


def state_of(record: Mapping[str, Any]) -> str:
    """Return the state of a task; of `SHOWN`, its record must have the dates, engine and result."""
    if record["completed"] is None:
        given = record["started"] is not None or record["engine_uuid"] is not None
        return RUNNING if given else QUEUED
    content = record["result_content"]
    status = content.get("status") if isinstance(content, dict) else None
    return {"error": FAILED, "aborted": CANCELLED}.get(str(status), DONE)


def task_of(record: Mapping[str, Any]) -> str:
    """Return what a task does, as far as its record says: a function, a line of code, or a request."""
    content = record["content"] if isinstance(record["content"], dict) else {}
    header = record["header"] if isinstance(record["header"], dict) else {}
    for found in (content.get("function"), content.get("code"), header.get("msg_type")):
        if isinstance(found, str) and found.strip():
            return found.strip().partition("\n")[0]
    return ""


def duration_of(record: Mapping[str, Any], now: datetime | None = None) -> float | None:
    """Return for how many seconds a task ran, or has been running at `now`."""
    started, completed = record["started"], record["completed"] or now
    return None if started is None or completed is None else (completed - started).total_seconds()


def line_fields(record: Mapping[str, Any]) -> dict[str, object]:
    """Return what `--json` says of a task where it is listed."""
    plain = as_json({key: record[key] for key in SHOWN[:8]})
    told: dict[str, object] = {
        "msg_id": record["msg_id"],
        "state": state_of(record),
        "task": task_of(record),
        "duration": duration_of(record),
        **plain,
    }
    return told


def as_json(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record as JSON has it: times as ISO 8601, buffers as the list of their lengths."""
    from fscache.tasks.model import BUFFERS
    from fscache.tasks.table import lengths

    return {
        key: lengths(value) if key in BUFFERS and value is not None else _plain(value)
        for key, value in record.items()
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        from base64 import b64encode

        return {"$bytes": b64encode(value).decode("ascii")}
    return value


def listed(
    tasks: Tasks,
    query: Query,
    key: str = "submitted",
    *,
    reverse: bool = False,
    limit: int | None = None,
) -> list[Record]:
    """Return the `SHOWN` keys of tasks, the latest `key` first, those without it at the end.

    All that match are ordered by what the index knows; only those within the limit are read.
    """
    found = tasks.find_records(query, (key,))
    dated = [record for record in found if record[key] is not None]
    dated.sort(key=lambda record: _date(record[key]), reverse=not reverse)
    rest = [record for record in found if record[key] is None]
    ids = [str(record["msg_id"]) for record in (*dated, *rest)][:limit]
    return by_ids(tasks, ids)


def by_ids(tasks: Tasks, ids: Sequence[str], keys: Iterable[str] = SHOWN) -> list[Record]:
    """Return some keys of tasks in the order of their ids; those dropped meanwhile are left out."""
    records = tasks.find_records({"msg_id": {"$in": ids}}, keys)
    known = {record["msg_id"]: record for record in records}
    return [known[each] for each in ids if each in known]


def _date(value: object) -> datetime:
    return value if isinstance(value, datetime) else datetime.min.replace(tzinfo=UTC)


def tasks_of(session: Session) -> Tasks:
    """Return the task records that are meant: the server's, or this machine's with `--root`."""
    return session.shared.tasks
