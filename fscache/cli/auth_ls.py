"""`fscache auth ls`: the hosts that the keyring has a credential for. Shows no secret."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from credentials.model import Credential
    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare no arguments: there are none."""


def execute(session: Session, _arguments: Namespace) -> int:
    """Run the command."""
    from credentials import hosts
    from credentials.keyring_store import KeyringStore
    from fscache.cli.table import aligned

    store = KeyringStore(session.config.keyring_hosts, patience=None)
    rows = []
    for name in store.hosts():
        credential = store.find(*hosts.parse(name))
        if credential is not None:  # else somebody has removed it with another tool
            rows.append((name, *_kind(credential)))
    for line, (name, kind, detail) in zip(aligned(rows), rows, strict=True):
        session.emit(line, {"host": name, "kind": kind, "name": detail})
    return 0


def _kind(credential: Credential) -> tuple[str, str]:
    """Return the kind, and the user's or the header's name."""
    from credentials.model import Basic, Header

    if isinstance(credential, Basic):
        return "basic", credential.user
    if isinstance(credential, Header):
        return "header", credential.name
    return "bearer", ""
