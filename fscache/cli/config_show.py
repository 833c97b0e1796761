"""`fscache config show`: every setting, its value, and where that came from. Secrets are masked."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fscache.cli.session import Session


def configure(parser: ArgumentParser) -> None:
    """Declare no arguments: there are none."""


def execute(session: Session, _arguments: Namespace) -> int:
    """Run the command."""
    from fscache.cli.table import aligned

    rows = session.config.explain()
    lines = aligned([(name, _text(value), source) for name, value, source in rows])
    for line, (name, value, source) in zip(lines, rows, strict=True):
        session.emit(line, {"name": name, "value": value, "source": source})
    return 0


def _text(value: object) -> str:
    """Write a value as config.toml would have it; `-` where there is none."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        from json import dumps

        return dumps(value)
    return str(value)
