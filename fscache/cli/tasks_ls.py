"""`fscache tasks ls`: tasks, one a line, the latest first."""

from __future__ import annotations

import sys

from fscache.cli import keeping, tasks
from fscache.cli.admin_ls import when

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Any

    from fscache.cli.session import Session

HEADING = ("STATE", "SUBMITTED", "RAN", "LABEL", "ENGINE", "TASK", "ID")
_ORDERS = ("submitted", "started", "completed")


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    tasks.add_choice(parser)
    parser.add_argument(
        "--sort", choices=_ORDERS, default=_ORDERS[0], help="the latest first (default: submitted)"
    )
    parser.add_argument("--reverse", action="store_true", help="the earliest first")
    parser.add_argument("--limit", metavar="N", type=keeping.count, help="no more than N tasks")


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    found = tasks.listed(
        tasks.tasks_of(session),
        tasks.query_of(arguments),
        arguments.sort,
        reverse=arguments.reverse,
        limit=arguments.limit,
    )
    if session.json:
        for record in found:
            session.emit("", tasks.line_fields(record))
        return 0
    from fscache.cli.table import aligned

    human = sys.stdout.isatty()
    rows = [HEADING, *(cells(record, human=human) for record in found)]
    for line in aligned(rows, right=frozenset({2})):
        sys.stdout.write(f"{line}\n")
    return 0


def cells(
    record: Mapping[str, Any], *, human: bool, now: datetime | None = None
) -> tuple[str, ...]:
    """Return a line's cells; also used by `tasks top`, which gives the time."""
    from fscache.units import format_duration

    submitted = record["submitted"]
    ran = tasks.duration_of(record, now)
    return (
        tasks.state_of(record),
        "-" if submitted is None else when(submitted.timestamp(), human=human),
        "-" if ran is None else format_duration(ran) if human else f"{ran:.6f}",
        record["label"] or "-",
        record["engine_uuid"] or "-",
        tasks.task_of(record) or "-",
        record["msg_id"],
    )
