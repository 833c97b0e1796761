"""`fscache admin ls`: what is in the cache, by last access, size or age.

Sizes and times are for people on a terminal; elsewhere they are exact: bytes, and UTC to the second.
"""

from __future__ import annotations

import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Mapping

    from fscache.cli.session import Session

_ORDERS = {
    # what comes first, and the column that says so
    "atime": ("used last", "accessed"),
    "size": ("largest", "size"),
    "age": ("fetched longest ago", "fetched"),
}


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    orders = ", ".join(f"{name}: {first}" for name, (first, _) in _ORDERS.items())
    parser.add_argument(
        "--sort", choices=list(_ORDERS), default="atime", help=f"what comes first ({orders})"
    )
    parser.add_argument("--reverse", action="store_true", help="the other way round")
    parser.add_argument("--limit", metavar="N", type=int, help="no more than N lines")


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    if arguments.limit is not None and arguments.limit < 0:
        from fscache.cli.exits import UsageError

        raise UsageError("fscache admin ls", "--limit is a number from 0")
    column = _ORDERS[arguments.sort][1]
    # Newest access and largest size first, but oldest first by age: the greatest of what is asked
    # for comes first, as `ls` does it.
    descending = (arguments.sort != "age") != arguments.reverse
    rows = sorted(
        session.cache.entries(), key=lambda row: _number(row[column]), reverse=descending
    )[: arguments.limit]
    if session.json:
        for row in rows:
            session.emit("", dict(row))
        return 0
    from fscache.cli.table import aligned

    heading = ("ACCESSED", "FETCHED", "SIZE", "ADDRESS", "URL")
    human = sys.stdout.isatty()
    cells = [_cells(row, human=human) for row in rows]
    for line in aligned([heading, *cells], right=frozenset({2})):
        sys.stdout.write(f"{line}\n")
    return 0


def _cells(row: Mapping[str, object], *, human: bool) -> tuple[str, ...]:
    from fscache.units import format_size

    size = _number(row["size"])
    return (
        _when(row["accessed"], human=human),
        _when(row["fetched"], human=human),
        format_size(size) if human else f"{size:.0f}",
        str(row["address"]),
        str(row["url"]),
    )


def _when(moment: object, *, human: bool) -> str:
    if moment is None:
        return "-"
    if human:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(_number(moment)))
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(_number(moment)))


def _number(value: object) -> float:
    """Return a column's number; 0 for what is not known."""
    return float(value) if isinstance(value, int | float) else 0.0
