"""`fscache admin verify`: hash objects again, and find what is not where it belongs.

The exit code is 0 if nothing is wrong, or all of it was repaired, and 5 otherwise.
"""

from __future__ import annotations

import random
import sys

from fscache.cli import keeping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.admin.findings import Finding
    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--sample", metavar="SHARE", type=keeping.percentage, help="hash a random share: 5%%"
    )
    parser.add_argument(
        "--unverified-for",
        metavar="AGE",
        type=keeping.duration,
        help="hash what was not verified for so long: 30d",
    )
    parser.add_argument("--rate", metavar="SIZE", type=_rate, help="read no more a second: 50MB")
    parser.add_argument(
        "--repair",
        action="store_true",
        help="move what is bad to quarantine, and fetch it again from its URL",
    )


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from fscache.admin.forms import verified
    from fscache.admin.repair import Repairer
    from fscache.admin.verify import Selection, Throttle, Verifier
    from fscache.units import format_size

    hand = keeping.keeper(session)
    verifier = Verifier(
        hand,
        selection=Selection(
            1.0 if arguments.sample is None else arguments.sample, arguments.unverified_for
        ),
        random=random.Random(),
        throttle=None if arguments.rate is None else Throttle(arguments.rate),
    )
    repairer = Repairer(hand, session.cache.get) if arguments.repair else None
    for finding in verifier.run():
        if repairer is not None:
            repairer.repair(finding)
            verifier.done.repaired += bool(finding.repaired)
        _show(session, finding)
    done = verifier.done
    text = (
        f"{done.objects} objects, {done.hashed} hashed ({format_size(done.bytes)}), "
        f"{done.entries} entries: "
        + (f"{done.found} wrong" if done.found else "nothing wrong")
        + (f", {done.repaired} repaired" if done.repaired else "")
    )
    session.emit(
        text,
        verified(done),
    )
    from fscache.cli.exits import OK, VERIFICATION

    return OK if done.repaired == done.found else VERIFICATION


def _show(session: Session, finding: Finding) -> None:
    from fscache.admin import forms
    from fscache.admin.findings import MEANINGS
    from fscache.urls.bars import printable

    if session.json:
        session.emit("", forms.finding(finding))
        return
    detail = finding.detail or MEANINGS[finding.what]
    lines = [f"{finding.what}: {finding.path}: {detail}"]
    lines += [f"    {name}" for name in finding.names]
    if finding.repaired:
        lines.append(f"    repaired: {finding.repaired}")
    for line in lines:
        sys.stdout.write(f"{printable(line)}\n")


def _rate(text: str) -> float:
    rate = keeping.size(text.removesuffix("/s"))
    if not rate:
        from argparse import ArgumentTypeError

        raise ArgumentTypeError("a rate is more than 0")
    return float(rate)
