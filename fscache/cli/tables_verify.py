"""`fscache tables verify`: hash every copy of every shard again.

The exit code is 5 if a copy is missing or corrupt; `fscache tables rebalance` then brings good ones.
"""

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
    from fscache.cli.exits import VERIFICATION

    code = 0
    with tables.grid(session, arguments) as grid:
        for name in arguments.names:
            wrong = grid.tables.verify(name)
            if not wrong:
                session.emit(f"{name}: good", {"name": name, "good": True})
            for node, addresses in wrong.items():
                for address, why in addresses.items():
                    code = VERIFICATION
                    session.emit(
                        f"{name}: {address} on {node}: {why}",
                        {"name": name, "good": False, "node": node, "address": address, "why": why},
                    )
    return code
