"""HTTP through libcurl (`pycurl`): many exchanges from one thread. The other home of HTTP.

`requests` spends 600 µs of Python on a small file, libcurl's multi handle 40. It is driven by epoll
and `socket_action`, so that a wait costs nothing whatever the number of sockets, and another thread
can wake it. Switched off in libcurl is all that is decided elsewhere: redirects, proxies from the
environment, netrc, cookies, decoding, every protocol but HTTP; HTTP/1.1 only, as with `requests`.

One thing differs from `http_requests`: silence is noticed up to 6 s late, because libcurl's speed,
which must be under 1 byte/s for the stall timeout, is an average over 5 s.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING, Any

import certifi
import pycurl

from credentials.errors import FscacheError
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
_PATIENCE = 1.0
"""Seconds of epoll without a timer of libcurl's: never so in practice, and no hang if it were."""

_WHY = {
    pycurl.E_COULDNT_RESOLVE_HOST: "there is no host of that name",
    pycurl.E_COULDNT_RESOLVE_PROXY: "there is no host of that name",
    pycurl.E_GOT_NOTHING: "the connection broke before an answer",
    pycurl.E_PARTIAL_FILE: "the connection broke within the body",
    pycurl.E_SSL_CONNECT_ERROR: "TLS failed",
    pycurl.E_FTP_WEIRD_SERVER_REPLY: "the answer is no HTTP",
    pycurl.E_UNSUPPORTED_PROTOCOL: "the answer is no HTTP",
}

_REACHING = frozenset({pycurl.E_COULDNT_RESOLVE_PROXY, pycurl.E_COULDNT_CONNECT})
"""With a proxy set, these are about the way to the proxy."""


class CurlTransport:
    """`http:` and `https:`, many exchanges per thread."""

    schemes = frozenset({"http", "https"})

    def __init__(
        self,
        *,
        check_address: Callable[[str], None] | None = None,
        ca_file: str | None = None,
        proxy: Callable[[str], Proxy | None] | None = None,
    ) -> None:
        """Set up; opens nothing yet.

        Args:
            check_address: Called with the IP address before every connection; raises to refuse it.
            ca_file: Certificates to trust instead of the usual ones.
            proxy: Says which proxy a URL is fetched through.
        """
        self._check_address = check_address
        self._ca_file = ca_file
        self._proxy = proxy
        self._free: list[_Line] = []
        self._loop: _Loop | None = None
        self._turn = threading.Lock()

    def fetch(self, ask: Ask, sink: Sink) -> None:
        """Perform one exchange in this thread; see `Transport`."""
        line = self._line()
        line.begin(ask, sink)
        code = pycurl.E_OK
        try:
            line.curl.perform()
        except pycurl.error as error:
            code = error.args[0]
        failure = line.end(code)
        self._free.append(line)
        if failure is not None:
            raise failure

    def drive(self, take: Callable[[bool], Exchange | None], limit: int) -> None:
        """Run exchanges until there are none left; see `MultiTransport`. One thread at a time."""
        with self._turn:
            if self._loop is None:
                self._loop = _Loop(limit)
            self._loop.run(take, limit, self._line, self._free.append)

    def wake(self) -> None:
        """Have `drive` call `take` again soon."""
        loop = self._loop
        if loop is not None:
            loop.wake()

    def close(self) -> None:
        """Close kept connections; not while `drive` runs."""
        with self._turn:
            for line in self._free:
                line.curl.close()
            self._free.clear()
            if self._loop is not None:
                self._loop.close()
                self._loop = None

    def _line(self) -> _Line:
        try:
            return self._free.pop()
        except IndexError:
            return _Line(self._check_address, self._ca_file, self._proxy)


