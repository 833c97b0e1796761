"""The arguments: global options, and a parser for the one command that is asked for.

Imports of the commands' modules follow the words on the command line, so that a call pays for one.
"""

from __future__ import annotations

import argparse
from importlib import import_module

from fscache import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

COMMANDS = {
    "get": "fetch URLs that are not in the cache yet, and print their paths",
    "put": "keep files, and print their addresses",
    "cat": "write what a URL or an address stands for to standard output",
    "path": "print the path of a URL or an address that is in the cache; never fetch",
    "forget": "remove URLs from the cache",
    "kv get": "print the values of keys",
    "kv put": "keep a value under a key",
    "kv ls": "list keys, or stores",
    "kv rm": "remove keys",
    "kv incr": "add to a number",
    "kv watch": "print keys as they change",
    "kv export": "write keys and values as a table",
    "kv import": "read keys and values from a table",
    "auth login": "keep a credential for a host in the keyring",
    "auth ls": "list the hosts that the keyring has a credential for",
    "auth logout": "remove a host's credential from the keyring",
    "config show": "list the settings, and where each value came from",
    "admin ls": "list what is in the cache",
    "admin du": "sum up what is in the cache, by kind, host and age",
    "admin snapshot": "write the whole listing to a file",
    "admin purge": "remove what was used least recently",
    "admin pin": "keep objects from being purged",
    "admin unpin": "let pinned objects be purged again",
    "admin reindex": "make the catalog anew from the files",
    "admin verify": "hash objects again, and find what is not where it belongs",
    "admin migrate": "bring older stores into the cache, or change its split",
    "tasks ls": "list tasks",
    "tasks show": "show all that is recorded of tasks",
    "tasks query": "find task records as db_query does",
    "tasks purge": "drop completed tasks",
    "tasks resubmit": "run tasks again, under new ids",
    "tasks export": "write task records as a table",
    "tasks top": "watch what runs and what ends",
    "workers init": "make the certificates of a grid",
    "workers head": "be the head of a grid, in the foreground",
    "workers run": "be a worker, in the foreground",
    "workers start": "start a worker of this host, or of others",
    "workers stop": "stop workers",
    "workers restart": "stop workers and start them as they were",
    "workers status": "list the workers of this host, and whether their head knows them",
    "workers logs": "show what workers have written",
    "sql": "run a query over tables and over files behind URLs",
    "tables deploy": "make a table of Parquet, CSV, FITS or NumPy files",
    "tables ls": "list the tables",
    "tables show": "show a table's columns and shards",
    "tables drop": "forget tables",
    "tables rebalance": "place a table's shards on the nodes that are there now",
    "tables verify": "hash every copy of a table's shards again",
}
"""What can be called; `auth login` is done by the module `fscache.cli.auth_login`, and so on."""

GROUPS = {
    "kv": "key-values",
    "auth": "credentials for hosts",
    "config": "settings",
    "admin": "look after the cache",
    "tasks": "task records",
    "workers": "the workers of a grid",
    "tables": "tables of a grid",
}


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors come out as all others do."""

    is_command = False

    def __init__(self, **options: Any) -> None:
        # A shortened option would come to mean another one when a second begins like it.
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and leaving."""
        from fscache.cli.exits import UsageError

        raise UsageError(self.prog, message)

    def parse_known_args(  # type: ignore[override]  # of a generic namespace nobody makes use
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse; a command's options may also stand between its words, as in `get URL -q URL`."""
        parsed, rest = super().parse_known_args(args, namespace)
        if not rest or not self.is_command:
            return parsed, rest
        # `nargs="+"` has taken the first run of words and nothing else. Not intermixed from the start:
        # that formats the usage first and parses twice, which each call would pay for.
        self.is_command = False  # it calls this method
        return self.parse_known_intermixed_args(args)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Return the arguments; `command` is one of `COMMANDS`.

    Raises:
        UsageError: they do not fit.
        SystemExit: help or the version was asked for, and has been printed.
    """
    parser = Parser(
        prog="fscache",
        description="The cache that a lab's programs share.",
        epilog="Exit codes and the fields of --json: docs/cli.md.",
    )
    parser.add_argument("--version", action="version", version=f"fscache {__version__}")
    _add_globals(parser)
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    groups: dict[str, argparse._SubParsersAction[Parser]] = {}
    for name in _asked_for(argv):
        group, _, last = name.rpartition(" ")
        if group and group not in groups:
            above = commands.add_parser(group, help=GROUPS[group], description=GROUPS[group])
            groups[group] = above.add_subparsers(
                metavar="COMMAND", required=True, parser_class=Parser
            )
        about = COMMANDS[name]
        command = groups.get(group, commands).add_parser(last, help=about, description=about)
        command.set_defaults(command=name)
        command.is_command = True
        _add_globals(command)
        if all(word in argv for word in name.split(" ")):
            import_module(module_of(name)).configure(command)
    parsed, rest = parser.parse_known_args(argv)
    if rest:  # `parse_args` would send who asks for a command's options to the list of commands
        words = " ".join(rest)
        Parser(prog=f"fscache {parsed.command}").error(f"unrecognized arguments: {words}")
    return parsed


def module_of(name: str) -> str:
    """Return the module that does the command `name`."""
    return f"fscache.cli.{name.replace(' ', '_')}"


def _asked_for(argv: Sequence[str]) -> list[str]:
    # Making a parser for each of the commands costs a millisecond, so where one is named there is
    # only that; a word that is an option's value makes one too many, which is harmless.
    named = [name for name in COMMANDS if name.split(" ")[0] in argv]
    return named or list(COMMANDS)


def _add_globals(parser: argparse.ArgumentParser) -> None:
    # Before the command and behind it, so no default here: the second would undo the first.
    parser.add_argument(
        "--root",
        metavar="DIR",
        default=argparse.SUPPRESS,
        help="directory of the cache (default: what `config show` says)",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        default=argparse.SUPPRESS,
        help="print one JSON object a line, errors too",
    )
