"""Exceptions on their way between hosts: the same type here, with what was going on there.

An exception goes as a pickle beside its type and text in words, so that one that cannot be pickled, or
whose class is not known here, still arrives: as RemoteFailureError. The remote traceback comes with it
as the exception's cause.
"""

from __future__ import annotations

import traceback
from typing import Any

from fscache.errors import FscacheError, HostDied, RemoteFailureError
from fscache.grid.addresses import host_of
from fscache.grid.pickles import dumps, loads

_MAX_TEXT = 20_000  # characters of a traceback; recursion makes megabytes of them


class RemoteTracebackError(Exception):
    """Stands as the cause of what was raised elsewhere; its text is the traceback from there."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def pack(exc: BaseException, host: str, notes: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return an exception as a message.

    Args:
        exc: The exception, with its traceback.
        host: Where it was raised.
        notes: What else the one who sees it should know, such as a shard's name.
    """
    text = "".join(traceback.format_exception(exc))
    if len(text) > _MAX_TEXT:
        text = f"{text[: _MAX_TEXT // 2]}\n…\n{text[-_MAX_TEXT // 2 :]}"
    for note in notes:
        exc.add_note(note)
    try:
        blob = dumps(exc.with_traceback(None))
        loads(blob)  # some pickle and then lack an argument of their constructor
    except Exception:  # noqa: BLE001 - user classes may raise anything here
        blob = b""
    return {
        "blob": blob,
        "kind": type(exc).__qualname__,
        "text": _text(exc),
        "traceback": text,
        "host": host,
        "notes": list(notes),
    }


def unpack(message: dict[str, Any]) -> BaseException:
    """Return the exception of a message, ready to be raised."""
    exc: BaseException | None = None
    if message["blob"]:
        try:
            exc = loads(message["blob"])
        except Exception:  # noqa: BLE001 - its class may be known on that host only
            exc = None
    if not isinstance(exc, BaseException):
        exc = RemoteFailureError(message["text"], message["kind"], message["host"])
    if getattr(exc, "__notes__", []) != message["notes"]:
        for note in message["notes"]:
            if note not in getattr(exc, "__notes__", ()):
                exc.add_note(note)
    if not isinstance(exc, FscacheError):  # ours say in words all there is to know
        exc.__cause__ = RemoteTracebackError(message["traceback"])
    return exc


def killed(exc: Any) -> HostDied:
    """Return our error for the engine's `KilledWorker`: a task whose workers died one after the other."""
    return HostDied(
        "every worker that ran it has died", host_of(exc.last_worker.address), str(exc.task)
    )


def _text(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception as second:  # noqa: BLE001 - a user's __str__
        return f"(no text: {second!r})"
