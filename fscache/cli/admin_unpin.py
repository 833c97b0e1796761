"""`fscache admin unpin`: let what was pinned be purged again."""

from __future__ import annotations

from fscache.cli.admin_pin import change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("names", metavar="URL|ADDRESS", nargs="+", help="what was pinned")


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    return change(session, arguments.names, pinned=False)
