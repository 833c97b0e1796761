"""One easy handle of libcurl: what it is told, what it hands over, and what its errors mean."""

from __future__ import annotations

import os
import socket
import sys
from fcntl import ioctl
from functools import lru_cache
from math import ceil
from termios import FIONREAD
from typing import TYPE_CHECKING, Any

import certifi
import pycurl

from stager.errors import ConnectionFailedError, InvalidURLError, LengthError
from stager.heads import content_length
from stager.transports import translate
from stager.transports.base import Head
from stager.urls import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stager.proxies import Proxy
    from stager.transports.base import Ask, Exchange, Sink

BUFFER = 256 << 10
"""Bytes that libcurl hands over at most: one call of Python for each."""
DRAINED = 64 << 10
"""Bytes of an unwanted body (a redirect's, an error page) that are read to keep the connection."""

_WHY = {
    pycurl.E_COULDNT_RESOLVE_HOST: "there is no host of that name",
    pycurl.E_COULDNT_RESOLVE_PROXY: "there is no host of that name",
    pycurl.E_GOT_NOTHING: translate.NO_ANSWER,
    pycurl.E_PARTIAL_FILE: translate.CUT_OFF,
    pycurl.E_SSL_CONNECT_ERROR: "TLS failed",
    pycurl.E_FTP_WEIRD_SERVER_REPLY: translate.NO_HTTP,
    pycurl.E_UNSUPPORTED_PROTOCOL: translate.NO_HTTP,
}

_REACHING = frozenset({pycurl.E_COULDNT_RESOLVE_PROXY, pycurl.E_COULDNT_CONNECT})
"""With a proxy set, these are about the way to the proxy."""


