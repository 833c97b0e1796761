"""How an error is told: one line on standard error, or one JSON object with `--json`.

No traceback: what a user can do about is in the message. For an error that is none of ours the line
says where it was raised, for the one who mends it.
"""

from __future__ import annotations

import sys
from urllib.parse import urlsplit

from fscache.cli.exits import exit_code
from fscache.errors import AuthenticationError, FscacheError, StageError
from fscache.telling import tell
from fscache.urls.bars import printable
from stager.urls import redact

HINTS = {
    401: "`fscache auth login {host}` keeps one",
    407: "write it into the proxy's URL, http://USER:PASSWORD@HOST:PORT",
}
"""What to do about a status where no credential was sent; for a person only, not in the JSON."""


def report(error: BaseException, *, json: bool, asked: str = "") -> int:
    """Print `error` and return the exit code for it.

    Args:
        error: What went wrong.
        json: Print it as one JSON object.
        asked: The URL that was asked for; told where the error is of another, to which redirects led.
    """
    code = exit_code(error)
    elsewhere = asked and isinstance(error, StageError) and error.url != redact(asked)
    if json:
        from json import dumps

        more = {"asked": redact(asked)} if elsewhere else {}
        line = dumps({"error": {**as_fields(error), **more}, "exit_code": code})
    else:
        text = f"{redact(asked)}: {as_text(error)}" if elsewhere else as_text(error)
        line = f"fscache: error: {printable(text)}"
    tell(sys.stderr, f"{line}\n")
    return code


def as_text(error: BaseException) -> str:
    """Return the message for a user, without control characters or newlines of its own."""
    if isinstance(error, FscacheError):
        if not isinstance(error, AuthenticationError) or error.credential_from:
            return str(error)
        hint = HINTS.get(error.status, "").format(host=urlsplit(error.url).netloc)
        return f"{error}; {hint}" if hint else str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return f"unexpected {type(error).__name__}: {error} ({_where(error)})"


def as_fields(error: BaseException) -> dict[str, object]:
    """Return the error's code, message and typed fields, of its causes too."""
    if not isinstance(error, FscacheError):
        name = "os" if isinstance(error, OSError) else "unexpected"
        code = "interrupted" if isinstance(error, KeyboardInterrupt) else name
        return {"code": code, "message": as_text(error)}
    fields = {name: _plain(value) for name, value in error.to_fields().items()}
    return {**fields, "code": error.code, "message": str(error)}


def _plain(value: object) -> object:
    if isinstance(value, BaseException):
        return as_fields(value)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _where(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "nowhere"
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
