"""`fscache tasks export`: records as a table, for whatever comes next."""

from __future__ import annotations

from fscache.cli import tasks
from fscache.cli.outputs import STDOUT, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

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

    from fscache.cli.exits import UsageError
    from fscache.tasks import table

    output: str = arguments.output
    ending = output.rpartition(".")[2].lower()
    form = arguments.form or (ending if ending in _FORMATS else "csv")
    records = tasks.tasks_of(session).db_query(
        tasks.query_of(arguments), tasks.keys_of(arguments.keys)
    )
    if form == "csv":
        text = io.StringIO(newline="")
        table.write_csv(records, text)
        data = text.getvalue().encode("utf-8", "surrogateescape")
    else:
        target = io.BytesIO()
        try:
            table.write_parquet(records, target)
        except ModuleNotFoundError as exc:
            why = f"Parquet needs {exc.name}: install it"
            raise UsageError("fscache tasks export", why) from exc
        data = target.getvalue()
    write([data], output)
    if output == STDOUT:
        return 0
    session.emit(
        f"{len(records)} tasks in {output}", {"file": output, "format": form, "tasks": len(records)}
    )
    return 0
