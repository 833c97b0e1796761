"""`fscache admin pin`: keep objects from being purged, until they are unpinned."""

from __future__ import annotations

from fscache.cli import keeping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "names",
        metavar="URL|ADDRESS",
        nargs="+",
        help="a URL keeps whatever it stands for, now and later; an address keeps that object",
    )


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    return change(session, arguments.names, pinned=True)


def change(session: Session, names: list[str], *, pinned: bool) -> int:
    """Pin or unpin; what does not name anything is reported and the others go on."""
    from fscache.admin.face import pin_name
    from fscache.errors import FscacheError

    hand = session.cache.admin
    for name in names:
        try:
            changed = hand.pin(name) if pinned else hand.unpin(name)
        except FscacheError as exc:
            session.fail(exc)
            continue
        known = pin_name(name)
        if not changed and not pinned and not session.json:
            keeping.note(f"not pinned: {known}")
            continue
        session.emit(known, {"name": known, "pinned": pinned, "changed": changed})
    return 0
