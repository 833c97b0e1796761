"""Work in a thread of its own while the program's first one waits, so that Ctrl-C ends it.

Signals are handled between two steps of Python in the first thread. DuckDB takes none while it reads rows
for somebody: a query that ran there could not be interrupted before its end.
"""

from __future__ import annotations

import contextvars
import threading
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
_END = 10.0  # s for the work to end: DuckDB takes 0.1


def attended(work: Callable[[], T], stop: Callable[[], None]) -> T:
    """Return what a piece of work returns, or raise what it raises.

    Args:
        work: What is to be done.
        stop: Ends it, from any thread; called if this one is interrupted.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()  # no signal comes here
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as exc:  # noqa: BLE001 - raised where the work is waited for
            outcome.set_exception(exc)

    # A notebook's output belongs to the cell that the context names.
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(run,), name="fscache sql", daemon=True)
    thread.start()
    try:
        wait([outcome])  # a join that is interrupted would take the thread for ended (Python 3.11)
    except BaseException:
        stop()
        thread.join(_END)
        raise
    thread.join()
    return outcome.result()
