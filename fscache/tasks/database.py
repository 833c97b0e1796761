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

import threading
import time
import weakref

from fscache.errors import InvalidRecordError, TaskExistsError
from fscache.tasks import forks, model
from fscache.tasks.cull import Limits
from fscache.tasks.culling import Culler
from fscache.tasks.face import WORKERS, Tasks
from fscache.tasks.frames import ADD
from fscache.tasks.match import compile_query
from fscache.tasks.model import BUFFERS
from fscache.tasks.select import select
from fscache.tasks.tidying import Tidier
from fscache.tasks.writing import APPENDED, MOVED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from fscache.tasks.core import Core
    from fscache.tasks.executor import Resolve
    from fscache.tasks.face import Keys, Query
    from fscache.tasks.model import Record
    from fscache.tasks.parts import Upkeep
    from fscache.tasks.wakeup import Bell, MemoryBell


class TaskDatabase(Tasks):
    """All task records of one root, or of this process's memory."""

    def __init__(
        self,
        core: Core,
        upkeep: Upkeep,
        bell: Bell | MemoryBell,
        *,
        resolve: Resolve | None = None,
        workers: int = WORKERS,
    ) -> None:
        """Wrap the working parts; see `fscache.tasks.backends` for the ways to make a database.

        Args:
            core: Log, index and reader.
            upkeep: What is done besides.
            bell: Wakes those who wait for a task.
            resolve: See `Tasks`.
            workers: See `Tasks`.
        """
        super().__init__(now=core.now, resolve=resolve, workers=workers)
        self._core = core
        self._culler = Culler(core)
        self._upkeep = upkeep
        self._bell = bell
        self._lock = core.lock
        self._tidier = Tidier(upkeep, self._lock)
        forks.tell(self)
        weakref.finalize(self, _close, core, upkeep, self._tidier)

    @property
    def limits(self) -> Limits:
        """When to cull; may be changed."""
        return self._core.limits

    # -- the interface of ipyparallel's backends ------------------------------------------------

    def add_record(self, msg_id: str, rec: Mapping[str, Any]) -> None:
        """See `Tasks`."""
        model.check_id(msg_id)
        if rec.__class__ is not dict or MOVED in rec or APPENDED in rec:
            model.check_record(msg_id, rec)
        core = self._core
        with self._lock:
            core.refresh()
            if msg_id in core.index.rows:
                raise TaskExistsError(msg_id)
            core.write(ADD, msg_id, rec)
            self._culler.cull_if_due(msg_id)
            self._upkeep.step()
        if rec.get("completed") is not None:
            self._bell()

    def get_record(self, msg_id: str) -> Record:
        """See `Tasks`."""
        core = self._core
        with self._lock:
            core.refresh()
            row = core.row(msg_id)
            try:
                return core.reader.record(row)
            except FileNotFoundError:
                core.refresh()
                return core.reader.record(core.row(msg_id))

    def update_record(self, msg_id: str, rec: Mapping[str, Any]) -> None:
        """See `Tasks`."""
        if rec.__class__ is not dict or MOVED in rec or APPENDED in rec:
            model.check_record(msg_id, rec)
        core = self._core
        with self._lock:
            if msg_id not in core.index.rows:
                core.refresh()
                core.row(msg_id)
            if "msg_id" in rec and rec["msg_id"] != msg_id:
                raise InvalidRecordError(msg_id, f"cannot become {rec['msg_id']!r}")
            if not rec:
                return
            try:
                core.update(msg_id, rec)
            except FileNotFoundError:
                core.refresh()
                core.row(msg_id)
                core.update(msg_id, rec)
            self._culler.cull_if_due(msg_id)
            self._upkeep.step()
        if rec.get("completed") is not None:
            self._bell()

    def drop_record(self, msg_id: str) -> None:
        """Drop a record, pending or not; raises NoSuchTaskError."""
        core = self._core
        with self._lock:
            core.refresh()
            core.drop([core.row(msg_id)])
            self._upkeep.step()
            self._tidier.begin(self)
        self._bell()

    def drop_matching_records(self, check: Query) -> int:
        """Drop the records that match a query, pending or not; return their number."""
        core = self._core
        with self._lock:
            core.refresh()
            rows = core.still(lambda: self._select(check))
            core.drop(rows)
            self._upkeep.step()
            self._tidier.begin(self)
        self._bell()
        return len(rows)

    def find_records(self, check: Query, keys: Keys = None) -> list[Record]:
        """See `Tasks`."""
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
        """End what runs here, and finish the own segment."""
        super().close()
        _close(self._core, self._upkeep, self._tidier)

    # -- more -----------------------------------------------------------------------------------

    def db_query(self, query: Query, keys: Keys = None) -> list[Record]:
        """See `Tasks`."""
        wanted = keys if keys is None or isinstance(keys, str) else list(keys)
        found = self.find_records(query, wanted)
        if not wanted:
            for record in found:
                for key in BUFFERS:
                    del record[key]
        return found

    def count(self, query: Query) -> int:
        """Return how many records match a query."""
        core = self._core
        with self._lock:
            core.refresh()
            return len(core.still(lambda: self._select(query)))

    def wait(self, msg_ids: str | Iterable[str], timeout: float | None = None) -> bool:
        """See `Tasks`."""
        core = self._core
        left = [msg_ids] if isinstance(msg_ids, str) else list(msg_ids)
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._bell.listen() as listener:
            while True:
                with self._lock:
                    core.refresh()
                    left = [each for each in left if core.row(each) in core.index.pending]
                if not left:
                    return True
                remaining = None if deadline is None else deadline - time.monotonic()
                if remaining is not None and remaining <= 0:
                    return False
                listener.wait(remaining)

    def purge(
        self,
        query: Query | None = None,
        *,
        records: int | None = None,
        size: int | None = None,
        age: float | None = None,
    ) -> int:
        """See `Tasks`."""
        core = self._core
        limits = Limits(records=records, size=size, age=age, fraction=0.0)
        dropped = 0
        with self._lock:
            core.refresh()
            if query is not None or not limits.any:
                completed = {"$and": [query or {}, {"completed": {"$ne": None}}]}
                rows = core.still(lambda: self._select(completed))
                core.drop(rows)
                dropped += len(rows)
            if limits.any:
                dropped += self._culler.cull(limits)
        self._bell()
        self.compact()
        return dropped

    def is_own(self, msg_id: str) -> bool:
        """Whether all that is kept of a record was written by this user, or by root."""
        core = self._core
        with self._lock:
            core.refresh()
            return core.is_own(core.row(msg_id))

    def compact(self) -> None:
        """Free now what nobody needs any more; this may take a while, in which others are answered."""
        self._tidier.compact()

    def __len__(self) -> int:
        with self._lock:
            self._core.refresh()
            return len(self._core.index)

    def forked(self) -> None:
        """Go on as the child of a process that had this open."""
        self._lock = self._core.lock = threading.RLock()
        self._tidier.forked(self._lock)
        self._core.log.forked()
        self._upkeep.forked()

    # -- inside ---------------------------------------------------------------------------------

    def _select(self, query: Query) -> Sequence[int]:
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


def _close(core: Core, upkeep: Upkeep, tidier: Tidier) -> None:
    with tidier.ended():
        upkeep.finish()
        core.log.close()
