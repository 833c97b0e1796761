"""`fscache kv ls`: the keys of a store, those with a tag, or the stores."""

from __future__ import annotations

from fscache.cli.kvs import add_store, as_text, store_of, to_json
from fscache.urls.bars import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session
    from fscache.kv import KeyValues


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("prefix", metavar="PREFIX", nargs="?", default="", help="only these keys")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--values", action="store_true", help="keys and values")
    what.add_argument("--stores", action="store_true", help="the names of the stores instead")
    parser.add_argument("--tag", metavar="WORD", help="only keys with this tag")
    add_store(parser)


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    kv = store_of(session, arguments)
    if arguments.stores:
        for name in kv.stores():
            session.emit(name, {"store": name})
        return 0
    keys = _keys(kv, arguments)
    if not arguments.values:
        for key in keys:
            session.emit(printable(key), {"key": key})
        return 0
    for key in keys:
        value = kv.get(key, _keys)
        if value is not _keys:  # else it has gone since it was listed
            text = as_text(value).decode("utf-8", "backslashreplace")
            session.emit(
                f"{printable(key)}\t{printable(text)}", {"key": key, "value": to_json(value)}
            )
    return 0


def _keys(kv: KeyValues, arguments: Namespace) -> list[str]:
    if arguments.tag is None:
        return kv.keys(arguments.prefix)
    return [key for key in kv.tagged(arguments.tag) if key.startswith(arguments.prefix)]
