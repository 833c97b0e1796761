"""Work that takes longer than a call may: begun by one, its result fetched by others.

A thread each, a few at once. Results stay for a while after they were first fetched, so that an answer
that got lost can be asked for again; those of the last `KEPT` are kept at most. A stop waits for nothing
here: what works on a root survives being killed (`fscache.admin`).
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import TYPE_CHECKING, Any

from fscache import errors
from fscache.remote import faults
from fscache.server.parking import park
from fscache.server.rpc import SERVER

if TYPE_CHECKING:
    from collections.abc import Callable

AT_ONCE = 4
KEPT = 16


class Jobs:
    """The long work of one server."""

    def __init__(self, stopping: Callable[[], bool]) -> None:
        """Begin with none; `stopping` says whether the server is about to stop."""
        self._stopping = stopping
        self._mutex = threading.Lock()
        self._jobs: OrderedDict[str, Future[Any]] = OrderedDict()

    def begin(self, work: Callable[[], Any]) -> str:
        """Begin work; return a name for `result`.

        Raises:
            TryAgainError: enough is under way, or the server is stopping.
        """
        name = secrets.token_hex(8)
        job: Future[Any] = Future()
        with self._mutex:
            running = sum(not each.done() for each in self._jobs.values())
            if self._stopping() or running >= AT_ONCE:
                raise errors.TryAgainError(SERVER, f"{running} long calls are under way")
            self._jobs[name] = job
            for old in [each for each, its in self._jobs.items() if its.done()][:-KEPT]:
                del self._jobs[old]
        threading.Thread(target=_run, args=(work, job), name="job", daemon=True).start()
        return name

    def result(self, name: str, timeout: float) -> Any:
        """Return what came of work, None after `timeout` seconds; raises what it raised.

        Raises:
            UnknownRequestError: there is none of this name; the server may have restarted.
            TryAgainError: the server is stopping.
        """
        with self._mutex:
            job = self._jobs.get(name)
        if job is None:
            raise errors.UnknownRequestError(SERVER, "no such long call; it ended with the server")
        ended = park(lambda seconds: wait_for([job], seconds).done, timeout, self._stopping)
        return job.result() if ended else None


def _run(work: Callable[[], Any], job: Future[Any]) -> None:
    try:
        result = work()
    except Exception as exc:
        if not faults.is_ours(exc):
            import logging

            logging.getLogger("fscache.server").exception("long call failed")
            exc = errors.RemoteError(SERVER, "internal error; see the log of the server")
        job.set_exception(exc)
    else:
        job.set_result(result)
