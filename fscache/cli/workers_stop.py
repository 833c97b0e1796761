"""`fscache workers stop`: stop workers of this host; they are not missed then."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    from fscache.cli.workers import add_choice

    parser.add_argument(
        "--forget", action="store_true", help="remove what is known of them, too, and their logs"
    )
    add_choice(parser)


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from fscache.cli import workers

    words = ["stop", *(["--forget"] if arguments.forget else []), *arguments.names]
    code = workers.elsewhere(session, arguments, *words)
    if code is not None:
        return code
    control = workers.control(session)
    for name in arguments.names or control.names():
        ran = control.stop(name)
        state = control.status(name)
        if arguments.forget:
            control.forget(name)
        workers.emit(session, state, "stopped" if ran else "did not run")
    return 0
