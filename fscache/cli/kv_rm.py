"""`fscache kv rm`: remove keys, or all that begin alike."""

from __future__ import annotations

from fscache.cli.kvs import add_store, missing, store_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("keys", metavar="KEY", nargs="*")
    parser.add_argument("--prefix", metavar="PREFIX", help="all keys that begin with it")
    parser.add_argument("--expired", action="store_true", help="what has passed its ttl")
    add_store(parser)


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from fscache.cli.exits import UsageError

    if not (arguments.keys or arguments.prefix is not None or arguments.expired):
        raise UsageError("fscache kv rm", "which keys?")
    kv = store_of(session, arguments)
    for key in arguments.keys:
        removed = kv.delete(key)
        if session.json:
            session.emit("", {"key": key, "removed": removed})
        if not removed:
            session.fail(missing(key))
    if arguments.prefix is not None:
        count = sum(map(kv.delete, kv.keys(arguments.prefix)))
        session.emit(f"{count} removed", {"prefix": arguments.prefix, "removed": count})
    if arguments.expired:
        count = kv.sweep()
        session.emit(f"{count} removed", {"expired": True, "removed": count})
    return 0
