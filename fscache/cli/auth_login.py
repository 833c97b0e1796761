"""`fscache auth login`: keep a credential for a host in the user's keyring.

The secret is asked for on the terminal or read from standard input; it is no argument, as arguments
stand in the shell's history and in everybody's list of processes.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from credentials.model import Credential
    from fscache.cli.session import Session

_COMMAND = "fscache auth login"


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("host", metavar="HOST", help="a host, or host:port")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--user", metavar="NAME", help="a user name and a password (Basic)")
    kind.add_argument("--bearer", action="store_true", help="a token (Bearer)")
    kind.add_argument("--header", metavar="HEADER", help="a token in this header (X-Api-Key)")
    parser.add_argument(
        "--stdin", action="store_true", help="read the secret, one line, from standard input"
    )


def execute(session: Session, arguments: Namespace) -> int:
    """Run the command."""
    from credentials import hosts
    from credentials.keyring_store import KeyringStore
    from fscache.cli.exits import UsageError

    try:
        host, port = hosts.parse(arguments.host)
    except ValueError as exc:
        raise UsageError(_COMMAND, str(exc)) from None
    secret = _read() if arguments.stdin else _ask(arguments)
    credential = _credential(arguments, secret)
    # As long as it takes: whoever types a secret can also answer the keyring's prompt.
    KeyringStore(session.config.keyring_hosts, patience=None).store(host, port, credential)
    name = hosts.keys(host, port)[0]
    session.emit(f"stored a credential for {name}", {"host": name, "stored": True})
    return 0


def _credential(arguments: Namespace, secret: str) -> Credential:
    from credentials.model import Basic, Bearer, Header
    from fscache.cli.exits import UsageError

    try:
        if arguments.bearer:
            return Bearer(secret)
        if arguments.header is not None:
            return Header(arguments.header, secret)
        return Basic(arguments.user, secret)
    except ValueError as exc:
        raise UsageError(_COMMAND, str(exc)) from None


def _read() -> str:
    return sys.stdin.readline().rstrip("\r\n")


def _ask(arguments: Namespace) -> str:
    import getpass
    import warnings

    from fscache.cli.exits import UsageError

    what = "Password" if arguments.user is not None else "Token"
    with warnings.catch_warnings():
        # getpass would go on and show what is typed
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(f"{what} for {arguments.host}: ")
        except (getpass.GetPassWarning, EOFError):
            raise UsageError(_COMMAND, "no terminal to ask on; use --stdin") from None
