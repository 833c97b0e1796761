"""`fscache kv export`: keys and values as a table, for whatever comes next."""

from __future__ import annotations

from fscache.cli import outputs
from fscache.cli.kvs import add_store, store_of
from fscache.cli.kvtables import FORMATS, format_of, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator
    from typing import Any

    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--prefix", metavar="PREFIX", default="", help="only these keys")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        default=outputs.STDOUT,
        help="instead of standard output (-)",
    )
    add_formats(parser)
    add_store(parser)


def add_formats(parser: ArgumentParser) -> None:
    """Declare an option for each format; also used by `kv import`."""
    about = {
        "csv": "comma-separated, with a heading",
        "jsonl": "JSON lines: values exactly as they are (the default, if no ending says another)",
        "parquet": "Parquet; needs pyarrow",
        "sdb": "SQLite, as the original metastore has it",
    }
    group = parser.add_mutually_exclusive_group()
    for form in FORMATS:
        group.add_argument(
            f"--{form}", dest="form", action="store_const", const=form, help=about[form]
        )


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from fscache.cli.exits import UsageError

    output: str = arguments.output
    form = arguments.form or format_of(output) or "jsonl"
    kv = store_of(session, arguments)
    count = 0
    try:
        if form == "sdb":
            if output == outputs.STDOUT:
                raise UsageError("fscache kv export", "SQLite is written to a file: give -o FILE")
            from fscache.migrate.metastore import export_file

            count = export_file(kv, output, arguments.prefix)
        else:
            count = _export(kv.items(arguments.prefix), form, output)
    except TypeError as exc:
        raise UsageError("fscache kv export", str(exc)) from exc
    except UnicodeEncodeError as exc:
        why = f"{form} is UTF-8, which has no lone surrogates: {exc.object!r:.100}"
        raise UsageError("fscache kv export", why) from exc
    except ModuleNotFoundError as exc:
        raise UsageError("fscache kv export", f"Parquet needs {exc.name}: install it") from exc
    if output != outputs.STDOUT:
        session.emit(f"{count} keys in {output}", {"file": output, "keys": count})
    return 0


def _export(items: Iterator[tuple[str, Any]], form: str, output: str) -> int:
    count = 0

    def counted() -> Iterator[tuple[str, Any]]:
        nonlocal count
        for item in items:
            count += 1
            yield item

    outputs.write(write(counted(), form), output)
    return count
