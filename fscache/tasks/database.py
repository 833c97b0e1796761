"""The task database: records added, updated, found and dropped.

Promises:

- A call that has returned is durable over the death of the process; see `fscache.tasks.log`.
- What others have written to the same database is seen by every reading call.
- What a call returns is the caller's own; buffers are read when they are asked for.
- No call waits for another process. Upkeep (snapshots, rewriting, culling) is done in small parts.

Not promised: an order between two processes that update one key of one record at the same time (the
later stamp wins), or that of two that add one id at the same time one fails.

May be used from many threads, and by a process and the children it forks.
"""

from __future__ import annotations

import os
import threading
import weakref

from fscache.errors import InvalidRecordError, TaskExistsError
from fscache.tasks import frames, model
from fscache.tasks.core import Core
from fscache.tasks.cull import Limits
from fscache.tasks.match import compile_query
from fscache.tasks.model import BUFFERS
from fscache.tasks.select import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from fscache.tasks.core import Log
    from fscache.tasks.keep import Keeper
    from fscache.tasks.model import Record


class TaskDatabase:
    """All task records of one root, or of this process's memory."""

    def __init__(
        self,
        log: Log,
        keeper: Keeper,
        *,
        now: Callable[[], float],
        limits: Limits | None = None,
    ) -> None:
        """Open a database; see `fscache.tasks.backends` for the ways to make one.

        Args:
            log: Where the frames are.
            keeper: Where large buffers are.
            now: The clock, seconds since the epoch.
            limits: When to cull; never by default.
        """
        self.limits = limits or Limits()
        self._core = Core(log, keeper, now=now, limits=self.limits)
        self._lock = threading.RLock()
        self._opened = False
        _databases.add(self)
        weakref.finalize(self, log.close)

    # -- the interface of ipyparallel's backends ------------------------------------------------

    def add_record(self, msg_id: str, rec: Mapping[str, Any]) -> None:
        """Add a record.

        Args:
            msg_id: Its id; what `rec` has under `msg_id` does not count.
            rec: Keys and values; those of `fscache.tasks.model.FIELDS` that it lacks are None.

        Raises:
            TaskExistsError: there is one of this id.
            InvalidRecordError: the id, a date or a buffer cannot be kept.
            StoreError: it could not be written; nothing has changed.
        """
        model.check_id(msg_id)
        core = self._core
        with self._lock:
            core.refresh()
            if msg_id in core.index.rows:
                raise TaskExistsError(msg_id)
            core.write(frames.ADD, msg_id, rec)
            core.cull_if_due(msg_id)

    def get_record(self, msg_id: str) -> Record:
        """Return a record, whole; its buffers are read when asked for.

        Raises:
            NoSuchTaskError: there is none of this id.
        """
        core = self._core
        with self._lock:
            core.refresh()
            return core.still(lambda: core.reader.record(core.row(msg_id)))

    def update_record(self, msg_id: str, rec: Mapping[str, Any]) -> None:
        """Change some keys of a record.

        Raises:
            NoSuchTaskError: there is none of this id.
            InvalidRecordError: a date or a buffer cannot be kept.
            StoreError: it could not be written; nothing has changed.
        """
        core = self._core
        with self._lock:
            if msg_id not in core.index.rows:
                core.refresh()
                core.row(msg_id)
            if rec.get("msg_id", msg_id) != msg_id:
                raise InvalidRecordError(msg_id, f"cannot become {rec['msg_id']!r}")
            if rec:
                core.still(lambda: core.update(msg_id, rec))
                core.cull_if_due(msg_id)

    def drop_record(self, msg_id: str) -> None:
        """Drop a record, pending or not; raises NoSuchTaskError."""
        core = self._core
        with self._lock:
            core.refresh()
            core.drop([core.row(msg_id)])

    def drop_matching_records(self, check: Mapping[str, object]) -> int:
        """Drop the records that match a query, pending or not; return their number."""
        core = self._core
        with self._lock:
            core.refresh()
            rows = core.still(lambda: self._select(check))
            core.drop(rows)
            return len(rows)

    def find_records(
        self, check: Mapping[str, object], keys: Iterable[str] | str | None = None
    ) -> list[Record]:
        """Return the records that match a query, in the order they were added.

        Args:
            check: The query; see `fscache.tasks.match`.
            keys: What to return of each, `msg_id` always among it; by default everything.

        Raises:
            UnknownFieldError, UnknownOperatorError, InvalidQueryError: the query is wrong.
        """
        core = self._core
        with self._lock:
            core.refresh()
            wanted = model.check_keys(keys, core.index.known_fields())
            return core.still(lambda: self._records(self._select(check), wanted))

    def get_history(self) -> list[str]:
        """Return the ids of all records that have been submitted, ordered by when."""
        core = self._core
        with self._lock:
            core.refresh()
            ids = core.index.ids
            rows = core.index.timeline.between(None, None)
            return [msg_id for row in rows if (msg_id := ids[row]) is not None]

    def close(self) -> None:
        """Finish the own segment. Not needed: every call is in the file when it returns."""
        with self._lock:
            self._core.log.close()

    # -- more -----------------------------------------------------------------------------------

    def db_query(
        self, query: Mapping[str, object], keys: Iterable[str] | str | None = None
    ) -> list[Record]:
        """Return the records that match, as IPython's clients do: by default without buffers."""
        wanted = keys if keys is None or isinstance(keys, str) else list(keys)
        found = self.find_records(query, wanted)
        if not wanted:
            for record in found:
                for key in BUFFERS:
                    del record[key]
        return found

    def count(self, query: Mapping[str, object]) -> int:
        """Return how many records match a query."""
        core = self._core
        with self._lock:
            core.refresh()
            return len(core.still(lambda: self._select(query)))

    def __len__(self) -> int:
        with self._lock:
            self._core.refresh()
            return len(self._core.index)

    def forked(self) -> None:
        """Go on as the child of a process that had this open."""
        self._lock = threading.RLock()
        self._core.log.forked()

    # -- inside ---------------------------------------------------------------------------------

    def _select(self, query: Mapping[str, object]) -> Sequence[int]:
        core = self._core
        compiled = compile_query(query, core.index.known_fields())
        return select(core.index, compiled, core.reader.record)

    def _records(self, rows: Sequence[int], keys: list[str] | None) -> list[Record]:
        reader = self._core.reader
        if keys is None:
            return [reader.record(row) for row in rows]
        columns = reader.columns(rows, keys)
        if columns is not None:
            return [dict(zip(keys, cells, strict=True)) for cells in zip(*columns, strict=True)]
        return [reader.record(row, keys) for row in rows]


_databases: weakref.WeakSet[TaskDatabase] = weakref.WeakSet()


def _after_fork() -> None:
    for database in _databases:
        database.forked()


os.register_at_fork(after_in_child=_after_fork)
