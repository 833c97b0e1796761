"""The embedded executor: runs functions in threads of this process, once what they need is there.

The whole life of a task is recorded: added when submitted, updated when it starts and when it ends.
Nobody waits for needs: a task enters the queue of the threads when the last of them has come.

A function, its arguments and its result are kept as pickles, so that another process can run the task
again and read the result (see `fscache.tasks.outcome`). What cannot be pickled is run all the same, and
its result is there for this process only.

Not promised: that a task whose process ends is run by another; it stays pending. `resubmit` it.
"""

from __future__ import annotations

import os
import threading
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from fscache.errors import (
    FscacheError,
    NeedFailedError,
    NoSuchTaskError,
    ResultUnavailableError,
)
from fscache.tasks import forks
from fscache.tasks.model import to_datetime
from fscache.tasks.outcome import failure, outcome_of, pickled, unpickle
from fscache.tasks.request import checked_needs, content_of, need_text, request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from fscache.tasks.face import Tasks
    from fscache.tasks.model import Record

    Need = str | Future[Any]
    Resolve = Callable[[str], Future[Any] | None]
    Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class Task(Future[Any]):
    """A submitted task: a future, with the id of its record."""

    def __init__(self, msg_id: str) -> None:
        super().__init__()
        self.msg_id = msg_id

    def __repr__(self) -> str:
        return f"<Task {self.msg_id} {self._state.lower()}>"


