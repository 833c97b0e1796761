"""`fscache tasks resubmit ID…`: run tasks again, in this process, under new ids.

For those that `fscache.tasks.submit` has recorded. The exit code is 1 if one of them fails. Ctrl-C ends
the process under whatever runs, and the records say so.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime

from fscache.cli import tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

    from fscache.cli.session import Session
    from fscache.tasks.executor import Task
    from fscache.tasks.face import Tasks


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("ids", metavar="ID", nargs="+", help="a task's id")
    parser.add_argument(
        "--trust",
        action="store_true",
        help="also functions that another user has written: a pickle can run any code",
    )


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from fscache.errors import TaskError

    database = tasks.tasks_of(session)
    running: list[tuple[str, Task]] = []
    try:
        # Within, too: the first of them may be under way before the last one is begun.
        for msg_id in arguments.ids:
            try:
                running.append((msg_id, database.resubmit(msg_id, trust=arguments.trust)))
            except TaskError as exc:
                session.fail(exc)
        return _follow(session, running)
    except KeyboardInterrupt as exc:
        from fscache.cli.failure import report

        _abort(database, [task for _, task in running if not task.done()])
        code = report(exc, json=session.json)
        sys.stdout.flush()
        # Not by returning: a thread cannot be stopped, and would be waited for.
        os._exit(code)


def _follow(session: Session, running: list[tuple[str, Task]]) -> int:
    failed = False
    for old, task in running:
        error = task.exception()
        failed = failed or error is not None
        state = tasks.DONE if error is None else tasks.FAILED
        why = "" if error is None else f": {type(error).__name__}: {error}"
        session.emit(
            f"{old} → {task.msg_id} {state}{why}",
            {"msg_id": old, "resubmitted": task.msg_id, "state": state, "error": why[2:] or None},
        )
    return 1 if failed else 0


def _abort(
    database: Tasks,
    left: list[Task],
    clock: Callable[[], float] = time.time,  # noqa: TID251 - the default of the injected clock
) -> None:
    now = datetime.fromtimestamp(clock(), UTC)
    content = {"status": "aborted", "ename": "KeyboardInterrupt", "evalue": "", "traceback": []}
    for task in left:
        database.update_record(task.msg_id, {"completed": now, "result_content": content})
