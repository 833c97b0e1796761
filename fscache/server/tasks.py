"""The calls `task.*`: the task records of the root; their docstrings are the help.

Records and queries are those of `fscache.tasks.face`; a buffer is bytes, a datetime that has no zone is
taken as UTC, which is what XML-RPC's own type leaves open.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fscache import errors
from fscache.server.parking import park
from fscache.server.rpc import SERVER, Method
from fscache.tasks.model import BUFFERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fscache.cache import Cache
    from fscache.server.rpc import Caller
    from fscache.tasks.face import Tasks

_LIMITS = frozenset({"records", "size", "age"})


class TaskCalls:
    """The task records of one root."""

    def __init__(self, cache: Cache, stopping: Callable[[], bool]) -> None:
        """Serve the records of `cache`; `stopping` says whether the server is about to stop."""
        self._cache = cache
        self._stopping = stopping

    def methods(self) -> list[Method]:
        """Return the table."""
        calls: dict[str, Callable[..., Any]] = {
            "add": self.add,
            "get": self.get,
            "update": self.update,
            "drop": self.drop,
            "drop_matching": self.drop_matching,
            "find": self.find,
            "query": self.query,
            "count": self.count,
            "history": self.history,
            "wait": self.wait,
            "purge": self.purge,
        }
        return [Method(f"task.{name}", call) for name, call in calls.items()]

    def add(self, _caller: Caller, msg_id: str, record: dict[str, Any]) -> bool:
        """Add a record."""
        self._tasks.add_record(msg_id, _taken(_table(record)))
        return True

    def get(self, _caller: Caller, msg_id: str) -> dict[str, Any]:
        """Return a record, whole, with its buffers."""
        return _told(self._tasks.get_record(msg_id))

    def update(self, _caller: Caller, msg_id: str, changes: dict[str, Any]) -> bool:
        """Change some keys of a record."""
        self._tasks.update_record(msg_id, _taken(_table(changes)))
        return True

    def drop(self, _caller: Caller, msg_id: str) -> bool:
        """Drop a record, pending or not."""
        self._tasks.drop_record(msg_id)
        return True

    def drop_matching(self, _caller: Caller, query: dict[str, Any]) -> int:
        """Drop the records that match a query, pending or not; return their number."""
        return self._tasks.drop_matching_records(_taken(_table(query)))

    def find(
        self, _caller: Caller, query: dict[str, Any], keys: list[str] | str | None = None
    ) -> list[dict[str, Any]]:
        """Return the records that match a query, by default whole, with their buffers."""
        return [_told(each) for each in self._tasks.find_records(_taken(_table(query)), keys)]

    def query(
        self, _caller: Caller, query: dict[str, Any], keys: list[str] | str | None = None
    ) -> list[dict[str, Any]]:
        """Return the records that match a query, by default without their buffers."""
        return [_told(each) for each in self._tasks.db_query(_taken(_table(query)), keys)]

    def count(self, _caller: Caller, query: dict[str, Any]) -> int:
        """Return how many records match a query."""
        return self._tasks.count(_taken(_table(query)))

    def history(self, _caller: Caller) -> list[str]:
        """Return the ids of all records that have been submitted, ordered by when."""
        return self._tasks.get_history()

    def wait(self, _caller: Caller, ids: list[str], timeout: float = 30.0) -> bool:
        """Wait until these tasks have completed; false where one has not after `timeout` seconds."""
        return park(lambda seconds: self._tasks.wait(ids, seconds), timeout, self._stopping)

    def purge(
        self,
        _caller: Caller,
        query: dict[str, Any] | None = None,
        limits: dict[str, Any] | None = None,
    ) -> int:
        """Drop completed tasks, by a query or by limits: records, size (bytes), age (seconds)."""
        given = _table(limits or {})
        if not set(given) <= _LIMITS:
            raise errors.RefusedRequestError(SERVER, "limits are records, size and age")
        wanted = None if query is None else _taken(_table(query))
        return self._tasks.purge(wanted, **given)

    @property
    def _tasks(self) -> Tasks:
        if self._stopping():  # else it would be opened anew behind the back of who closes it
            raise errors.TryAgainError(SERVER, "stopping")
        return self._cache.tasks


def _table(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise errors.RefusedRequestError(SERVER, "a record or a query is a table")
    return value


def _taken(value: Any) -> Any:
    """Return what came over the wire, datetimes with a zone."""
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    if isinstance(value, dict):
        return {key: _taken(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_taken(item) for item in value]
    return value


def _told(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record as it travels: buffers are read from where they are."""
    return {
        key: list(item) if key in BUFFERS and item is not None else item
        for key, item in record.items()
    }
