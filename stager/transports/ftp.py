"""`ftp:` URLs through ftplib: passive, binary, resumed with REST.

One control connection for each file: FTP is asked for a few old archives, not for thousands of
files. The credential comes as the `Authorization: Basic` header that HTTP would send; without one
the login is anonymous. The address that a server names for the data connection is not used (ftplib
keeps to the server's own), so it cannot send us elsewhere.
"""

from __future__ import annotations

import ftplib
from base64 import b64decode
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from stager.errors import (
    AuthenticationError,
    BusyServerError,
    HTTPStatusError,
    InvalidURLError,
    NotFoundError,
)
from stager.transports import translate
from stager.transports.addresses import checked
from stager.transports.plain import BUFFER, Thing, answer
from stager.urls import DEFAULT_PORTS, redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from stager.transports.base import Ask, Sink


class FTPTransport:
    """`ftp:`."""

    schemes = frozenset({"ftp"})

    def __init__(self, *, check_address: Callable[[str], None] | None = None) -> None:
        """Take what refuses addresses; see `Transports`."""
        self._check_address = check_address

    def fetch(self, ask: Ask, sink: Sink) -> None:
        """Fetch one file; see `Transport`."""
        path = unquote(urlsplit(ask.url).path[1:], errors="surrogateescape")
        if any(sign in path for sign in "\r\n\0"):
            raise InvalidURLError(redact(ask.url), "the path holds a control character")
        session = ftplib.FTP(encoding="utf-8")  # noqa: S321 - the caller asked for ftp:
        try:
            with _translated(ask):
                self._login(session, ask)
                thing = _look(session, path)
            head, first = answer(ask.headers, thing)
            if not sink.on_head(head):
                return
            with _translated(ask):
                data = session.transfercmd(f"RETR {path}", rest=first or None)
            with data:
                view = memoryview(bytearray(BUFFER))
                while True:
                    with _translated(ask):
                        count = data.recv_into(view)
                    if not count:
                        break
                    sink.on_data(view[:count])
            with _translated(ask):
                session.voidresp()
        finally:
            session.close()

    def close(self) -> None:
        """Nothing is kept."""

    def _login(self, session: ftplib.FTP, ask: Ask) -> None:
        parts = urlsplit(ask.url)
        host, port = parts.hostname or "", parts.port or DEFAULT_PORTS["ftp"]
        if self._check_address is None:
            session.connect(host, port, ask.timeouts.connect)
        else:
            _connect(session, checked(host, port, self._check_address), port, ask.timeouts.connect)
        if session.sock is not None:
            session.sock.settimeout(ask.timeouts.stall)
        session.timeout = ask.timeouts.stall  # of the data connection
        session.login(*_login_of(ask.headers))
        session.voidcmd("TYPE I")


def _connect(session: ftplib.FTP, addresses: Iterator[str], port: int, timeout: float) -> None:
    failure = OSError("the name has no address")
    for address in addresses:
        try:
            session.connect(address, port, timeout)
        except OSError as error:
            failure = error
        else:
            return
    raise failure


def _login_of(headers: Mapping[str, str]) -> tuple[str, str]:
    kind, _, pair = headers.get("Authorization", "").partition(" ")
    if kind != "Basic":
        return "anonymous", "anonymous@"
    user, _, password = b64decode(pair).decode().partition(":")
    return user, password


def _look(session: ftplib.FTP, path: str) -> Thing:
    """Ask for size and time; servers may know neither command."""
    size = modified = None
    try:
        size = session.size(path)
        reply = session.voidcmd(f"MDTM {path}").split()[-1]
        when = datetime.strptime(reply[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        modified = format_datetime(when, usegmt=True)
    except ftplib.error_perm as error:
        if str(error).startswith("550"):
            raise
    except ValueError:
        pass
    return Thing(size, last_modified=modified)


@contextmanager
def _translated(ask: Ask) -> Iterator[None]:
    shown = redact(ask.url)
    try:
        yield
    except ftplib.error_temp:
        raise BusyServerError(shown, 503, "the server says: not now") from None
    except ftplib.error_perm as error:
        if str(error).startswith("530"):
            raise AuthenticationError(shown, 401, "the server refuses the login") from None
        if str(error).startswith("550"):
            raise NotFoundError(shown, 404, "the server does not have it") from None
        raise HTTPStatusError(shown, 400, "the server refuses") from None
    except TimeoutError:
        raise translate.stalled(ask.url, ask.timeouts.stall) from None
    except (ftplib.Error, EOFError, OSError) as error:
        raise translate.broken(ask.url, error) from None
