"""`fscache sql`: run a query, over tables and over files behind URLs.

Rows are written as they come. A file that is written with `-o` appears whole or not at all.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable
    from contextlib import ExitStack
    from typing import Any

    from fscache.cli.session import Session
    from fscache.grid.mapreduce import Progress
    from fscache.grid.sql.result import Result

_PATIENCE = 20.0  # s for the grid to answer: somebody waits
_FORMATS = ("table", "csv", "json", "parquet", "arrow")
_ENDINGS = {
    ".arrow": "arrow",
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".parquet": "parquet",
    ".txt": "table",
    "": "table",
}


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("query", metavar="QUERY", help="the query; - reads it from standard input")
    parser.add_argument(
        "--format",
        choices=_FORMATS,
        help="of the rows; by default what the name of FILE says, and else a table for people",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", default="-", help="write to FILE, not standard output (-)"
    )
    parser.add_argument(
        "--shared",
        metavar="NAME=JSON",
        action="append",
        default=[],
        help="a value for shared.NAME in the query; @FILE reads it from a file (may be repeated)",
    )
    parser.add_argument(
        "--grid",
        metavar="ADDRESS",
        help="the grid's head, tls://host:port; from the configuration by default, "
        "and without one the query runs in this process",
    )
    parser.add_argument("--tls", metavar="DIR", help="the grid's certificates")
    parser.add_argument(
        "--max-gather",
        metavar="SIZE",
        help="most bytes that may come together in one place, such as 4GiB; "
        "a quarter of the memory by default",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="show no progress")


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from contextlib import ExitStack

    from fscache.cli.outputs import write

    kind = _format(session, arguments)
    query = _stdin() if arguments.query == "-" else arguments.query
    options = {
        "shared": _shared(arguments.shared),
        "max_gather": _size(arguments.max_gather),
        "progress": None if session.json or arguments.quiet else _progress(),
    }
    with ExitStack() as stack:
        ask = _runner(session, arguments, stack)
        if kind == "table":
            write([_table(ask(query, **options))], arguments.output)
            return 0
        from fscache.grid.sql.output import encode

        rows = stack.enter_context(ask(query, streaming=True, **options))
        write(encode(rows, kind), arguments.output)
    return 0


def _runner(session: Session, arguments: Namespace, stack: ExitStack) -> Callable[..., Any]:
    address = arguments.grid or session.config.grid
    if address is None:
        from functools import partial

        from fscache.grid.sql import sql

        return partial(sql, cache=session.cache)
    from fscache.grid.grid import Grid

    joined = Grid(address, tls=arguments.tls, cache=session.cache, timeout=_PATIENCE)
    grid: Any = stack.enter_context(joined)
    run: Callable[..., Any] = grid.sql
    return run


def _format(session: Session, arguments: Namespace) -> str:
    kind: str | None = arguments.format
    if kind is None:
        ending = os.path.splitext(arguments.output)[1].lower()
        kind = _ENDINGS.get(ending)
        if session.json and kind in (None, "table"):
            kind = "json"
        if kind is None:
            raise _usage(f"{ending} says no format; use --format")
    if kind in ("parquet", "arrow") and arguments.output == "-" and sys.stdout.isatty():
        raise _usage(f"{kind} is not for a terminal; use -o FILE or a pipe")
    return kind


def _shared(given: list[str]) -> dict[str, Any]:
    import json

    values = {}
    for item in given:
        name, separator, text = item.partition("=")
        if not separator or not name.isidentifier():
            raise _usage(f"--shared: expected NAME=JSON, not {item}")
        data: str | bytes = text
        if text.startswith("@"):
            with open(text[1:], "rb") as file:
                data = file.read()
        try:
            values[name] = json.loads(data)
        except ValueError as exc:
            raise _usage(f"--shared {name}: {exc}") from None
    return values


def _stdin() -> str:
    """Return the query from standard input: UTF-8 as on all other ways, whatever the locale says."""
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as exc:
        raise _usage(f"standard input: {exc}") from None


def _size(text: str | None) -> int | None:
    if text is None:
        return None
    from fscache.units import parse_size

    try:
        return parse_size(text)
    except ValueError as exc:
        raise _usage(f"--max-gather: {exc}") from None


def _progress() -> Callable[[Progress], None] | None:
    if not sys.stderr.isatty():
        return None
    from fscache.grid.progress import Bar

    return Bar("sql")


def _table(result: Result) -> bytes:
    """Return rows as text for people."""
    from fscache.cli.table import aligned

    numeric = {
        number
        for number, kind in enumerate(result.types)
        if kind.startswith(("DECIMAL", "DOUBLE", "FLOAT"))
        or kind.endswith("INT")
        or kind == "INTEGER"
    }
    rows = [["NULL" if value is None else str(value) for value in row] for row in result.rows()]
    lines = aligned([result.columns, *rows], right=frozenset(numeric))
    return ("\n".join(lines) + "\n").encode(errors="surrogateescape")


def _usage(why: str) -> Exception:
    from fscache.cli.exits import UsageError

    return UsageError("fscache sql", why)
