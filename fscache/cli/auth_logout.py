"""`fscache auth logout`: remove a host's credential from the user's keyring."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("host", metavar="HOST", help="a host, or host:port, as `auth ls` shows it")


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from credentials import hosts
    from credentials.keyring_store import KeyringStore
    from fscache.cli.exits import NOT_FOUND, UsageError

    try:
        host, port = hosts.parse(arguments.host)
    except ValueError as exc:
        raise UsageError("fscache auth logout", str(exc)) from None
    name = hosts.keys(host, port)[0]
    removed = KeyringStore(session.config.keyring_hosts, patience=None).delete(host, port)
    text = f"removed the credential for {name}" if removed else f"there is none for {name}"
    session.emit(text, {"host": name, "removed": removed})
    return 0 if removed else NOT_FOUND
