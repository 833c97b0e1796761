"""`fscache kv watch [PREFIX]`: print each key that changes, with its value, until interrupted."""

from __future__ import annotations

import sys

from fscache.cli.keeping import count, duration
from fscache.cli.kvs import add_store, as_text, store_of, to_json
from fscache.urls.bars import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("prefix", metavar="PREFIX", nargs="?", default="", help="only these keys")
    parser.add_argument(
        "--timeout",
        metavar="T",
        type=duration,
        help="end when nothing changes for T, such as 30s (default: never)",
    )
    parser.add_argument(
        "--count", metavar="N", type=count, help="end after N changes (default: never)"
    )
    add_store(parser)


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    kv = store_of(session, arguments)
    left = arguments.count
    if left == 0:
        return 0
    for key in kv.watch(arguments.prefix, arguments.timeout):
        value = kv.get(key, execute)
        if value is execute:
            session.emit(f"{printable(key)}\tremoved", {"key": key, "removed": True})
        else:
            text = printable(as_text(value).decode("utf-8", "backslashreplace"))
            session.emit(f"{printable(key)}\t{text}", {"key": key, "value": to_json(value)})
        sys.stdout.flush()  # whoever reads the pipe waits for it
        if left is not None:
            left -= 1
            if not left:
                break
    return 0
