"""Task records: what was asked of a task farm, by whom, when, and what came of it.

    from fscache import tasks

    task = tasks.submit(reduce, "https://host/night-7.fits", needs=["https://host/night-7.fits"])
    tasks.db_query({"completed": None, "started": {"$gte": an_hour_ago}})
    tasks.get_result(task.msg_id)               # from any process of the root

The functions here work on the default cache's task database. What they promise is told in
`fscache.tasks.face` and, for a root, in `fscache.tasks.database`; queries in `fscache.tasks.match`.
"""

from __future__ import annotations

import sys

from fscache.tasks.face import Tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from fscache.tasks.executor import Need, Task
    from fscache.tasks.face import Keys, Query
    from fscache.tasks.model import Record

__all__ = [
    "Tasks",
    "add_record",
    "count",
    "db_query",
    "default",
    "drop_matching_records",
    "drop_record",
    "find_records",
    "get_history",
    "get_record",
    "get_result",
    "install",
    "is_own",
    "purge",
    "resubmit",
    "submit",
    "to_dataframe",
    "update_record",
    "wait",
]


def _of_package() -> Tasks:
    """Return the task database of the default cache, asked by name as `fscache.kv` does."""
    found: Tasks = sys.modules["fscache"].default().tasks
    return found


_factory: Callable[[], Tasks] = _of_package


def install(factory: Callable[[], Tasks] | None) -> None:
    """Have the functions of this module work on what `factory` returns, None: the default cache's."""
    global _factory  # noqa: PLW0603 - the one process-wide default
    _factory = factory or _of_package


def default() -> Tasks:
    """Return the database that the functions of this module work on."""
    return _factory()


def add_record(msg_id: str, rec: Mapping[str, Any]) -> None:
    """Add a record; see `Tasks.add_record`."""
    _factory().add_record(msg_id, rec)


def get_record(msg_id: str) -> Record:
    """Return a record; see `Tasks.get_record`."""
    return _factory().get_record(msg_id)


def update_record(msg_id: str, rec: Mapping[str, Any]) -> None:
    """Change some keys of a record; see `Tasks.update_record`."""
    _factory().update_record(msg_id, rec)


def drop_record(msg_id: str) -> None:
    """Drop a record; see `Tasks.drop_record`."""
    _factory().drop_record(msg_id)


def drop_matching_records(check: Query) -> int:
    """Drop the records that match; see `Tasks.drop_matching_records`."""
    return _factory().drop_matching_records(check)


def find_records(check: Query, keys: Keys = None) -> list[Record]:
    """Return the records that match, by default whole; see `Tasks.find_records`."""
    return _factory().find_records(check, keys)


def get_history() -> list[str]:
    """Return the ids of all submitted tasks, by when."""
    return _factory().get_history()


def db_query(query: Query, keys: Keys = None) -> list[Record]:
    """Return the records that match, by default without buffers; see `Tasks.db_query`."""
    return _factory().db_query(query, keys)


def count(query: Query) -> int:
    """Return how many records match a query."""
    return _factory().count(query)


def wait(msg_ids: str | Iterable[str], timeout: float | None = None) -> bool:
    """Wait until tasks have completed; see `Tasks.wait`."""
    return _factory().wait(msg_ids, timeout)


def purge(
    query: Query | None = None,
    *,
    records: int | None = None,
    size: int | None = None,
    age: float | None = None,
) -> int:
    """Drop completed tasks; see `Tasks.purge`."""
    return _factory().purge(query, records=records, size=size, age=age)


def is_own(msg_id: str) -> bool:
    """Whether all that is kept of a record was written by this user, or by root."""
    return _factory().is_own(msg_id)


def submit(
    fn: Callable[..., Any],
    /,
    *args: Any,
    needs: Need | Iterable[Need] = (),
    label: str | None = None,
    **kwargs: Any,
) -> Task:
    """Run a function in a thread of this process once its needs are met; see `Tasks.submit`."""
    return _factory().submit(fn, *args, needs=needs, label=label, **kwargs)


def get_result(msg_id: str, timeout: float | None = None, *, trust: bool = False) -> Any:
    """Return a task's result, or raise what it raised; see `Tasks.get_result`."""
    return _factory().get_result(msg_id, timeout, trust=trust)


def resubmit(msg_ids: str | Iterable[str], *, trust: bool = False) -> Any:
    """Run tasks again, in this process, under new ids; see `Tasks.resubmit`."""
    return _factory().resubmit(msg_ids, trust=trust)


def to_dataframe(query: Query | None = None, keys: Keys = None) -> Any:
    """Return records as a pandas DataFrame; see `Tasks.to_dataframe`."""
    return _factory().to_dataframe(query, keys)
