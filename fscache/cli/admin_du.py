"""`fscache admin du`: how much there is, by kind, host and age, and what it takes of the disk."""

from __future__ import annotations

import sys

from fscache.cli.keeping import keeper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Mapping

    from fscache.cli.session import Session
    from fscache.records.usage import Sum

_GROUPS = {"kind": "kinds", "host": "hosts", "age": "ages"}


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--by",
        choices=list(_GROUPS),
        action="append",
        help="what to sum by (default: all of them)",
    )


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from fscache.admin.forms import on_disk, summed
    from fscache.admin.sums import measure
    from fscache.units import format_size

    usage, disk = measure(keeper(session))
    groups = arguments.by or list(_GROUPS)
    parts = on_disk(disk)
    human = sys.stdout.isatty()

    def size(number: int) -> str:
        return format_size(number) if human else str(number)

    if session.json:
        session.emit("", {"by": "total", "name": "total", **summed(usage.total)})
        for group in groups:
            for name, total in _sorted(group, getattr(usage, _GROUPS[group])).items():
                session.emit("", {"by": group, "name": name, **summed(total)})
        session.emit("", {"by": "disk", "name": "total", "disk": disk.total, **parts})
        return 0
    rows = [("BY", "NAME", "COUNT", "SIZE", "DISK")]
    sums = {"total": {"total": usage.total}} | {
        group: _sorted(group, getattr(usage, _GROUPS[group])) for group in groups
    }
    rows += [
        (group, name, str(total.count), size(total.size), size(total.disk))
        for group, totals in sums.items()
        for name, total in totals.items()
    ]
    rows += [("disk", part, "", "", size(number)) for part, number in parts.items()]
    rows.append(("disk", "total", "", "", size(disk.total)))
    from fscache.cli.table import aligned

    for line in aligned(rows, right=frozenset({2, 3, 4})):
        sys.stdout.write(f"{line}\n")
    return 0


def _sorted(group: str, sums: Mapping[str, Sum]) -> dict[str, Sum]:
    """Return the largest first; ages from young to old."""
    if group == "age":
        from fscache.records.usage import AGES

        return {name: sums[name] for name, _ in AGES if name in sums}
    return dict(sorted(sums.items(), key=lambda item: (-item[1].size, item[0])))
