"""`file:` URLs: a copy, streamed through the same checks as everything else.

In a daemon this reads whatever the daemon may read: its target policy must refuse the scheme.
"""

from __future__ import annotations

import os
import stat
from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from stager.errors import (
    AuthenticationError,
    HTTPStatusError,
    InvalidURLError,
    NotFoundError,
)
from stager.transports import translate
from stager.transports.plain import BUFFER, Thing, answer
from stager.urls import redact

if TYPE_CHECKING:
    from credentials.errors import FscacheError
    from stager.transports.base import Ask, Sink


class FileTransport:
    """`file:`."""

    schemes = frozenset({"file"})

    def fetch(self, ask: Ask, sink: Sink) -> None:
        """Copy one file; see `Transport`."""
        descriptor = _open(ask.url)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise HTTPStatusError(redact(ask.url), 400, "it is not a regular file")
            thing = Thing(
                status.st_size,
                f'"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"',
                formatdate(status.st_mtime, usegmt=True),
            )
            head, first = answer(ask.headers, thing)
            if sink.on_head(head):
                _copy(descriptor, first, ask.url, sink)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Nothing is kept."""


def _open(url: str) -> int:
    failure: FscacheError
    shown = redact(url)
    try:
        # Without O_NONBLOCK a FIFO would block until somebody writes to it.
        path = unquote_to_bytes(url.removeprefix("file://"))
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except ValueError:
        failure = InvalidURLError(shown, "the path holds a NUL character")
    except (FileNotFoundError, NotADirectoryError):
        failure = NotFoundError(shown, 404, "there is no such file")
    except PermissionError:
        failure = AuthenticationError(shown, 403, "the file may not be read")
    except OSError as error:
        failure = translate.broken(url, error)
    raise failure


def _copy(descriptor: int, at: int, url: str, sink: Sink) -> None:
    view = memoryview(bytearray(BUFFER))
    failure: FscacheError
    while True:
        try:
            count = os.preadv(descriptor, [view], at)
        except OSError as error:
            failure = translate.broken(url, error)
            break
        if not count:
            return
        sink.on_data(view[:count])
        at += count
    raise failure