class Executor:
    """Runs the tasks of one database."""

    def __init__(
        self,
        database: Tasks,
        *,
        now: Callable[[], float],
        resolve: Resolve,
        workers: int,
    ) -> None:
        """Run tasks; no thread before the first.

        Args:
            database: Where they are recorded.
            now: The clock, seconds since the epoch.
            resolve: Returns a future that ends when a need is met, None if it is met already.
            workers: The most threads.
        """
        self._database = database
        self._now = now
        self._resolve = resolve
        self._workers = workers
        self.session = ""
        self.forked()
        forks.tell(self)

    def forked(self) -> None:
        """Go on as a child process: no thread is there, and what was submitted is the parent's."""
        self._lock = threading.Lock()  # a thread of the parent may have held the one before
        self._pool: ThreadPoolExecutor | None = None
        self._tasks: dict[str, Task] = {}
        self._pid = 0

    def submit(self, call: Call, needs: Need | Iterable[Need], label: str | None) -> Task:
        """Record a task, and run it when its needs are met.

        Raises:
            TypeError: a need is none; nothing is recorded.
        """
        self._begin()
        buffer = pickled(call)
        wanted = checked_needs(needs)
        content = content_of(call[0], wanted)
        return self._enter(call, content, [] if buffer is None else [buffer], wanted, label)

    def resubmit(self, msg_id: str, *, trust: bool) -> Task:
        """Run a task again under a new id, which its record is told.

        Raises:
            NoSuchTaskError: there is no record of this id.
            ResultUnavailableError: its function cannot be had, or may not be loaded.
        """
        self._begin()
        record = self._database.get_record(msg_id)
        content: Any = record["content"]
        if not isinstance(content, dict) or "function" not in content:
            raise ResultUnavailableError(msg_id, "was not submitted by fscache.tasks.submit")
        if not record["buffers"]:
            raise ResultUnavailableError(msg_id, "its function could not be kept as a pickle")
        call: Call = unpickle(self._database, record, "buffers", trust=trust)
        buffers: Any = record["buffers"]
        label: Any = record["label"]
        try:
            wanted = checked_needs(content.get("needs", []))
        except TypeError as exc:
            raise ResultUnavailableError(msg_id, str(exc)) from exc
        task = self._enter(call, content, buffers, wanted, label)
        self._database.update_record(msg_id, {"resubmitted": task.msg_id})
        return task

    def result(self, msg_id: str, timeout: float | None, *, trust: bool) -> Any:
        """Return a task's result, or raise what it raised; wait for it, whoever runs it.

        Raises:
            NoSuchTaskError: there is no record of this id.
            TimeoutError: it did not complete in time.
            TaskFailedError: it failed, and its exception cannot be had.
            ResultUnavailableError: its result cannot be had, or may not be loaded.
        """
        task = self._tasks.get(msg_id)
        if task is not None:
            try:
                return task.result(timeout)
            except TimeoutError:
                if task.done():  # it is the task's own
                    return task.result()
        elif self._database.wait([msg_id], timeout):
            record = self._database.get_record(msg_id)
            return outcome_of(self._database, record, trust=trust)
        raise TimeoutError(f"task {msg_id} has not completed after {timeout} s")

    def close(self) -> None:
        """Cancel what has not begun, and wait for what has."""
        with self._lock:
            pool, self._pool = self._pool, None
            tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if pool is not None:
            pool.shutdown()

    # -- inside ---------------------------------------------------------------------------------

    def _begin(self) -> None:
        with self._lock:
            if not self._pid:  # the first call here
                self._pid = os.getpid()
                self.session = str(uuid.uuid4())

    def _enter(
        self,
        call: Call,
        content: Record,
        buffers: Sequence[bytes],
        needs: Sequence[Need],
        label: str | None,
    ) -> Task:
        task = Task(str(uuid.uuid4()))
        record = request(
            task.msg_id,
            self.session,
            now=self._date(),
            content=content,
            buffers=buffers,
            label=label,
        )
        self._database.add_record(task.msg_id, record)
        with self._lock:
            self._tasks[task.msg_id] = task
        task.add_done_callback(self._record_cancelled)  # at once: others may be waiting for it
        self._when_met(task, call, needs)
        return task

    def _when_met(self, task: Task, call: Call, needs: Sequence[Need]) -> None:
        """Run a task when all its needs are met, or end it when one fails."""
        waiting: list[tuple[Need, Future[Any]]] = []
        try:
            for need in needs:
                future = self._resolve(need) if isinstance(need, str) else need
                if future is not None:
                    waiting.append((need, future))
        except FscacheError as exc:
            self._fail(task, exc)
            return
        left = len(waiting)
        lock = threading.Lock()

        def met(need: Need, future: Future[Any]) -> None:
            nonlocal left
            cause = None if future.cancelled() else future.exception()
            with lock:
                if left <= 0:
                    return  # another need has failed
                bad = future.cancelled() or cause is not None
                left = -1 if bad else left - 1
                last = left == 0
            if bad:
                error = NeedFailedError(need_text(need), str(cause or "cancelled"))
                error.__cause__ = cause
                self._fail(task, error)
            elif last:
                self._queue(task, call)

        if not waiting:
            self._queue(task, call)
        for need, future in waiting:
            future.add_done_callback(partial(met, need))

    def _queue(self, task: Task, call: Call) -> None:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="fscache-task")
            self._pool.submit(self._run, task, call)

    def _run(self, task: Task, call: Call) -> None:
        if not task.set_running_or_notify_cancel():
            return
        engine = f"{os.uname().nodename}:{os.getpid()}:{threading.get_ident()}"
        started = self._date()
        self._note(task, {"started": started, "engine_uuid": engine})
        try:
            function, arguments, options = call
            result = function(*arguments, **options)
        except BaseException as exc:  # noqa: BLE001 - it is the task's outcome, whatever it is
            self._end(task, exc, failure(exc))
        else:
            self._end(task, result, {"status": "ok"})

    def _fail(self, task: Task, error: BaseException) -> None:
        if task.set_running_or_notify_cancel():
            self._end(task, error, failure(error))

    def _end(self, task: Task, outcome: Any, content: Record) -> None:
        """Record how a task ended, then tell who waits for it in this process."""
        buffer = pickled(outcome)
        changes: dict[str, Any] = {
            "completed": self._date(),
            "result_header": {"msg_type": "apply_reply", "status": content["status"]},
            "result_metadata": {"format": "pickle" if buffer is not None else None},
            "result_content": content,
            "result_buffers": [] if buffer is None else [buffer],
        }
        if content["status"] != "ok":
            changes["error"] = content
        self._note(task, changes)
        with self._lock:
            self._tasks.pop(task.msg_id, None)
        if content["status"] == "ok":
            task.set_result(outcome)
        else:
            task.set_exception(outcome)

    def _record_cancelled(self, task: Future[Any]) -> None:
        if not isinstance(task, Task) or not task.cancelled() or self._pid != os.getpid():
            return  # a forked child may give up its copy only: the task runs on in its parent
        with self._lock:
            if self._tasks.pop(task.msg_id, None) is None:
                return
        content = {"status": "aborted", "ename": "CancelledError", "evalue": "", "traceback": []}
        self._note(task, {"completed": self._date(), "result_content": content})

    def _note(self, task: Task, changes: Mapping[str, Any]) -> None:
        try:
            self._database.update_record(task.msg_id, changes)
        except NoSuchTaskError:
            pass  # dropped while it ran
        except FscacheError as exc:
            import logging

            logging.getLogger("fscache").error("task %s is not recorded: %s", task.msg_id, exc)  # noqa: TRY400

    def _date(self) -> Any:
        return to_datetime(int(self._now() * 1e6))
