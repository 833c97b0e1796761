"""`FSCacheDB`: the task database as the backend of an ipyparallel controller.

    c.IPController.db_class = "fscache.bridges.ipyparallel.FSCacheDB"
    c.FSCacheDB.root = "/data/cache"       # by default the configured root

Before `IPController`, the same was said of `c.HubFactory`; that works, too.

Promises, beside those of `fscache.tasks.database`:

- Making one opens no file, starts no thread and takes no lock: a controller makes its backend before
  it forks its schedulers, which would inherit them.
- What a call has written is there when the controller is killed. `close` is not needed; a controller
  never calls it.
- Several controllers, and programs that read, may use one root at the same time. They then share one
  history: `purge_results("all")` drops the completed tasks of all of them.

Not promised: what the controller keeps for itself. One that was restarted knows the history, but does
not take the results of tasks that ran while it was down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipyparallel.controller.dictdb import BaseDB
from traitlets import Float, Integer, Unicode, observe

from fscache.cache import Cache
from fscache.config import load
from fscache.tasks.database import TaskDatabase

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from fscache.tasks.model import Record


class FSCacheDB(BaseDB):  # type: ignore[misc]  # ipyparallel has no types
    """Keeps a controller's task records in a root of fscache."""

    root = Unicode(
        "",
        config=True,
        help="""The root that keeps the records. [default: fscache's configured root]""",
    )
    record_limit = Integer(
        None,
        allow_none=True,
        min=0,
        config=True,
        help="""The most completed tasks. When there are more, the oldest are culled. Pending tasks
        do not count and are never culled. [default: fscache's setting tasks_max_records]""",
    )
    size_limit = Integer(
        None,
        allow_none=True,
        min=0,
        config=True,
        help="""The most bytes of buffers. When there are more, the oldest completed records are
        culled. [default: fscache's setting tasks_max_size]""",
    )
    age_limit = Float(
        None,
        allow_none=True,
        min=0.0,
        config=True,
        help="""Seconds after submission at which completed records are culled.
        [default: fscache's setting tasks_max_age]""",
    )
    cull_fraction = Float(
        0.1,
        min=0.0,
        max=1.0,
        config=True,
        help="""The share of a limit, from 0 to 1, that is culled at once when it is exceeded.""",
    )

    def __init__(self, **traits: Any) -> None:
        """Make the backend, as a controller does: with `session`, `parent` and `log`."""
        super().__init__(**traits)
        self._cache = Cache(config=load(arguments={"root": self.root or None}))
        self._tasks = self._cache.tasks
        self._limit()

    @observe("record_limit", "size_limit", "age_limit", "cull_fraction")
    def _limits_changed(self, _change: object) -> None:
        if hasattr(self, "_tasks"):  # else it is being made
            self._limit()

    def _limit(self) -> None:
        if not isinstance(self._tasks, TaskDatabase):
            return  # by configuration nothing is kept
        limits = self._tasks.limits
        if self.record_limit is not None:
            limits.records = self.record_limit
        if self.size_limit is not None:
            limits.size = self.size_limit
        if self.age_limit is not None:
            limits.age = self.age_limit
        limits.fraction = self.cull_fraction

    def add_record(self, msg_id: str, rec: Mapping[str, Any]) -> None:
        """Add a record; raises KeyError where there is one of this id."""
        self._tasks.add_record(msg_id, rec)

    def get_record(self, msg_id: str) -> Record:
        """Return a record; raises KeyError where there is none of this id."""
        return self._tasks.get_record(msg_id)

    def update_record(self, msg_id: str, rec: Mapping[str, Any]) -> None:
        """Change some keys of a record; raises KeyError where there is none of this id."""
        self._tasks.update_record(msg_id, rec)

    def drop_record(self, msg_id: str) -> None:
        """Drop a record; raises KeyError where there is none of this id."""
        self._tasks.drop_record(msg_id)

    def drop_matching_records(self, check: Mapping[str, object]) -> None:
        """Drop the records that match a query."""
        self._tasks.drop_matching_records(check)

    def find_records(
        self, check: Mapping[str, object], keys: Iterable[str] | str | None = None
    ) -> list[Record]:
        """Return the records that match a query, with all keys or those asked for."""
        return self._tasks.find_records(check, keys)

    def get_history(self) -> list[str]:
        """Return the ids of all records, ordered by submission."""
        return self._tasks.get_history()

    def close(self) -> None:
        """Finish the own part of the log. May be called twice, and need not be called."""
        self._cache.close()
