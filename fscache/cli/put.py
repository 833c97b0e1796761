"""`fscache put`: keep files, or what comes through standard input, as objects."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("files", metavar="FILE", nargs="+", help="a file; - is standard input")


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    for file in arguments.files:
        try:
            address = session.shared.put(sys.stdin.buffer if file == "-" else file)
        except OSError as exc:
            session.fail(exc)
            continue
        session.emit(address, {"file": file, "address": address})
    return 0
