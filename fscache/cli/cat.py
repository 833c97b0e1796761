"""`fscache cat`: the bytes of a URL, fetched if need be, or of an address, to standard output."""

from __future__ import annotations

import sys

from fscache.urls.names import is_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import BinaryIO

    from fscache.cli.session import Session

_CHUNK = 1 << 20


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="URL|ADDRESS")


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    name = arguments.name
    with _opened(session, name) as file:
        while chunk := file.read(_CHUNK):
            sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()
    return 0


def _opened(session: Session, name: str) -> BinaryIO:
    if is_url(name):
        return session.shared.open(name)
    return open(session.shared.path(name), "rb")
