"""`fscache tables rebalance`: place a table's shards on the nodes that are there now."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    from fscache.cli.tables import add_grid

    parser.add_argument("name", metavar="NAME", help="of the table")
    parser.add_argument(
        "--replicas", type=int, help="nodes that are to have each shard; as many as now by default"
    )
    add_grid(parser)


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from fscache.cli import tables

    with tables.grid(session, arguments) as grid:
        table = grid.tables.rebalance(arguments.name, arguments.replicas)
    count: dict[str, int] = {}
    for shard in table.shards:
        for node in shard.nodes:
            count[node] = count.get(node, 0) + 1
    for node, shards in sorted(count.items()):
        session.emit(f"{node}: {shards} shards", {"node": node, "shards": shards})
    return 0
