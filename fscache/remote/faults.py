"""Errors as they travel: a stable code and typed fields, never a class name or a traceback.

Both ends know the same tree (`fscache.errors`). A code this end does not know (a newer server)
becomes a plain `RemoteError` that says what the other end said.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from fscache import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

_BUILTINS: dict[str, type[Exception]] = {
    kind.__name__: kind
    for kind in (KeyError, LookupError, OverflowError, TimeoutError, TypeError, ValueError)
}
"""What a call may raise by its own contract; anything else is a fault of the server's program."""

_SCALARS = (str, int, float, bool, type(None))


def is_ours(error: BaseException) -> bool:
    """Whether an error may cross the wire as itself."""
    known = type(error).__name__ in _BUILTINS or isinstance(error, UnicodeError)
    return known or isinstance(error, errors.FscacheError)


def encode(error: BaseException) -> dict[str, object]:
    """Return an error as a mapping of plain values: `code`, `message` and `fields`."""
    if isinstance(error, errors.FscacheError):
        packed = {name: _encode_field(value) for name, value in error.to_fields().items()}
        return {"code": error.code, "message": str(error), "fields": packed}
    if isinstance(error, UnicodeError):  # what text is none: its own fields hold all of that text
        return {"code": "python.ValueError", "message": str(error), "fields": {}}
    text = str(error.args[0]) if error.args else ""
    return {"code": f"python.{type(error).__name__}", "message": text, "fields": {}}


def decode(data: Mapping[str, object], server: str) -> Exception:
    """Return the error that `encode` was given; `server` names who sent it."""
    code = str(data.get("code", ""))
    message = str(data.get("message", ""))
    if code.startswith("python.") and code[7:] in _BUILTINS:
        return _BUILTINS[code[7:]](message)
    kind = _registry().get(code)
    given = data.get("fields")
    if kind is not None and isinstance(given, dict):
        known = {field.name for field in fields(kind)}
        arguments = {
            name: _decode_field(value, server) for name, value in given.items() if name in known
        }
        if issubclass(kind, errors.RemoteError):
            arguments["server"] = server  # the name by which this end knows it
        try:
            return kind(**arguments)
        except TypeError:
            pass  # another version's fields
    return errors.RemoteError(server=server, why=message or code or "an error without a name")


def _registry() -> dict[str, type[errors.FscacheError]]:
    found: dict[str, type[errors.FscacheError]] = {}
    pending: list[type[errors.FscacheError]] = [errors.FscacheError]
    while pending:
        kind = pending.pop()
        found.setdefault(kind.code, kind)
        pending.extend(kind.__subclasses__())
    return found


def _encode_field(value: object) -> object:
    if isinstance(value, errors.FscacheError):
        return {"error": encode(value)}
    if isinstance(value, tuple | list):
        return [_encode_field(item) for item in value]
    return value if isinstance(value, _SCALARS) else str(value)


def _decode_field(value: object, server: str) -> object:
    if isinstance(value, dict) and isinstance(value.get("error"), dict):
        return decode(value["error"], server)
    if isinstance(value, list):
        return tuple(_decode_field(item, server) for item in value)
    return value
