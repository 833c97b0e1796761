"""`fscache workers head`: be the head of a grid, in the foreground, until told to end."""

from __future__ import annotations

import sys

from fscache.cli.keeping import count
from fscache.grid.addresses import DEFAULT_PORT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    from fscache.cli.workers import add_tls

    everywhere = "0.0.0.0"  # noqa: S104 - TLS
    parser.add_argument(
        "--host", default=everywhere, help=f"address to listen on; {everywhere} by default"
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=DEFAULT_PORT,
        help=f"{DEFAULT_PORT} by default; 0 picks a free one",
    )
    add_tls(parser)


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

    daemon.serve(orders, ready, lifeline=False)
    return 0


def _port(text: str) -> int:
    port = count(text)
    if port >= 1 << 16:
        from argparse import ArgumentTypeError

        raise ArgumentTypeError(f"not a port, 0 to 65535: {text!r}")
    return port
