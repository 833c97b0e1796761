"""`fscache admin reindex`: make the catalog anew from the files, and say what was found."""

from __future__ import annotations

from fscache.cli.keeping import keeper, note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session

_SHOWN = 20


def configure(parser: ArgumentParser) -> None:
    """Declare no arguments: there are none."""


def execute(session: Session, _arguments: Namespace) -> int:
    """Run the command."""
    from fscache.admin.forms import surveyed
    from fscache.units import format_size

    found = keeper(session).reindex()
    entries = ", ".join(f"{count} {kind}" for kind, count in sorted(found.entries.items()))
    text = f"{found.objects} objects, {format_size(found.bytes)}; entries: {entries or 'none'}"
    if found.new is not None:
        text += f"; new to the catalog: {found.new}, gone from it: {found.gone}"
    for count, what in (
        (found.dangling, "entries without an object"),
        (len(found.strays), "strays"),
    ):
        if count:
            text += f"; {count} {what} (see `fscache admin verify`)"
    session.emit(text, surveyed(found))
    if not session.json:
        for path in sorted(found.strays)[:_SHOWN]:
            note(f"stray: {path}")
    return 0
