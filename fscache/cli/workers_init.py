"""`fscache workers init`: make the certificates of a grid, once; its members get copies."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--tls", metavar="DIR", help="where; from the configuration by default")
    parser.add_argument("--name", default="fscache grid", help="the grid's name, for people")


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from fscache.grid import tls

    directory = arguments.tls or session.config.grid_tls
    files = tls.create(directory, arguments.name)
    session.emit(
        f"{directory}: copy {', '.join(files[:1] + files[2:])} to every node, and keep {files[1]} here",
        {"directory": directory, "files": files},
    )
    return 0