class Line:
    """One easy handle and the exchange it carries."""

    def __init__(
        self,
        check_address: Callable[[str], None] | None,
        ca_file: str | None,
        proxy: Callable[[str], Proxy | None] | None,
    ) -> None:
        self.exchange: Exchange | None = None
        self._ca_file = ca_file
        self._proxy = proxy
        self._through: Proxy | None = None
        self._ask: Ask | None = None
        self._sink: Sink | None = None
        self._headers: Mapping[str, str] | None = None
        self._timeouts: object = None
        self._lines: list[bytes] = []
        self._head: Head | None = None
        self._wanted = False
        self._unwanted = 0
        self._failure: Exception | None = None
        self._opened: list[socket.socket] = []
        self.curl = curl = pycurl.Curl()
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.FOLLOWLOCATION, 0)
        curl.setopt(pycurl.PROXY, "")
        curl.setopt(pycurl.NOPROXY, "")  # unset, libcurl looks into the environment for it
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        curl.setopt(pycurl.BUFFERSIZE, BUFFER)
        curl.setopt(pycurl.LOW_SPEED_LIMIT, 1)
        trusted = ca_file or certifi.where()
        curl.setopt(pycurl.CAINFO, trusted)
        if proxy is not None:
            curl.setopt(pycurl.PROXY_CAINFO, trusted)
            curl.setopt(pycurl.HEADEROPT, pycurl.HEADER_SEPARATE)
        curl.setopt(pycurl.TCP_KEEPALIVE, 1)
        if hasattr(pycurl, "PROTOCOLS_STR"):
            curl.setopt(pycurl.PROTOCOLS_STR, "http,https")
        else:
            curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        # Lines are only kept here and read with the first byte of the body: a method of a list
        # costs a tenth of a function in Python, and there are eight lines to an answer.
        curl.setopt(pycurl.HEADERFUNCTION, self._lines.append)
        curl.setopt(pycurl.WRITEFUNCTION, self._on_data)
        if check_address is not None:
            self._check_address = check_address
            curl.setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)

    def begin(self, ask: Ask, sink: Sink) -> None:
        """Make the handle ready for an exchange; raises where no proxy can be used for it."""
        self._ask, self._sink = ask, sink
        self._lines.clear()
        self._head = self._failure = None
        self._wanted = False
        self._unwanted = 0
        curl = self.curl
        if self._proxy is not None:
            self._go_through(self._proxy(ask.url))
        curl.setopt(pycurl.URL, ask.url)
        if ask.headers != self._headers:
            self._headers = dict(ask.headers)
            curl.setopt(
                pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in ask.headers.items()]
            )
        if ask.timeouts is not self._timeouts:
            self._timeouts = ask.timeouts
            curl.setopt(pycurl.CONNECTTIMEOUT_MS, ceil(ask.timeouts.connect * 1000))
            curl.setopt(pycurl.LOW_SPEED_TIME, ceil(ask.timeouts.stall))

    def _go_through(self, proxy: Proxy | None) -> None:
        if proxy is self._through:
            return
        self._through = proxy
        self.curl.setopt(pycurl.PROXY, "" if proxy is None else proxy.url)
        secret = None if proxy is None else proxy.authorization
        headers = [] if secret is None else [f"Proxy-Authorization: {secret}"]
        self.curl.setopt(pycurl.PROXYHEADER, headers)

    def end(self, code: int) -> Exception | None:
        """Return what `Transport.fetch` raises for an exchange that ended with `code`."""
        ask = self._ask
        if self._failure is None and code == pycurl.E_OK and self._head is None:
            self._take_head()  # an answer without a body
        while self._opened:
            self._opened.pop().close()
        failure = self._failure
        if failure is None and ask is not None:
            if not self._is_fine(code):
                failure = self._translate(ask, code)
            elif code == pycurl.E_OK and self._wanted:
                failure = self._look_behind(ask)
        self._ask = self._sink = self._failure = None
        return failure

    def _is_fine(self, code: int) -> bool:
        if code == pycurl.E_OK or self._unwanted > DRAINED:
            return True
        # The sink compares lengths; where none was announced, nobody else would notice.
        return (
            code == pycurl.E_PARTIAL_FILE
            and self._head is not None
            and content_length(self._head.headers) is not None
        )

    def _look_behind(self, ask: Ask) -> LengthError | None:
        """Tell whether the server sent more than it announced.

        libcurl drops such bytes without a word, but it drops the connection with them; otherwise it
        keeps one that the server, or a proxy, did not say it would close. What it has not read yet
        waits in the socket of one that it keeps; within TLS that may be a ticket, and says nothing.
        """
        kept = self.curl.getinfo(pycurl.ACTIVESOCKET)
        if kept >= 0 and not (ask.url.startswith("http:") and _waiting(kept)):
            return None
        headers = self._head.headers if self._head is not None else {}
        length = content_length(headers)
        if length is None:
            return None
        if kept >= 0:
            _spoil(kept)
        elif (
            "close" in headers.get("connection", "").lower()
            or "close" in headers.get("proxy-connection", "").lower()
            or self.curl.getinfo(pycurl.INFO_HTTP_VERSION) < pycurl.CURL_HTTP_VERSION_1_1
        ):
            return None
        return LengthError(redact(ask.url), length, length + 1)  # or more: nobody counted them

    def _translate(self, ask: Ask, code: int) -> Exception:
        if code == pycurl.E_OPERATION_TIMEDOUT:
            if not self.curl.getinfo(pycurl.PRETRANSFER_TIME):
                return translate.unreachable(ask.url, ask.timeouts.connect)
            if self._through is not None and self._waits_for_tunnel(ask):
                way = translate.through(self._through.url)
                return translate.unreachable(ask.url, ask.timeouts.connect, by=way)
            return translate.stalled(ask.url, ask.timeouts.stall)
        if code == pycurl.E_URL_MALFORMAT:
            return InvalidURLError(redact(ask.url), "libcurl cannot parse it")
        status = self.curl.getinfo(pycurl.HTTP_CONNECTCODE)
        if self._through is not None and status and status // 100 != 2:
            return translate.refused_tunnel(ask.url, self._through.url, status)
        distrust = self.curl.getinfo(pycurl.PROXY_SSL_VERIFYRESULT)
        by = ""
        if self._through is not None and (code in _REACHING or distrust):
            by = translate.through(self._through.url)
        if code == pycurl.E_PEER_FAILED_VERIFICATION:
            why = translate.distrusted(distrust or self.curl.getinfo(pycurl.SSL_VERIFYRESULT))
        elif code == pycurl.E_SSL_CONNECT_ERROR and "wrong version" in self.curl.errstr():
            why = translate.NO_TLS
        else:
            number = self.curl.getinfo(pycurl.OS_ERRNO)
            fallback = os.strerror(number) if number else f"the connection broke (libcurl's {code})"
            why = _WHY.get(code, fallback)
        lasting = code == pycurl.E_PEER_FAILED_VERIFICATION or why is translate.NO_TLS
        return translate.untrusting(ask.url, self._ca_file) or ConnectionFailedError(
            redact(ask.url), by + why, lasting
        )

    def _waits_for_tunnel(self, ask: Ask) -> bool:
        new = bool(self.curl.getinfo(pycurl.NUM_CONNECTS))
        return new and ask.url[:6] == "https:" and not self.curl.getinfo(pycurl.APPCONNECT_TIME)

    def _on_data(self, data: bytes) -> int | None:
        try:
            if self._head is None:
                self._take_head()
            if self._wanted and self._sink is not None:
                self._sink.on_data(data)
                return None
        except Exception as error:  # noqa: BLE001 - pycurl would print it; it is raised again later
            self._failure = error
            return -1
        if self._failure is not None:
            return -1
        self._unwanted += len(data)
        return None if self._unwanted <= DRAINED else -1

    def _take_head(self) -> None:
        self._head = _parse_head(self._lines)
        if self._sink is not None:
            try:
                self._wanted = self._sink.on_head(self._head)
            except Exception as error:  # noqa: BLE001 - as above
                self._failure = error

    def _open_socket(self, _purpose: int, address: Any) -> socket.socket | int:
        family, kind, protocol, where = address
        try:
            if self._through is None:
                self._check_address(where[0] if isinstance(where, tuple) else str(where))
        except Exception as error:  # noqa: BLE001 - as above
            self._failure = error
            return int(pycurl.SOCKET_BAD)
        # pycurl duplicates the descriptor after this returns; ours is closed with the exchange.
        made = socket.socket(family, kind, protocol)
        self._opened.append(made)
        return made


