"""A real forward proxy on a free loopback port, with a log of what it was asked.

    with Proxy(auth="me:pw") as proxy:
        ...fetch http://host/a with http_proxy=proxy.url...
        assert proxy.seen == [("GET", "http://host/a")]

Plain HTTP is passed on with the connection kept on both sides, `CONNECT` becomes a tunnel. A body that
breaks off at the origin breaks off here.
"""

from __future__ import annotations

import base64
import http.client
import select
import socket
import ssl
import threading
from urllib.parse import urlsplit

from tests.support.listening import Handler, Listening

STEP = 64 << 10
HOP = frozenset({"connection", "proxy-authorization", "proxy-connection", "keep-alive"})
"""Headers that are for us and not for the origin."""


class Proxy(Listening):
    """The proxy; a context manager."""

    def __init__(
        self,
        *,
        auth: str | None = None,
        certificate: tuple[str, str] | None = None,
        refusal: int | None = None,
    ) -> None:
        """Set up.

        Args:
            auth: `user:password`, without which the answer is 407.
            certificate: The paths of a certificate and its key: the proxy itself speaks TLS.
            refusal: The status that every CONNECT gets.
        """
        self.seen: list[tuple[str, str]] = []
        """Method and target of each request that was let through."""
        self.headers: list[dict[str, str]] = []
        """The headers of every request, names in lower case."""
        self._auth = auth
        self._refusal = refusal
        self._lock = threading.Lock()
        super().__init__(_Handler, certificate=certificate)
        self.host = f"127.0.0.1:{self.port}"
        self.url = self.base

    def with_login(self, login: str) -> str:
        """Return the URL with `user:password` in it."""
        return self.url.replace("://", f"://{login}@")

    def _admits(self, method: str, target: str, headers: dict[str, str]) -> int | None:
        """Take note of a request; return the status to refuse it with."""
        wanted = None
        if self._auth is not None:
            wanted = "Basic " + base64.b64encode(self._auth.encode()).decode()
        with self._lock:
            self.headers.append(headers)
            if wanted is not None and headers.get("proxy-authorization") != wanted:
                return 407
            if method == "CONNECT" and self._refusal is not None:
                return self._refusal
            self.seen.append((method, target))
            return None


class _Handler(Handler):
    def setup(self) -> None:
        self._upstream: tuple[str, http.client.HTTPConnection] | None = None
        super().setup()

    def finish(self) -> None:
        if self._upstream is not None:
            self._upstream[1].close()
        super().finish()

    def do_GET(self) -> None:  # noqa: N802 - as http.server calls it
        if not self._admitted():
            return
        parts = urlsplit(self.path)
        upstream = self._to(parts.netloc)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        upstream.putrequest("GET", target, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in HOP:
                upstream.putheader(name, value)
        upstream.endheaders()
        answer = upstream.getresponse()
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            self.send_header(name, value)
        self.end_headers()
        chunked = bool(answer.chunked)
        self.close_connection = bool(answer.will_close)
        while data := answer.read1(STEP):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = self.close_connection or bool(answer.length)  # it broke off
        answer.close()  # http.client takes an answer for unread until it is told

    def do_CONNECT(self) -> None:  # noqa: N802 - as http.server calls it
        if not self._admitted():
            return
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port)), timeout=20) as origin:
            self.send_response_only(200, "Connection established")
            self.end_headers()
            _splice(self.connection, origin)
        self.close_connection = True

    def _admitted(self) -> bool:
        headers = {name.lower(): value for name, value in self.headers.items()}
        status = self.server.face._admits(self.command, self.path, headers)
        if status is None:
            return True
        self.send_response_only(status)
        self.send_header("Content-Length", "2")
        if status == 407:
            self.send_header("Proxy-Authenticate", 'Basic realm="p"')
        self.end_headers()
        self.wfile.write(b"no")
        self.close_connection = True
        return False

    def _to(self, host: str) -> http.client.HTTPConnection:
        if self._upstream is None or self._upstream[0] != host:
            if self._upstream is not None:
                self._upstream[1].close()
            self._upstream = host, http.client.HTTPConnection(host, timeout=20)
        return self._upstream[1]


def _splice(one: socket.socket, other: socket.socket) -> None:
    """Copy both ways until either side ends."""
    across = {one: other, other: one}
    while True:
        # TLS may hold decrypted bytes that no select() sees.
        ready = [one] if isinstance(one, ssl.SSLSocket) and one.pending() else []
        for source in ready or select.select([one, other], [], [])[0]:
            try:
                data = source.recv(STEP)
                if data:
                    across[source].sendall(data)
            except OSError:
                return
            if not data:
                return
