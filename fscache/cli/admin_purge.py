"""`fscache admin purge`: remove what was used least recently, by age and for room.

Without a condition the limits of the configuration apply (`max_size`, `min_free`), as they do by
themselves before a put.
"""

from __future__ import annotations

import sys

from fscache.cli import keeping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

    from fscache.cli.session import Session
    from fscache.objects.purge import Candidate

_SHOWN = 20  # lines of a plan on a terminal; --json has all


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--older-than",
        metavar="AGE",
        type=keeping.duration,
        help="what nobody asked for in so long: 30d",
    )
    parser.add_argument(
        "--max-size",
        metavar="SIZE",
        type=keeping.size,
        help="until the objects take no more: 500GiB",
    )
    parser.add_argument(
        "--min-free",
        metavar="SIZE",
        type=keeping.share,
        help="until so much of the disk is free: 10%%",
    )
    parser.add_argument(
        "--low-water",
        metavar="SHARE",
        type=keeping.percentage,
        help="if a limit is passed, come down to this share of it: 90%% (default: 100%%)",
    )
    parser.add_argument(
        "--grace",
        metavar="AGE",
        type=keeping.duration,
        help="spare what was used so lately (default: 1h)",
    )
    parser.add_argument(
        "--match", metavar="PATTERN", help="only what all names of fit: 'https://host/*'"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would go; remove nothing")


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from fscache.admin import forms
    from fscache.admin.purge import Purge
    from fscache.admin.room import policy_for
    from fscache.units import format_size
    from fscache.urls.bars import printable

    hand = keeping.keeper(session)
    policy = policy_for(
        hand.root,
        session.config,
        older_than=arguments.older_than,
        max_size=arguments.max_size,
        min_free=arguments.min_free,
        low_water=arguments.low_water,
        grace=arguments.grace,
    )
    if policy is None:
        if arguments.match:
            from fscache.cli.exits import UsageError

            why = "--match says which, and not how many: give a limit too, such as --older-than 0s"
            raise UsageError("fscache admin purge", why)
        keeping.note(
            "nothing to do: no --older-than, --max-size or --min-free, and no limit configured"
        )
        return 0
    shown = 0
    human = sys.stdout.isatty()

    def each(candidate: Candidate, name: Callable[[str], str]) -> None:
        nonlocal shown
        shown += 1
        if session.json:
            session.emit("", forms.candidate(candidate, name(candidate.address)))
        elif arguments.dry_run and (shown <= _SHOWN or not human):
            size = format_size(candidate.size) if human else candidate.size
            named = printable(name(candidate.address))
            sys.stdout.write(f"{candidate.address}  {size:>9}  {named}\n")

    work = Purge(hand, policy, match=arguments.match, each=each)
    done = work.plan() if arguments.dry_run else work.run()
    if arguments.dry_run and not session.json and human and shown > _SHOWN:
        sys.stdout.write(f"… and {shown - _SHOWN} more\n")
    verb = "would free" if arguments.dry_run else "freed"
    spared = f", spared: {done.why()}" if done.spared else ""
    text = f"{done.taken} objects, {verb} {format_size(done.freed)} of {format_size(done.used)}"
    session.emit(text + spared, forms.purged(done, dry_run=arguments.dry_run))
    if done.exhausted:
        keeping.note(f"still {done.where()}: what is left may not be purged")
    return 0