def _parse_head(lines: list[bytes]) -> Head:
    """Read the last head among the lines: before it may come interim answers (100, 103)."""
    headers = dict(map(_field, lines))
    # The first line and the empty last one have no name. One less than lines: no name is there twice.
    if len(headers) == len(lines) - 1:
        del headers[""]
        return Head(int(lines[0].split(None, 2)[1]), headers)
    status = 0
    headers.clear()
    for line in lines:
        name, value = _field(line)
        if not name:
            if line.startswith(b"HTTP/"):
                status = int(line.split(None, 2)[1])
                headers = {}
            continue
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Head(status, headers)


def _waiting(descriptor: int) -> int:
    """Return how many bytes a socket has received that nobody has read; 1 µs."""
    return int.from_bytes(ioctl(descriptor, FIONREAD, b"\0\0\0\0"), sys.byteorder)


def _spoil(descriptor: int) -> None:
    """Make a connection that libcurl keeps useless for the next exchange.

    libcurl looks for itself whether a kept connection still lives, but not again within a second: it
    would read what waits as the next answer's head. One that it cannot send on it makes anew.
    """
    connection = socket.socket(fileno=descriptor)
    try:
        connection.shutdown(socket.SHUT_RDWR)
        while connection.recv(DRAINED, socket.MSG_DONTWAIT):
            pass
    except OSError:  # the server was faster
        pass
    finally:
        connection.detach()


@lru_cache(256)
def _field(line: bytes) -> tuple[str, str]:
    """Return a header's name and value; most lines of one server are those of its last answer."""
    name, colon, value = line.decode("latin-1").partition(":")
    return (name.strip().lower(), value.strip()) if colon else ("", "")
