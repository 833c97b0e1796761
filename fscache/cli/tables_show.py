"""`fscache tables show`: a table's columns and shards."""

from __future__ import annotations

import sys
from dataclasses import asdict

from fscache.units import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    from fscache.cli.tables import add_grid

    parser.add_argument("name", metavar="NAME", help="of the table")
    add_grid(parser)


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from fscache.cli import tables
    from fscache.cli.table import aligned

    with tables.grid(session, arguments) as grid:
        table = grid.tables.show(arguments.name)
    if session.json:
        shards = [asdict(shard) for shard in table.shards]
        session.emit("", {**tables.fields(table), "shards": shards})
        return 0
    lines = [f"{table.name}: {table.rows} rows, {format_size(table.size)}, from {table.source}", ""]
    lines += aligned([("COLUMN", "TYPE"), *((each.name, str(each.type)) for each in table.schema)])
    heading = ("SHARD", "ROWS", "SIZE", "ADDRESS", "NODES")
    rows = [
        (str(s.index), str(s.rows), format_size(s.size), s.address, ", ".join(s.nodes))
        for s in table.shards
    ]
    lines += ["", *aligned([heading, *rows], right=frozenset({0, 1, 2}))]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0
