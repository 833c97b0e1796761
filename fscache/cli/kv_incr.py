"""`fscache kv incr KEY [DELTA]`: add to a number, print the sum."""

from __future__ import annotations

from argparse import ArgumentTypeError

from fscache.cli.kvs import add_store, store_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("key", metavar="KEY")
    parser.add_argument(
        "delta",
        metavar="DELTA",
        nargs="?",
        type=_number,
        default=1,
        help="what to add (default: 1)",
    )
    add_store(parser)


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from fscache.cli.exits import UsageError

    try:
        total = store_of(session, arguments).incr(arguments.key, arguments.delta)
    except TypeError as exc:
        raise UsageError("fscache kv incr", str(exc)) from exc
    session.emit(str(total), {"key": arguments.key, "value": total})
    return 0


def _number(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise ArgumentTypeError(f"not a number: {text!r}") from None
