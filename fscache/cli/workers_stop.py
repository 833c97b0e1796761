"""`fscache workers stop`: stop workers of this host."""

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

    code = workers.elsewhere(session, arguments, "stop", *arguments.names)
    if code is not None:
        return code
    control = workers.control(session)
    for name in arguments.names or control.names():
        ran = control.stop(name)
        workers.emit(session, control.status(name), "stopped" if ran else "did not run")
    return 0
