"""`fscache tables deploy`: make a table of files, and place its shards on the nodes."""

from __future__ import annotations

from fscache.cli.keeping import size
from fscache.units import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    from fscache.cli.tables import add_grid

    parser.add_argument(
        "source", metavar="PATH", help="a file, or a directory with files of one kind"
    )
    parser.add_argument("name", metavar="NAME", help="of the table")
    parser.add_argument(
        "--partition-by", metavar="COLUMN,…", help="deal the rows to shards by these columns"
    )
    parser.add_argument(
        "--how",
        choices=("range", "hash"),
        default="range",
        help="in sorted ranges, the default, or by hash",
    )
    parser.add_argument("--like", metavar="TABLE", help="take over the ranges of another table")
    parser.add_argument("--columns", metavar="COLUMN,…", help="which to keep; all by default")
    parser.add_argument(
        "--replicas", type=int, default=1, help="nodes that are to have each shard; 1 by default"
    )
    parser.add_argument(
        "--shards", type=int, help="how many there are to be; by default what --shard-size makes"
    )
    parser.add_argument(
        "--shard-size", type=size, default=64 << 20, help="of each, about: 100M; 64M by default"
    )
    parser.add_argument("--replace", action="store_true", help="take the place of another table")
    add_grid(parser)


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from fscache.cli import tables

    with tables.grid(session, arguments) as grid:
        table = grid.tables.deploy(
            arguments.source,
            arguments.name,
            arguments.partition_by.split(",") if arguments.partition_by else None,
            arguments.replicas,
            how=arguments.how,
            like=arguments.like,
            shards=arguments.shards,
            shard_size=arguments.shard_size,
            replace=arguments.replace,
            columns=arguments.columns.split(",") if arguments.columns else None,
        )
    text = (
        f"{table.name}: {table.rows} rows in {len(table.shards)} shards, {format_size(table.size)}"
    )
    session.emit(text, tables.fields(table))
    return 0
