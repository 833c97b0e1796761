"""`fscache tables drop`: forget tables; their objects are left to a purge."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    from fscache.cli.tables import add_grid

    parser.add_argument("names", metavar="NAME", nargs="+", help="of a table")
    add_grid(parser)


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from fscache.cli import tables

    with tables.grid(session, arguments) as grid:
        for name in arguments.names:
            grid.tables.drop(name)
            session.emit(f"{name}: dropped", {"name": name})
    return 0
