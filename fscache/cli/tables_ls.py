"""`fscache tables ls`: list the tables."""

from __future__ import annotations

import sys

from fscache.units import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    from fscache.cli.tables import add_grid

    add_grid(parser)


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from fscache.cli import tables
    from fscache.cli.table import aligned

    with tables.grid(session, arguments) as grid:
        found = grid.tables.ls()
    if session.json:
        for table in found:
            session.emit("", tables.fields(table))
        return 0
    rows = [("NAME", "ROWS", "SIZE", "SHARDS", "PARTITIONING")]
    for table in found:
        dealt = table.partitioning
        how = f"{dealt.kind} {','.join(dealt.by)}".strip()
        rows.append(
            (table.name, str(table.rows), format_size(table.size), str(len(table.shards)), how)
        )
    for line in aligned(rows, right=frozenset({1, 2, 3})):
        sys.stdout.write(f"{line}\n")
    return 0
