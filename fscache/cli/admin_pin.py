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
    from fscache.errors import FscacheError
    from fscache.records.root import translated

    hand = keeping.keeper(session)
    for name in names:
        try:
            known = _plain(session, name, must_exist=pinned)
            with translated(hand.root.path):
                changed = (
                    hand.pins.add(known, by=keeping.user()) if pinned else hand.pins.remove(known)
                )
        except FscacheError as exc:
            session.fail(exc)
            continue
        session.emit(known, {"name": known, "pinned": pinned, "changed": changed})
    return 0


def _plain(session: Session, name: str, *, must_exist: bool) -> str:
    """Return a name as pins have it: a URL without user information, or an address.

    Raises:
        NotCachedError: it is not here, and only what is here can be pinned.
        InvalidAddressError: neither a URL nor an address.
    """
    if must_exist:
        session.cache.path(name)
    if ":" not in name:
        from fscache.objects.layout import format_address, parse_address

        return format_address(*parse_address(name))
    from fscache.urls.names import plain

    return plain(name)
