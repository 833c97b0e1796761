"""`fscache kv import FILE`: keys and values from a table; `-` is standard input."""

from __future__ import annotations

import sys

from fscache.cli.kv_export import add_formats
from fscache.cli.kvs import add_store, store_of
from fscache.cli.kvtables import format_of, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator
    from typing import Any, BinaryIO

    from fscache.cli.session import Session
    from fscache.kv import KeyValues

_BATCH = 1000


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", metavar="FILE", help="a file; - is standard input")
    parser.add_argument("--prefix", metavar="PREFIX", default="", help="put before every key")
    parser.add_argument("--text", action="store_true", help="keep numbers in CSV as text")
    add_formats(parser)
    add_store(parser)


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from fscache.cli.exits import UsageError

    form = arguments.form or format_of(arguments.file) or "jsonl"
    kv = store_of(session, arguments)
    try:
        if arguments.file == "-":
            count = _import(_pairs(sys.stdin.buffer, form, arguments), kv)
        elif form == "sdb":
            from fscache.kv.sdb import read as read_sdb

            prefixed = ((arguments.prefix + key, value) for key, value in read_sdb(arguments.file))
            count = _import(prefixed, kv)
        else:
            with open(arguments.file, "rb") as file:
                count = _import(_pairs(file, form, arguments), kv)
    except ValueError as exc:
        raise UsageError("fscache kv import", f"{arguments.file}: {exc}") from exc
    except ModuleNotFoundError as exc:
        raise UsageError("fscache kv import", f"Parquet needs {exc.name}: install it") from exc
    session.emit(f"{count} keys imported", {"file": arguments.file, "keys": count})
    return 0


def _pairs(file: BinaryIO, form: str, arguments: Namespace) -> Iterator[tuple[str, Any]]:
    if form == "sdb":
        raise ValueError("SQLite is read from a file")
    if form == "parquet":
        import io

        file = io.BytesIO(file.read())  # it is read from its end
    for key, value in read(file, form, numbers=not arguments.text):
        yield arguments.prefix + key, value


def _import(pairs: Iterator[tuple[str, Any]], kv: KeyValues) -> int:
    from itertools import islice

    count = 0
    try:
        while batch := list(islice(pairs, _BATCH)):
            kv.multiput(batch)
            count += len(batch)
    except ValueError as exc:
        if not count:
            raise
        raise ValueError(f"{exc}; the first {count} keys are imported") from exc
    return count