class _Line:
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
        keeps one that the server, or a proxy, did not say it would close.
        """
        headers = self._head.headers if self._head is not None else {}
        length = content_length(headers)
        if (
            length is None
            or self.curl.getinfo(pycurl.ACTIVESOCKET) >= 0
            or "close" in headers.get("connection", "").lower()
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


class _Loop:
    """A multi handle, the sockets it waits for, and a descriptor to wake it by."""

    def __init__(self, limit: int) -> None:
        self._epoll = select.epoll()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._bell, select.EPOLLIN)
        self._watched: set[int] = set()
        self._timer: int = -1
        self._thread = 0
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)
        self._multi.setopt(pycurl.M_MAXCONNECTS, limit)

    def run(
        self,
        take: Callable[[bool], Exchange | None],
        limit: int,
        line: Callable[[], _Line],
        give_back: Callable[[_Line], None],
    ) -> None:
        self._thread = threading.get_ident()
        live: dict[Any, _Line] = {}
        multi = self._multi
        try:
            while True:
                while len(live) < limit and (exchange := take(not live)) is not None:
                    free = line()
                    free.exchange = exchange
                    try:
                        free.begin(exchange.ask, exchange.sink)
                    except FscacheError as error:
                        free.exchange = None
                        give_back(free)
                        exchange.on_end(error)
                        continue
                    live[free.curl] = free
                    multi.add_handle(free.curl)
                if not live:
                    return
                if self._turn() < len(live):
                    self._reap(live, give_back)
        finally:
            self._thread = 0
            for left in live.values():
                multi.remove_handle(left.curl)
                if left.exchange is not None:
                    url = redact(left.exchange.ask.url)
                    left.exchange.on_end(ConnectionFailedError(url, "its thread has failed"))

    def wake(self) -> None:
        if self._thread != threading.get_ident():
            os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        self._multi.close()
        self._epoll.close()
        os.close(self._bell)

    def _turn(self) -> int:
        """Wait for sockets and let libcurl work; return how many exchanges are still under way."""
        multi = self._multi
        running = -1
        timer = self._timer
        events = [] if timer == 0 else self._epoll.poll(_PATIENCE if timer < 0 else timer / 1000)
        if not events:
            self._timer = -1
            return int(multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)[1])
        for descriptor, mask in events:
            if descriptor == self._bell:
                os.eventfd_read(self._bell)
                continue
            flags = 0
            if mask & ~select.EPOLLOUT:
                flags |= pycurl.CSELECT_IN
            if mask & ~select.EPOLLIN:
                flags |= pycurl.CSELECT_OUT
            running = multi.socket_action(descriptor, flags)[1]
        return running if running >= 0 else 1 << 30

    def _reap(self, live: dict[Any, _Line], give_back: Callable[[_Line], None]) -> None:
        multi = self._multi
        more = 1
        while more:
            more, good, bad = multi.info_read()
            ended = [(curl, pycurl.E_OK) for curl in good]
            ended += [(curl, code) for curl, code, _ in bad]
            for curl, code in ended:
                line = live.pop(curl)
                exchange, line.exchange = line.exchange, None
                failure = line.end(code)  # first: a removed handle does not know its connection
                multi.remove_handle(curl)
                give_back(line)
                if exchange is not None:
                    exchange.on_end(failure)

    def _on_socket(self, event: int, descriptor: int, _multi: Any, _data: Any) -> None:
        if event == pycurl.POLL_REMOVE:
            if descriptor in self._watched:
                self._watched.discard(descriptor)
                try:
                    self._epoll.unregister(descriptor)
                except OSError:
                    pass  # closed already
            return
        mask = 0
        if event != pycurl.POLL_OUT:
            mask |= select.EPOLLIN
        if event != pycurl.POLL_IN:
            mask |= select.EPOLLOUT
        if descriptor in self._watched:
            self._epoll.modify(descriptor, mask)
        else:
            self._watched.add(descriptor)
            self._epoll.register(descriptor, mask)

    def _on_timer(self, milliseconds: int) -> None:
        self._timer = milliseconds


def _parse_head(lines: list[bytes]) -> Head:
    """Read the last head among the lines: before it may come interim answers (100, 103)."""
    status = 0
    headers: dict[str, str] = {}
    for line in lines:
        name, value = _field(line)
        if not name:
            if line.startswith(b"HTTP/"):
                status = int(line.split(None, 2)[1])
                headers = {}
            continue
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Head(status, headers)


@lru_cache(256)
def _field(line: bytes) -> tuple[str, str]:
    """Return a header's name and value; most lines of one server are those of its last answer."""
    name, colon, value = line.decode("latin-1").partition(":")
    return (name.strip().lower(), value.strip()) if colon else ("", "")
