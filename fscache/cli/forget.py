"""`fscache forget`: remove URLs' entries; their objects go with the next purge."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("urls", metavar="URL", nargs="+")


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from fscache.errors import NotCachedError
    from stager.urls import redact

    for url in arguments.urls:
        forgotten = session.shared.forget(url)
        if session.json:
            session.emit("", {"url": url, "forgotten": forgotten})
        if not forgotten:
            session.fail(NotCachedError(redact(url)))
    return 0
