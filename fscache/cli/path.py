"""`fscache path`: where a URL's or an address's bytes lie. Never fetches, never hashes."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="URL|ADDRESS")


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    return show(session, arguments.name)


def show(session: Session, name: str) -> int:
    """Print the path of `name`.

    Raises:
        NotCachedError: it is not here.
    """
    path = os.fspath(session.shared.path(name))
    session.emit(path, {"name": name, "path": path})
    return 0
