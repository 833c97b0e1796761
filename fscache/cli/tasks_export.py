"""`fscache tasks export`: records as a table, for whatever comes next."""

from __future__ import annotations

import os
import sys

from fscache.cli import tasks
from fscache.cli.outputs import STDOUT, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.exits import UsageError
    from fscache.cli.session import Session

_FORMATS = {"csv": "comma-separated, with a heading (the default)", "parquet": "needs pyarrow"}


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    tasks.add_choice(parser)
    parser.add_argument("--keys", metavar="K,…", help="the columns (default: all but the buffers)")
    parser.add_argument(
        "-o", "--output", metavar="FILE", default=STDOUT, help="instead of standard output (-)"
    )
    group = parser.add_mutually_exclusive_group()
    for form, about in _FORMATS.items():
        group.add_argument(f"--{form}", dest="form", action="store_const", const=form, help=about)


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    import io

    from fscache.tasks import table
    from fscache.tasks.model import asked_keys

    output: str = arguments.output
    form = arguments.form or _form_of(output)
    if form == "parquet" and output == STDOUT and sys.stdout.isatty():
        raise _usage("Parquet is not for a terminal: use -o FILE or a pipe")
    keys = asked_keys(tasks.keys_of(arguments.keys))
    records = tasks.tasks_of(session).db_query(tasks.query_of(arguments), keys)
    if form == "csv":
        text = io.StringIO(newline="")
        table.write_csv(records, text, keys)
        data = text.getvalue().encode()
    else:
        target = io.BytesIO()
        try:
            table.write_parquet(records, target, keys)
        except ModuleNotFoundError as exc:
            raise _usage(f"Parquet needs {exc.name}: install it") from exc
        data = target.getvalue()
    write([data], output)
    if output == STDOUT:
        return 0
    session.emit(
        f"{len(records)} tasks in {output}", {"file": output, "format": form, "tasks": len(records)}
    )
    return 0


def _form_of(output: str) -> str:
    """Return the format that a file's name says, CSV where it has no ending."""
    ending = os.path.splitext(output)[1].lower()
    if ending and ending[1:] not in _FORMATS:
        raise _usage(f"{ending} says no format: .csv and .parquet do, or give --csv or --parquet")
    return ending[1:] or "csv"


def _usage(why: str) -> UsageError:
    from fscache.cli.exits import UsageError

    return UsageError("fscache tasks export", why)
