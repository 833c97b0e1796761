"""What the commands `fscache tables …` have in common: the grid that they ask."""

from __future__ import annotations

from fscache.cli.workers import add_tls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from fscache.cli.session import Session
    from fscache.grid.grid import Grid
    from fscache.grid.table import Table


def add_grid(parser: ArgumentParser) -> None:
    """Declare which grid."""
    parser.add_argument(
        "--head",
        metavar="ADDRESS",
        help="the grid's head, tls://host:port; from the configuration by default, "
        "and without one a grid of this machine alone",
    )
    add_tls(parser)


def grid(session: Session, arguments: Namespace) -> Grid:
    """Return the grid; to be closed."""
    from fscache.grid.grid import Grid

    address = arguments.head or session.config.grid
    return Grid(address, workers=1, tls=arguments.tls, cache=session.cache)


def fields(table: Table) -> dict[str, Any]:
    """Return what `--json` prints of a table."""
    return {
        "name": table.name,
        "rows": table.rows,
        "size": table.size,
        "shards": len(table.shards),
        "replicas": table.replicas,
        "partitioning": table.partitioning.kind,
        "by": list(table.partitioning.by),
        "columns": {field.name: str(field.type) for field in table.schema},
        "source": table.source,
    }
