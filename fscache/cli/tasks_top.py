"""`fscache tasks top`: what runs now, what ended last and how fast, drawn anew in place.

`q` leaves with 0, Ctrl-C with 130. Where output is no terminal, each refresh is written below the one
before; with `--json` each is one object.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime, timedelta

from fscache.cli import keeping, tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Any, Self

    from fscache.cli.session import Session
    from fscache.tasks.face import Tasks
    from fscache.tasks.model import Record

_WINDOW = timedelta(minutes=1)
"""Over which the rate is taken, and failures are counted."""
_LATELY = timedelta(hours=1)
"""What ended longer ago is not shown."""
_LINES = 20
"""Tasks that are told where there is no screen to fill."""
_HEAD = 4
"""Lines above the tasks."""


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    tasks.add_choice(parser)
    parser.add_argument(
        "--interval",
        metavar="T",
        type=keeping.duration,
        default=2.0,
        help="between two refreshes (default: 2s)",
    )
    parser.add_argument("--count", metavar="N", type=keeping.count, help="end after N refreshes")


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    if arguments.interval < _SHORTEST:
        from fscache.cli.exits import UsageError

        raise UsageError("fscache tasks top", f"--interval: at least {_SHORTEST} s")
    view = View(tasks.tasks_of(session), arguments)
    left = arguments.count
    with Screen(plain=session.json) as screen:
        while left != 0:
            if session.json:
                session.emit("", view.fields(_LINES))
                sys.stdout.flush()
            else:
                width, height = screen.size
                screen.draw(list(view.lines(width, height - _HEAD, human=screen.drawn)))
            left = None if left is None else left - 1
            if left != 0 and screen.wait(arguments.interval):
                break
    return 0


class View:
    """What is shown of a task database."""

    def __init__(self, database: Tasks, arguments: Namespace) -> None:
        """Show the tasks that the arguments choose."""
        self._database = database
        self._arguments = arguments
        self._ended: dict[str, str] = {}

    def lines(self, width: int, room: int, *, human: bool) -> Iterator[str]:
        """Yield what stands on a screen: a heading, and as many tasks as there is room for."""
        from fscache.cli.table import aligned
        from fscache.cli.tasks_ls import HEADING, cells

        now = _now()
        told = self._figures(now)
        counts = "  ".join(f"{told[each]} {each}" for each in ("queued", "running", "completed"))
        rate = f"{told['rate']:.3g}/s, {told['failed']} failed in the last minute"
        yield _cut(f"fscache tasks  {now.astimezone():%Y-%m-%d %H:%M:%S}", width)
        yield _cut(f"{counts}  ({rate})", width)
        yield ""
        found = self._tasks(now, room)
        rows = [HEADING, *(cells(record, human=human, now=now) for record in found)]
        for line in aligned(rows, right=frozenset({2})):
            yield _cut(line, width)

    def fields(self, room: int) -> dict[str, object]:
        """Return what `--json` says."""
        now = _now()
        found = [tasks.line_fields(record) for record in self._tasks(now, room)]
        return {"time": now.isoformat(), **self._figures(now), "tasks": found}

    def _query(self, *parts: tasks.Query) -> tasks.Query:
        # Made each time: what is an hour ago moves on.
        return {"$and": [tasks.query_of(self._arguments), *parts]}

    def _figures(self, now: datetime) -> dict[str, Any]:
        database = self._database
        self._look(now)
        states = list(self._ended.values())
        return {
            "queued": database.count(self._query(tasks.in_state(tasks.QUEUED))),
            "running": database.count(self._query(tasks.in_state(tasks.RUNNING))),
            "completed": database.count(self._query({"completed": {"$ne": None}})),
            "rate": round(len(states) / _WINDOW.total_seconds(), 6),
            "failed": states.count(tasks.FAILED),
        }

    def _look(self, now: datetime) -> None:
        """Find out how those ended that have since the last look; each record is read once."""
        query = self._query({"completed": {"$gt": now - _WINDOW}})
        lately = self._database.find_records(query, ("completed",))
        ids = [str(record["msg_id"]) for record in lately]
        fresh = tasks.by_ids(self._database, [each for each in ids if each not in self._ended])
        known = self._ended | {str(each["msg_id"]): tasks.state_of(each) for each in fresh}
        self._ended = {each: known[each] for each in ids if each in known}

    def _tasks(self, now: datetime, room: int) -> list[Record]:
        """Return what runs, the longest first, and then what ended last."""
        running = self._query(tasks.in_state(tasks.RUNNING))
        room = max(room, 0)
        found = tasks.listed(self._database, running, reverse=True, limit=room)
        if len(found) < room:
            ended = self._query({"completed": {"$gt": now - _LATELY}})
            found += tasks.listed(self._database, ended, "completed", limit=room - len(found))
        return found


class Screen:
    """The terminal, where there is one: drawn over in place, and given back as it was.

    Also where a signal ends the program, and for as long as Ctrl-Z stops it.
    """

    def __init__(self, *, plain: bool) -> None:
        """Draw on standard output; `plain` writes below what is there even on a terminal."""
        self.drawn = sys.stdout.isatty() and not plain
        self._keys = sys.stdin.isatty() and self.drawn
        self._before: Any = None
        self._handlers: dict[int, Any] = {}

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines; where there is no terminal, room for `_LINES` tasks."""
        if not self.drawn:
            return _UNLIMITED, _LINES + _HEAD
        from fscache.urls.progress import terminal_size

        return terminal_size(sys.stdout)

    def __enter__(self) -> Self:
        if self.drawn:
            import signal

            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP):
                self._handlers[number] = signal.signal(number, self._interrupted)
        self._take()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._give_back()
        if self._handlers:
            import signal

            for number, handler in self._handlers.items():
                signal.signal(number, handler)

    def draw(self, lines: list[str]) -> None:
        """Show lines instead of those shown before."""
        if self.drawn:
            # Line by line over what stood there, not cleared first: nothing flickers.
            sys.stdout.write("\x1b[H" + "\n".join(f"{line}\x1b[K" for line in lines) + "\x1b[J")
        else:
            sys.stdout.writelines(f"{line}\n" for line in [*lines, ""])
        sys.stdout.flush()

    def wait(self, seconds: float) -> bool:
        """Wait; return whether it was asked to end."""
        if not self._keys:
            time.sleep(seconds)
            return False
        import select

        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if not select.select([sys.stdin], [], [], left)[0]:
                return False
            key = os.read(sys.stdin.fileno(), 1)
            if key in (b"q", b""):
                return True
        return False

    def _take(self) -> None:
        if self._keys:
            import termios
            import tty

            self._before = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin)  # a key is read when it is pressed, and not shown
        if self.drawn:
            _write("\x1b[?1049h\x1b[?25l")  # another page of the terminal, no cursor

    def _give_back(self) -> None:
        if self.drawn:
            _write("\x1b[?25h\x1b[?1049l")
        if self._keys:
            import termios

            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    def _interrupted(self, number: int, _frame: object) -> None:
        """Give the terminal back, and do what the signal does without this."""
        import signal

        try:
            self._give_back()
        finally:  # the terminal may be gone
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        # Here again: it was stopped, and goes on.
        signal.signal(number, self._interrupted)
        self._take()


def _write(controls: str) -> None:
    # Not through the buffer of `sys.stdout`, which a signal may find in the middle of a call.
    os.write(sys.stdout.fileno(), controls.encode())


def _cut(line: str, width: int) -> str:
    from fscache.urls.bars import columns

    while columns(line) > width:
        line = line[: width - columns(line)]
    return line


_SHORTEST = 0.1
_UNLIMITED = 10_000


def _now(
    clock: Callable[[], float] = time.time,  # noqa: TID251 - the default of the injected clock
) -> datetime:
    return datetime.fromtimestamp(clock(), UTC)
