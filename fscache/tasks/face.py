"""`Tasks`: the task database with an executor, as `fscache.tasks` and `Cache.tasks` offer it."""

from __future__ import annotations

from fscache.errors import NeedFailedError
from fscache.tasks.database import TaskDatabase
from fscache.tasks.executor import Executor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Future
    from typing import Any

    from fscache.tasks.core import Core
    from fscache.tasks.database import Upkeep
    from fscache.tasks.executor import Need, Resolve, Task
    from fscache.tasks.wakeup import Bell, MemoryBell

WORKERS = 4


class Tasks(TaskDatabase):
    """Task records, and functions to run as tasks."""

    def __init__(
        self,
        core: Core,
        upkeep: Upkeep,
        bell: Bell | MemoryBell,
        *,
        resolve: Resolve | None = None,
        workers: int = WORKERS,
    ) -> None:
        """As `TaskDatabase`, and:

        Args:
            core: Log, index and reader.
            upkeep: What is done besides.
            bell: Wakes those who wait for a task.
            resolve: Returns a future that ends when a need (a URL, a precondition) is met, None if
                it is met already.
            workers: The most threads that run tasks.
        """
        super().__init__(core, upkeep, bell)
        self._executor = Executor(
            self, now=core.now, resolve=resolve or _unresolved, workers=workers
        )

    def submit(
        self,
        fn: Callable[..., Any],
        /,
        *args: Any,
        needs: Iterable[Need] = (),
        label: str | None = None,
        **kwargs: Any,
    ) -> Task:
        """Run a function in a thread of this process once its needs are met.

        Args:
            fn: The function.
            *args: Its arguments.
            needs: URLs to be fetched, names of preconditions, or futures.
            label: A word for the record.
            **kwargs: Its further arguments.

        Returns:
            The task: a future, with the id of its record as `msg_id`. Where a need fails, its
            exception is a NeedFailedError.
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

        The old record keeps its id; the new one's stands under its `resubmitted`.

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

    def to_dataframe(
        self,
        query: Mapping[str, object] | None = None,
        keys: Iterable[str] | str | None = None,
    ) -> Any:
        """Return records as a pandas DataFrame; see `fscache.tasks.frame.to_dataframe`."""
        from fscache.tasks.table import to_dataframe

        return to_dataframe(self.db_query({} if query is None else query, keys))

    def close(self) -> None:
        """Cancel tasks that have not begun, wait for those that have, and finish the own segment."""
        self._executor.close()
        super().close()


def _unresolved(need: str) -> Future[Any] | None:
    raise NeedFailedError(need, "this database knows of no cache or server that could provide it")
