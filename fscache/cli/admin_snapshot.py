"""`fscache admin snapshot FILE`: the whole listing, by name, to compare with another one later.

JSON lines as of `admin ls --json`, or CSV if the file's name ends in `.csv`. The order is that of the
names, so that `diff` and `comm` of two snapshots show what came and went.
"""

from __future__ import annotations

from fscache.admin.forms import LISTED, listed
from fscache.cli.keeping import keeper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

    from fscache.cli.session import Session
    from fscache.records.catalog import Catalog


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "file", metavar="FILE", help="written whole, or not at all; - is standard output"
    )


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from fscache.cli.outputs import STDOUT, write
    from fscache.records.listing import Query, rows

    hand = keeper(session)
    count = 0

    def lines(catalog: Catalog) -> Iterator[dict[str, object]]:
        nonlocal count
        pinned = hand.pins.names()
        for row in rows(catalog.db, Query(order="name"), hand.root.now()):
            row.pinned = row.name in pinned or row.address in pinned
            values = listed(row)
            del values["leased"]  # nobody looked
            count += 1
            yield values

    form = _csv if arguments.file.endswith(".csv") else _json
    hand.ask(lambda catalog: write(form(lines(catalog)), arguments.file))
    if arguments.file == STDOUT:
        return 0
    session.emit(f"{count} lines in {arguments.file}", {"file": arguments.file, "lines": count})
    return 0


def _json(rows: Iterator[dict[str, object]]) -> Iterator[bytes]:
    from json import dumps

    for row in rows:
        yield f"{dumps(row)}\n".encode()


def _csv(rows: Iterator[dict[str, object]]) -> Iterator[bytes]:
    import csv
    import io

    text = io.StringIO()
    columns = [column for column in LISTED if column != "leased"]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(row)
        yield text.getvalue().encode("utf-8", "surrogateescape")
        text.seek(0)
        text.truncate()
    yield text.getvalue().encode()  # the heading, where there are no rows
