"""`fscache admin ls`: what is in the cache, filtered, sorted and cut off.

Sizes and times are for people on a terminal; elsewhere they are exact: bytes, and UTC to the second.
"""

from __future__ import annotations

import sys
import time
from itertools import islice

from fscache.cli.keeping import count, keeper
from fscache.records.listing import KINDS, ORDERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable

    from fscache.cli.session import Session
    from fscache.records.listing import Row

_FIRST = {
    "atime": "used last",
    "size": "largest",
    "age": "stored longest ago",
    "name": "by name",
    "hits": "asked for most",
}
_HEADING = ("ACCESSED", "STORED", "SIZE", "HITS", "KEPT", "BY", "ADDRESS", "NAME")
_CHUNK = 1000  # lines whose columns are aligned with each other


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    orders = ", ".join(f"{name}: {_FIRST[name]}" for name in ORDERS)
    parser.add_argument(
        "--sort", choices=list(ORDERS), default="atime", help=f"what comes first ({orders})"
    )
    parser.add_argument("--reverse", action="store_true", help="the other way round")
    parser.add_argument("--limit", metavar="N", type=count, help="no more than N lines")
    parser.add_argument("--kind", choices=KINDS, help="only these; object: all, by address")
    add_filter(parser)
    parser.add_argument("--csv", action="store_true", help="comma-separated, with a heading")


def add_filter(parser: ArgumentParser) -> None:
    """Declare `--filter`."""
    parser.add_argument(
        "--filter",
        metavar="F",
        action="append",
        default=[],
        help="size>1GiB, accessed>7d (longer ago), url~host/path (contains), … ; all must hold",
    )


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from fscache.admin.look import find
    from fscache.records.filters import parse_filter
    from fscache.records.listing import Query

    if arguments.csv and session.json:
        from fscache.cli.exits import UsageError

        raise UsageError("fscache admin ls", "--csv and --json exclude each other")
    query = Query(
        kind=arguments.kind,
        conditions=[parse_filter(text) for text in arguments.filter],
        order=arguments.sort,
        reverse=arguments.reverse,
    )
    show = _show_json if session.json else _show_csv if arguments.csv else _show_table
    hand = keeper(session)
    # Written while the catalog is read: a million rows need no memory.
    hand.ask(lambda catalog: show(find(hand, catalog, query, arguments.limit)))
    return 0


def _show_json(rows: Iterable[Row]) -> None:
    from json import dumps

    from fscache.admin.forms import listed

    for row in rows:
        sys.stdout.write(f"{dumps(listed(row))}\n")


def _show_csv(rows: Iterable[Row]) -> None:
    import csv

    from fscache.admin.forms import LISTED, listed

    writer = csv.DictWriter(sys.stdout, LISTED, lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(listed, rows))


def _show_table(rows: Iterable[Row]) -> None:
    from fscache.cli.table import aligned

    human = sys.stdout.isatty()
    lines = iter(rows)
    heading = [_HEADING]
    while heading or (chunk := [_cells(row, human=human) for row in islice(lines, _CHUNK)]):
        if heading:
            chunk = [*heading, *(_cells(row, human=human) for row in islice(lines, _CHUNK))]
            heading = []
        for line in aligned(chunk, right=frozenset({2, 3})):
            sys.stdout.write(f"{line}\n")


def _cells(row: Row, *, human: bool) -> tuple[str, ...]:
    from fscache.units import format_size

    kept = [word for word, said in (("pin", row.pinned), ("lease", row.leased)) if said]
    return (
        when(row.accessed, human=human),
        when(row.stored, human=human),
        format_size(row.size) if human else str(row.size),
        str(row.hits),
        ",".join(kept) or "-",
        row.by or "-",
        row.address or "-",
        row.name,
    )


def when(moment: float, *, human: bool) -> str:
    """Return a time for people, or exact."""
    if human:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
