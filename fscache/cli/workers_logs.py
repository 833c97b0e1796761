"""`fscache workers logs`: what workers of this host have written."""

from __future__ import annotations

import sys

from fscache.cli.keeping import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    from fscache.cli.workers import add_choice

    parser.add_argument(
        "-n", "--lines", type=count, default=50, help="of each, the last so many; 50 by default"
    )
    add_choice(parser)


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from collections import deque

    from fscache.cli import workers

    words = ["logs", "-n", str(arguments.lines), *arguments.names]
    code = workers.elsewhere(session, arguments, *words)
    if code is not None:
        return code
    control = workers.control(session)
    for name in arguments.names or control.names():
        with open(control.status(name).log, errors="replace") as log:
            for line in deque(log, arguments.lines):
                text = line.rstrip("\n")
                if session.json:
                    session.emit("", {"name": name, "line": text})
                else:
                    sys.stdout.write(f"{name}: {text}\n")
    return 0
