"""What the commands `fscache workers …` have in common: names, orders, other hosts."""

from __future__ import annotations

import os
import socket

from fscache.cli.keeping import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from fscache.cli.session import Session
    from fscache.grid.control import Control, State


def add_orders(parser: ArgumentParser) -> None:
    """Declare what a worker is told."""
    parser.add_argument(
        "--head",
        metavar="ADDRESS",
        help="the grid's head, tls://host:port; FSCACHE_GRID by default",
    )
    parser.add_argument("--name", help="the worker's name; the host's by default")
    parser.add_argument(
        "--threads", type=count, default=0, help="tasks at once; a core each by default"
    )
    parser.add_argument(
        "--temp",
        metavar="DIR",
        help="for files that are copied to the host; in the system's temporary one by default",
    )
    add_tls(parser)


def add_tls(parser: ArgumentParser) -> None:
    """Declare where the certificates are."""
    parser.add_argument(
        "--tls", metavar="DIR", help="the grid's certificates; from the configuration by default"
    )


def add_choice(parser: ArgumentParser) -> None:
    """Declare which workers are meant."""
    parser.add_argument(
        "names", metavar="NAME", nargs="*", help="workers; all of this host by default"
    )
    add_hosts(parser)


def add_hosts(parser: ArgumentParser) -> None:
    """Declare where."""
    parser.add_argument(
        "--on", metavar="HOST,…", help="run the command on these hosts, through ssh"
    )


def orders_of(session: Session, arguments: Namespace) -> dict[str, Any]:
    """Return what a worker is told.

    Raises:
        UsageError: no head is named.
        GridAddressError: what is named is no address.
        InsecureGridError: it is one without protection.
    """
    from fscache.grid.addresses import check_protection, in_full

    head = arguments.head or session.config.grid
    if head is None:
        from fscache.cli.exits import UsageError

        raise UsageError("fscache workers", "which head? --head, or FSCACHE_GRID")
    head = in_full(head)
    check_protection(head, certificates=True)
    return {
        "head": head,
        "name": arguments.name or socket.gethostname(),
        "threads": arguments.threads or len(os.sched_getaffinity(0)),
        "root": session.config.root,
        "temp": arguments.temp,
        "tls": arguments.tls or session.config.grid_tls,
    }


def control(session: Session) -> Control:
    """Return the control of this host's workers."""
    from fscache.grid.control import Control

    session.cache.root.ensure()
    return Control(session.config.root)


def emit(session: Session, state: State, word: str) -> None:
    """Print what a worker is now."""
    text = f"{state.name}\t{word}\t{state.worker or '-'}\t{state.orders['head']}"
    fields = {"name": state.name, "state": word, "pid": state.worker, "keeper": state.pid}
    session.emit(text, {**fields, "head": state.orders["head"], "log": state.log})


def elsewhere(session: Session, arguments: Namespace, *words: str) -> int | None:
    """Run `fscache workers WORDS` on the hosts of `--on`; None if there is no such option.

    Returns:
        The exit code of the first that failed, 0 if none did.
    """
    if not arguments.on:
        return None
    import shlex
    import subprocess

    from fscache.grid.hosts import SSH

    code = 0
    options = ["--json"] if session.json else []
    line = shlex.join(["fscache", *options, "workers", *words])  # a shell reads it over there
    for host in arguments.on.split(","):
        done = subprocess.run([*SSH, host, line], check=False)
        code = code or done.returncode
    return code
