"""`fscache tasks show ID…`: all that is recorded of tasks."""

from __future__ import annotations

import re
import sys

from fscache.cli import tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from fscache.cli.session import Session

_TEXTS = ("execute_input", "stdout", "stderr")
"""Keys whose values have lines of their own."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("ids", metavar="ID", nargs="+", help="a task's id")


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from fscache.errors import NoSuchTaskError

    database = tasks.tasks_of(session)
    gap = ""
    for msg_id in arguments.ids:
        try:
            record = database.get_record(msg_id)
        except NoSuchTaskError as exc:
            session.fail(exc)
            continue
        if session.json:
            session.emit("", {"state": tasks.state_of(record), **tasks.as_json(record)})
        else:
            sys.stdout.write(gap)
            _show(record)
            gap = "\n"
    return 0


def _show(record: dict[str, Any]) -> None:
    from json import dumps

    from fscache.urls.bars import printable

    told = {"msg_id": record["msg_id"], "state": tasks.state_of(record)}
    told |= {key: value for key, value in tasks.as_json(record).items() if key not in _TEXTS}
    failure = record["error"] or record["result_content"]
    trace = failure.get("traceback") if isinstance(failure, dict) else None
    for key in ("error", "result_content"):
        if isinstance(told[key], dict):
            told[key] = {name: each for name, each in told[key].items() if name != "traceback"}
    width = max(map(len, told))
    for key, value in told.items():
        if value is None:
            continue
        text = value if isinstance(value, str) else dumps(value, ensure_ascii=False)
        sys.stdout.write(f"{key:<{width}}  {printable(text)}\n")
    for key in _TEXTS:
        if record[key]:
            _lines(key, str(record[key]))
    if trace:
        # IPython's has colours, and lines without ends; Python's has ends within lines.
        parts = trace if isinstance(trace, list) else [trace]
        text = "\n".join(str(part).removesuffix("\n") for part in parts)
        _lines("traceback", _COLOUR.sub("", text))


def _lines(key: str, text: str) -> None:
    from fscache.urls.bars import printable

    sys.stdout.write(f"{key}:\n")
    for line in text.splitlines():
        # Nothing of a program's output steers the terminal of who looks at it later.
        sys.stdout.write(f"    {printable(line.expandtabs())}\n")
