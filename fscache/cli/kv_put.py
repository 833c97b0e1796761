"""`fscache kv put KEY VALUE`: keep a value; `-` is standard input."""

from __future__ import annotations

import os
import sys

from fscache.cli.keeping import duration
from fscache.cli.kvs import FORMS, add_store, parse_value, store_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("key", metavar="KEY")
    parser.add_argument("value", metavar="VALUE", help="the value; - is standard input")
    parser.add_argument(
        "--as",
        dest="form",
        choices=FORMS,
        default="text",
        help="what VALUE is (default: text); numbers, lists and so on are json",
    )
    parser.add_argument(
        "--ttl", metavar="T", type=duration, help="gone after T, such as 12h (default: never)"
    )
    parser.add_argument(
        "--tag",
        metavar="WORD",
        action="append",
        default=[],
        help="to find it by (may be repeated)",
    )
    add_store(parser)


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from fscache.cli.exits import UsageError

    kv = store_of(session, arguments)
    data = sys.stdin.buffer.read() if arguments.value == "-" else os.fsencode(arguments.value)
    try:
        value = parse_value(data, arguments.form)
        kv.put(arguments.key, value, ttl=arguments.ttl, tags=arguments.tag)
    except ValueError as exc:
        raise UsageError("fscache kv put", str(exc)) from exc
    if session.json:
        session.emit("", {"key": arguments.key})
    return 0
