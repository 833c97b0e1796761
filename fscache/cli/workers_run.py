"""`fscache workers run`: be a worker, in the foreground, until told to end; for systemd and Slurm."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    from fscache.cli.workers import add_orders

    add_orders(parser)


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from fscache.cli.workers import orders_of
    from fscache.grid import daemon, tls

    orders = orders_of(session, arguments)
    orders["role"] = "worker"
    orders["pair"] = list(tls.load(orders.pop("tls")))

    def ready(address: str) -> None:
        session.emit(address, {"address": address})
        sys.stdout.flush()  # whoever started us waits for this line

    daemon.serve(orders, ready, lifeline=False)
    return 0
