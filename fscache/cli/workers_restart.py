"""`fscache workers restart`: stop workers of this host, and start them as they were.

By default all but those that somebody has stopped.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    from fscache.cli.workers import add_choice

    add_choice(parser)


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from fscache.cli import workers

    code = workers.elsewhere(session, arguments, "restart", *arguments.names)
    if code is not None:
        return code
    control = workers.control(session)
    here = [name for name in control.names() if not control.status(name).stopped]
    for name in arguments.names or here:
        orders = control.status(name).orders
        control.stop(name)
        state = control.start(name, orders)
        workers.emit(session, state, "started")
    return 0
