"""`Tasks`: what every task database can do, here or on a server.

A database says how to do the abstract methods; all else (running functions as tasks, tables) rests on
them. `fscache.tasks` and `Cache.tasks` offer it.

A record is a dict with the keys of `fscache.tasks.model.FIELDS`; a query is one of
`fscache.tasks.match`. Whatever is given or returned is plain: JSON's values, datetimes, and bytes for
the buffers; so nothing but the executor's functions depends on where the records are. Datetimes come
back in UTC; one without a zone is taken as local time, with a warning.

Errors are those of `fscache.errors`; a missing or doubled id, an unknown key or operator is a KeyError.
"""

from __future__ import annotations

from threading import Lock

from fscache.errors import NeedFailedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Future
    from typing import Any

    from fscache.tasks.executor import Executor, Need, Resolve, Task
    from fscache.tasks.model import Record

    Query = Mapping[str, object]
    Keys = Iterable[str] | str | None

WORKERS = 4


class Tasks:
    """Task records, and functions to run as tasks."""

    def __init__(
        self,
        *,
        now: Callable[[], float],
        resolve: Resolve | None = None,
        workers: int = WORKERS,
    ) -> None:
        """Make the part that runs functions; no thread before the first.

        Args:
            now: The clock, seconds since the epoch.
            resolve: Returns a future that ends when a need (a URL, a precondition) is met, None if
                it is met already.
            workers: The most threads that run tasks.
        """
        self._now = now
        self._resolve = resolve or _unresolved
        self._workers = workers
        self._executor_made: Executor | None = None
        self._executor_lock = Lock()

    # -- records: the interface of ipyparallel's backends ----------------------------------------

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
        raise NotImplementedError

    def get_record(self, msg_id: str) -> Record:
        """Return a record, whole; its buffers are read when asked for.

        Raises:
            NoSuchTaskError: there is none of this id.
        """
        raise NotImplementedError

    def update_record(self, msg_id: str, rec: Mapping[str, Any]) -> None:
        """Change some keys of a record.

        Raises:
            NoSuchTaskError: there is none of this id.
            InvalidRecordError: a date or a buffer cannot be kept.
            StoreError: it could not be written; nothing has changed.
        """
        raise NotImplementedError

    def drop_record(self, msg_id: str) -> None:
        """Drop a record, pending or not; raises NoSuchTaskError."""
        raise NotImplementedError

    def drop_matching_records(self, check: Query) -> int:
        """Drop the records that match a query, pending or not; return their number."""
        raise NotImplementedError

    def find_records(self, check: Query, keys: Keys = None) -> list[Record]:
        """Return the records that match a query, in the order they were added.

        Args:
            check: The query; see `fscache.tasks.match`.
            keys: What to return of each, `msg_id` always among it; by default everything.

        Raises:
            UnknownFieldError, UnknownOperatorError, InvalidQueryError: the query is wrong.
        """
        raise NotImplementedError

    def get_history(self) -> list[str]:
        """Return the ids of all records that have been submitted, ordered by when."""
        raise NotImplementedError

    # -- records: more ---------------------------------------------------------------------------

    def db_query(self, query: Query, keys: Keys = None) -> list[Record]:
        """Return the records that match, as IPython's clients do: by default without buffers.

        Args:
            query: As for `find_records`.
            keys: As for `find_records`; by default all but `buffers` and `result_buffers`.
        """
        raise NotImplementedError

    def count(self, query: Query) -> int:
        """Return how many records match a query."""
        raise NotImplementedError

    def wait(self, msg_ids: str | Iterable[str], timeout: float | None = None) -> bool:
        """Wait until tasks have completed, whoever runs them; False if `timeout` seconds passed.

        Raises:
            NoSuchTaskError: there is no record of one of them, or it was dropped meanwhile.
        """
        raise NotImplementedError

    def purge(
        self,
        query: Query | None = None,
        *,
        records: int | None = None,
        size: int | None = None,
        age: float | None = None,
    ) -> int:
        """Drop completed tasks and give the disk back what they took; pending ones are never taken.

        Args:
            query: Which; all by default, or none if there is a limit.
            records: Drop the oldest, down to this many completed ones.
            size: Drop the oldest, down to this many bytes of buffers.
            age: Drop those submitted longer ago than this, in seconds.

        Returns:
            The number of records dropped.

        Raises:
            UnknownFieldError, UnknownOperatorError, InvalidQueryError: the query or a limit is wrong.
        """
        raise NotImplementedError

    def is_own(self, msg_id: str) -> bool:
        """Whether all that is kept of a record was written by this user, or by root."""
        raise NotImplementedError

    # -- functions as tasks ------------------------------------------------------------------------

    def submit(
        self,
        fn: Callable[..., Any],
        /,
        *args: Any,
        needs: Need | Iterable[Need] = (),
        label: str | None = None,
        **kwargs: Any,
    ) -> Task:
        """Run a function in a thread of this process once its needs are met.

        Args:
            fn: The function.
            *args: Its arguments.
            needs: URLs to be fetched, names of preconditions, or futures; or one of them.
            label: A word for the record.
            **kwargs: Its further arguments.

        Returns:
            The task: a future, with the id of its record as `msg_id`. Where a need fails, its
            exception is a NeedFailedError.

        Raises:
            TypeError: a need is of another type.
        """
        return self._executor.submit((fn, args, kwargs), needs, label)

    def get_result(self, msg_id: str, timeout: float | None = None, *, trust: bool = False) -> Any:
        """Return a task's result, or raise what it raised; wait for it, whichever process runs it.

        Args:
            msg_id: The task's id.
            timeout: The longest wait, in s.
            trust: Load a result that another user has written: a pickle can run any code.

        Raises:
            NoSuchTaskError: there is no record of this id.
            TimeoutError: it did not complete in time.
            TaskFailedError: it failed, and its exception cannot be had.
            ResultUnavailableError: its result cannot be had, or may not be loaded.
        """
        return self._executor.result(msg_id, timeout, trust=trust)

    def resubmit(self, msg_ids: str | Iterable[str], *, trust: bool = False) -> Any:
        """Run tasks again, in this process, under new ids.

        The old record keeps its id; the new one's stands under its `resubmitted`. They wait for the
        URLs and preconditions that they needed; futures that they needed count as met.

        Args:
            msg_ids: One id, or several.
            trust: Load functions that another user has written: a pickle can run any code.

        Returns:
            The new task, or a list of them, as asked.

        Raises:
            NoSuchTaskError: there is no record of this id.
            ResultUnavailableError: it was not submitted here, or its function cannot be had.
        """
        if isinstance(msg_ids, str):
            return self._executor.resubmit(msg_ids, trust=trust)
        return [self._executor.resubmit(each, trust=trust) for each in msg_ids]

    # -- the rest ----------------------------------------------------------------------------------

    def to_dataframe(self, query: Query | None = None, keys: Keys = None) -> Any:
        """Return records as a pandas DataFrame; see `fscache.tasks.table.to_dataframe`.

        Args:
            query: As for `db_query`; by default all records.
            keys: As for `db_query`; the columns, those without any record too.
        """
        from fscache.tasks.model import asked_keys
        from fscache.tasks.table import to_dataframe

        wanted = asked_keys(keys)
        return to_dataframe(self.db_query({} if query is None else query, wanted), wanted)

    def close(self) -> None:
        """Cancel tasks that have not begun, and wait for those that have.

        No record needs it: what was recorded is recorded when the call returns.
        """
        if self._executor_made is not None:
            self._executor_made.close()

    def __len__(self) -> int:
        return self.count({})

    def __bool__(self) -> bool:
        return True  # a database without records is a database

    # -- inside ------------------------------------------------------------------------------------

    @property
    def _executor(self) -> Executor:
        if self._executor_made is None:
            from fscache.tasks.executor import Executor

            with self._executor_lock:
                if self._executor_made is None:
                    self._executor_made = Executor(
                        self, now=self._now, resolve=self._resolve, workers=self._workers
                    )
        return self._executor_made


def _unresolved(need: str) -> Future[Any] | None:
    raise NeedFailedError(need, "this database knows of no cache or server that could provide it")
