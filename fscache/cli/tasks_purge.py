"""`fscache tasks purge`: drop completed tasks, and give the disk back what they took.

Without a query, a filter or a limit those of the configuration apply (`tasks_max_records`,
`tasks_max_size`, `tasks_max_age`), as they do by themselves when a task is added.

`--dry-run` counts what `--query` and `--filter` match at this moment. It does not foresee what a limit
would take, which goes by ages and sizes, nor how much room on the disk comes back, which depends on what
else names the same buffers; and it says so.
"""

from __future__ import annotations

from fscache.cli import keeping, tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = "By age: --filter 'submitted>30d'. Without an option: what the settings limit."
    tasks.add_choice(parser)
    parser.add_argument(
        "--max-records",
        metavar="N",
        type=keeping.count,
        help="the oldest, until no more than N completed tasks are left",
    )
    parser.add_argument(
        "--max-size",
        metavar="SIZE",
        type=keeping.size,
        help="the oldest, until the buffers take no more: 10GiB",
    )
    parser.add_argument(
        "--pending",
        action="store_true",
        help="also tasks that have not completed: for those that nobody runs any more",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="count what --query and --filter match now; drop nothing",
    )


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from fscache.cli.exits import UsageError

    database = tasks.tasks_of(session)
    config = session.config
    asked = arguments.query is not None or bool(arguments.filter)
    limits: dict[str, Any] = {"records": arguments.max_records, "size": arguments.max_size}
    limited = any(each is not None for each in limits.values())
    if arguments.pending and (limited or not asked):
        raise UsageError("fscache tasks purge", "--pending needs --query or --filter alone")
    if arguments.dry_run and limited:
        why = "counts what --query and --filter match; it cannot foresee what a limit takes"
        raise UsageError("fscache tasks purge", f"--dry-run {why}")
    if not asked and not limited:
        limits = {
            "records": config.tasks_max_records,
            "size": config.tasks_max_size,
            "age": config.tasks_max_age,
        }
        configured = any(each is not None for each in limits.values())
        if arguments.dry_run and configured:
            why = "cannot foresee what the configured limits take; give --query or --filter"
            keeping.note(f"--dry-run {why}")
            return 0
        if not configured:
            why = "no --query, --filter, --max-records or --max-size, and no limit configured"
            keeping.note(f"nothing to do: {why}")
            return 0
    query = tasks.query_of(arguments)
    if arguments.dry_run:
        completed = {} if arguments.pending else {"completed": {"$ne": None}}
        count = database.count({"$and": [query, completed]})
        keeping.note(
            "as of now: what completes meanwhile goes, too; the room it frees is not foreseen"
        )
    elif arguments.pending:
        count = database.drop_matching_records(query)
        database.purge(query)  # nothing is left of it but the room on the disk
    else:
        count = database.purge(query if asked else None, **limits)
    verb = "would be dropped" if arguments.dry_run else "dropped"
    session.emit(f"{count} tasks {verb}", {"dry_run": arguments.dry_run, "tasks": count})
    return 0
