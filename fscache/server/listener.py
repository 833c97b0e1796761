"""The port: accepts connections and gives each a thread.

A thread per connection, because a waiting call parks in one (a Condition costs nothing while it
waits) and sendfile blocks in one; 1,000 idle connections cost 1,000 stacks of some 20 KiB resident.
More than `limit` connections are told to come back later, at once; unless one of those that are open
has been silent for `SPARED` seconds, which then makes room. Else whoever opens connections and says
nothing, or a large cluster that keeps its own, would shut all others out for as long as `idle` lasts.
"""

from __future__ import annotations

import errno
import logging
import socket
import threading
import time
from typing import TYPE_CHECKING

from fscache.server.connection import Connection
from fscache.server.head import BadRequestError
from fscache.server.stream import Stream

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from fscache.server.connection import Handler, Request, Response

_log = logging.getLogger("fscache.server")
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n"
    b"Connection: close\r\n\r\n"
)
_HANDSHAKE = 10.0  # seconds
SPARED = 5.0
"""Seconds of silence for which nobody is closed to make room; clients ask again for longer."""
_OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 picks a free one.

    Raises:
        OSError: the address cannot be had.
    """
    if not 0 <= port < 65536:  # getaddrinfo takes another number modulo 65,536
        raise OSError(errno.EINVAL, f"port {port} does not exist")
    family, kind, _proto, _name, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(1024)
    except BaseException:
        sock.close()
        raise
    return sock


class _Guest:
    """One client's connection, from its acceptance on."""

    __slots__ = ("_since", "connection", "sock")

    def __init__(self, sock: socket.socket, now: float) -> None:
        self.sock = sock
        self.connection: Connection | None = None
        self._since = now

    def silent_since(self) -> float | None:
        """Return when it was last heard or answered; None while a request is being served."""
        connection = self.connection
        if connection is None:
            return self._since
        return None if connection.busy else connection.since

    def abort(self) -> None:
        """Wake whoever reads or writes here: they see a closed connection."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Listener:
    """Serves one listening socket until `stop`."""

    def __init__(
        self,
        sock: socket.socket,
        handler: Handler,
        *,
        tls: ssl.SSLContext | None = None,
        limit: int = 1024,
        idle: float = 300.0,
        stall: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Serve `sock`.

        Args:
            sock: Listening.
            handler: Serves each request, in the connection's thread.
            tls: Speak TLS with this.
            limit: The most connections at once.
            idle: How long a kept connection may stay silent, in seconds.
            stall: The longest silence within a request, in seconds.
            clock: Monotonic seconds.
        """
        self._socket = sock
        self._handler = handler
        self._tls = tls
        self._limit = limit
        self._idle = idle
        self._stall = stall
        self._clock = clock
        self._stopping = False
        self._changed = threading.Condition()
        self._open: set[_Guest] = set()
        self._thread = threading.Thread(target=self._accept, name="accept", daemon=True)
        host, port = sock.getsockname()[:2]
        self.address: tuple[str, int] = (host, port)
        """Host and port as bound."""
        self.accepted = 0
        """Connections since the start."""

    @property
    def connections(self) -> int:
        """Connections now."""
        return len(self._open)

    @property
    def alive(self) -> bool:
        """Whether connections are still being accepted."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Accept from now on."""
        self._thread.start()

    def stop(self, grace: float) -> None:
        """Accept no more, let requests under way end for `grace` seconds, then cut the rest."""
        self._stopping = True
        # Closing a socket does not wake a thread in accept(); shutting it down does.
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._thread.join()
        self._socket.close()
        with self._changed:
            for guest in self._open:
                if guest.silent_since() is not None:
                    guest.abort()
            self._changed.wait_for(lambda: not self._open, grace)
            for guest in self._open:
                guest.abort()
            self._changed.wait_for(lambda: not self._open, 1.0)

    def _accept(self) -> None:
        while not self._stopping:
            try:
                sock, address = self._socket.accept()
            except OSError as exc:
                if self._stopping:
                    return
                if exc.errno in _OUT_OF_DESCRIPTORS:
                    _log.warning("no connection can be accepted now: %s", exc.strerror)
                    time.sleep(0.1)  # accept would fail again at once, and spin
                    continue
                if exc.errno in (errno.EBADF, errno.EINVAL):
                    _log.exception("the listening socket is gone")
                    return
                continue  # this one connection broke before it began
            self.accepted += 1
            guest = self._admit(sock)
            if guest is None:
                self._refuse(sock)
                continue
            thread = threading.Thread(
                target=self._serve, args=(guest, str(address[0])), name="connection", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:  # no more threads
                self._part(guest)
                self._refuse(sock)

    def _admit(self, sock: socket.socket) -> _Guest | None:
        """Return a place for a connection, None where there is none."""
        now = self._clock()
        guest = _Guest(sock, now)
        with self._changed:
            if len(self._open) >= self._limit:
                silent = [(each.silent_since(), each) for each in self._open]
                known = [(since, each) for since, each in silent if since is not None]
                since, oldest = min(known, key=lambda pair: pair[0], default=(now, guest))
                if now - since < SPARED:
                    return None
                self._open.discard(oldest)
                oldest.abort()
            self._open.add(guest)
        return guest

    def _part(self, guest: _Guest) -> None:
        with self._changed:
            self._open.discard(guest)
            self._changed.notify_all()

    def _refuse(self, sock: socket.socket) -> None:
        try:
            sock.setblocking(False)
            if self._tls is None:
                sock.send(_BUSY)
        except OSError:
            pass
        sock.close()

    def _serve(self, guest: _Guest, client: str) -> None:
        try:
            try:
                handler = self._greet(guest)
            except OSError as exc:
                _log.debug("no handshake with %s: %s", client, exc)
                guest.sock.close()
                return
            guest.connection = Connection(
                Stream(guest.sock, stall=self._stall),
                client,
                handler,
                idle=self._idle,
                stopping=lambda: self._stopping,
                clock=self._clock,
            )
            guest.connection.serve()
        finally:
            self._part(guest)

    def _greet(self, guest: _Guest) -> Handler:
        """Agree on TLS, if it is spoken here; return what serves the connection. Raises OSError."""
        sock = guest.sock
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is None:
            return self._handler
        sock.settimeout(_HANDSHAKE)
        if sock.recv(1, socket.MSG_PEEK).isalpha():  # a handshake begins with 0x16
            return _plain
        secure = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        guest.sock = secure  # what is wrapped cannot be shut down any more
        secure.do_handshake()
        return self._handler


def _plain(_request: Request) -> Response:
    raise BadRequestError(400, "this port speaks TLS: write https:// before the host")
