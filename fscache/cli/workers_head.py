"""`fscache workers head`: be the head of a grid, in the foreground, until told to end."""

from __future__ import annotations

import sys

from fscache.grid.addresses import DEFAULT_PORT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--host", default="0.0.0.0", help="address to listen on")  # noqa: S104 - TLS
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="port; 0 picks a free one")
    parser.add_argument("--tls", metavar="DIR", help="the grid's certificates")


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from fscache.grid import daemon, tls

    pair = tls.load(arguments.tls or session.config.grid_tls)
    orders = {
        "role": "head",
        "pair": list(pair),
        "host": arguments.host,
        "port": arguments.port,
    }

    def ready(address: str) -> None:
        session.emit(address, {"address": address})
        sys.stdout.flush()  # whoever started us waits for this line

    return daemon.serve(orders, ready, lifeline=False)
