"""`fscache workers start`: start a worker that goes on, and is started again when it dies."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    from fscache.cli.workers import add_hosts, add_orders

    add_orders(parser)
    add_hosts(parser)


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from fscache.cli import workers

    words = ["start"]
    for option in ("head", "name", "temp", "tls"):
        value = getattr(arguments, option)
        if value is not None:
            words += [f"--{option}", value]
    if arguments.threads:
        words += ["--threads", str(arguments.threads)]
    code = workers.elsewhere(session, arguments, *words)
    if code is not None:
        return code
    orders = workers.orders_of(session, arguments)
    state = workers.control(session).start(orders["name"], orders)
    workers.emit(session, state, "started")
    return 0
