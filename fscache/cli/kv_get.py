"""`fscache kv get`: print values; text and bytes as they are, all else as JSON."""

from __future__ import annotations

import sys

from fscache.cli.kvs import add_store, as_text, missing, store_of, to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("keys", metavar="KEY", nargs="+")
    add_store(parser)


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    kv = store_of(session, arguments)
    found = kv.multiget(arguments.keys, missing)
    for key in arguments.keys:
        value = found[key]
        if value is missing:
            session.fail(missing(key))
        elif session.json:
            session.emit("", {"key": key, "value": to_json(value)})
        else:
            # No line break behind a single value's bytes: what was put is what comes out.
            data = as_text(value)
            exact = isinstance(value, bytes) and len(arguments.keys) == 1
            sys.stdout.flush()
            sys.stdout.buffer.write(data if exact else data + b"\n")
    return 0
