"""`fscache tasks query JSON`: the records that match, as `db_query` returns them.

As text: one line a task, its id and then the values of `--keys`, with tabs between them.
"""

from __future__ import annotations

import sys

from fscache.cli import tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "query", metavar="JSON", help="'{\"completed\": null}'; - is standard input"
    )
    parser.add_argument(
        "--filter",
        metavar="F",
        action="append",
        default=[],
        help="started>1h (longer ago), state=failed, label~fit (contains), …; must hold as well",
    )
    parser.add_argument(
        "--keys", metavar="K,…", help="what to tell of each task (default with --json: all)"
    )


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from json import dumps

    from fscache.urls.bars import printable

    keys = tasks.keys_of(arguments.keys)
    if keys is None and not session.json:
        keys = ["msg_id"]
    found = tasks.tasks_of(session).db_query(tasks.query_of(arguments), keys)
    for record in found:
        plain = tasks.as_json(record)
        if session.json:
            session.emit("", plain)
            continue
        cells = [
            each if isinstance(each, str) else "" if each is None else dumps(each)
            for each in plain.values()
        ]
        sys.stdout.write("\t".join(map(printable, cells)) + "\n")
    return 0
