"""A real HTTP server on a free loopback port, a thread per connection: `Origin` and `Proxy` are such.

Leaving its context ends every connection and every thread, so that none outlives its test.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType


class Listening:
    """The server; a context manager."""

    def __init__(
        self,
        handler: type[Handler],
        *,
        host: str = "127.0.0.1",
        certificate: tuple[str, str] | None = None,
    ) -> None:
        """Listen; nobody is answered before the context is entered.

        Args:
            handler: Answers one connection; finds this server as `self.server.face`.
            host: The address to listen at.
            certificate: The paths of a certificate and its key: the server speaks TLS.
        """
        self.accepted = 0
        """Connections so far."""
        self._holding = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._server = _Server((host, 0), handler)
        self._server.face = self
        if certificate is not None:
            self._server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._server.tls.load_cert_chain(*certificate)
        self.port: int = self._server.server_address[1]
        self.base = f"{'http' if certificate is None else 'https'}://{host}:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self.drop_connections()
        self._server.server_close()
        self._thread.join()

    def drop_connections(self) -> None:
        """Break every open connection."""
        with self._holding:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def hold(self, connection: socket.socket, *, open_: bool) -> None:
        """Take note of a connection that has come, or has ended."""
        with self._holding:
            self.accepted += open_
            (self._connections.add if open_ else self._connections.discard)(connection)


class Handler(BaseHTTPRequestHandler):
    """Answers one connection; those who derive from it have `do_GET` and the like."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        if self.server.tls is not None:
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        super().setup()
        self.server.face.hold(self.connection, open_=True)

    def finish(self) -> None:
        self.server.face.hold(self.connection, open_=False)
        with contextlib.suppress(OSError, ValueError):
            super().finish()
        if self.server.tls is not None:
            self.connection.close()  # the server closes only the socket it accepted

    def log_message(self, *_: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close() joins the handlers
    request_queue_size = 128
    face: Any
    tls: ssl.SSLContext | None = None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Broken connections are what these servers are for: say nothing."""
