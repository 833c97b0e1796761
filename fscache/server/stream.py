"""A connection's bytes: buffered reading with deadlines, whole writes, files by sendfile.

On a plain socket the kernel keeps the time (SO_RCVTIMEO): Python's own timeouts cost a poll with every
call and a fcntl with every change, which were five of the eight system calls of a small request.

Two clocks guard against slow clients. A silence longer than `stall` ends any read or write; and
reading one request must on average beat `MIN_RATE`, so that one byte every few seconds does not hold
a thread for ever.
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MIN_RATE = 1024
"""Bytes per second, on average, after the first `GRACE` seconds of a request."""
GRACE = 30.0

_TLS_HANDSHAKE = 0x16  # the first byte of whoever speaks TLS
_RECV = 64 * 1024
_SENDFILE = 1 << 30
_CORK = 256 * 1024
"""Bytes of a file from which on the kernel is to send whole segments only."""
_COPY = 256 * 1024


class ConnectionClosedError(Exception):
    """The client is gone, or was too slow; there is nobody to answer."""


class Stream:
    """One client's socket."""

    __slots__ = ("_buffer", "_clock", "_deadline_base", "_plain", "_received", "_stall", "socket")

    def __init__(
        self, sock: socket.socket, *, stall: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Wrap a connected socket; `stall` is the longest silence in seconds."""
        self.socket = sock
        self._buffer = b""
        self._stall = stall
        self._plain = not isinstance(sock, ssl.SSLSocket)
        if self._plain:
            sock.setblocking(True)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(stall))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(stall))
        else:
            sock.settimeout(stall)
        self._clock = clock
        self._deadline_base = 0.0
        self._received = 0

    # -- reading ------------------------------------------------------------------------------

    def read_head(self, limit: int, idle: float) -> bytes | None:
        """Return the bytes up to and with the next empty line.

        Args:
            limit: The most bytes.
            idle: How long the first byte may take, in seconds.

        Returns:
            None where the client closed, or stayed silent, before it began a request. An empty
            result stands for a head longer than `limit`. What begins as TLS does is returned as
            it came: it is no head.

        Raises:
            ConnectionClosedError: it ended, or took too long, in the middle.
        """
        data = self._buffer
        if not data:
            data = self._first(idle)
            if not data:
                return None
        self._deadline_base = self._clock()
        self._received = 0
        while True:
            end = data.find(b"\r\n\r\n")
            if end >= 0:
                end += 4
                self._buffer = data[end:]
                return data[:end] if end <= limit else b""
            if len(data) > limit:
                self._buffer = b""
                return b""
            if data[0] == _TLS_HANDSHAKE:  # no empty line will come; any answer tells the client
                self._buffer = b""
                return data
            data += self._recv()

    def read_exactly(self, count: int) -> bytes:
        """Return exactly `count` bytes."""
        if len(self._buffer) >= count:
            data, self._buffer = self._buffer[:count], self._buffer[count:]
            return data
        whole = bytearray(count)
        view = memoryview(whole)
        done = 0
        while done < count:
            done += self.readinto(view[done:])
        return bytes(whole)

    def readinto(self, view: memoryview) -> int:
        """Fill some of `view`, at least one byte."""
        if self._buffer:
            count = min(len(view), len(self._buffer))
            view[:count] = self._buffer[:count]
            self._buffer = self._buffer[count:]
            return count
        try:
            count = self.socket.recv_into(view)
        except OSError as exc:
            raise ConnectionClosedError from exc
        self._count(count)
        return count

    def read_line(self, limit: int) -> bytes:
        """Return the next line without its CRLF; an overlong one ends the connection."""
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > limit:
                raise ConnectionClosedError
            self._buffer += self._recv()
        line, self._buffer = self._buffer[:end], self._buffer[end + 2 :]
        return line

    def _first(self, idle: float) -> bytes:
        """Return the first bytes of a request; empty where none came for `idle` seconds."""
        sock = self.socket
        if not self._plain or idle < self._stall:
            return self._first_within(idle)
        until = 0.0
        while True:
            try:
                return sock.recv(_RECV)
            except BlockingIOError:  # a silence of `stall`, which may be shorter than `idle`
                now = self._clock()
                until = until or now - self._stall + idle
                if now >= until:
                    return b""
            except OSError:
                return b""

    def _first_within(self, idle: float) -> bytes:
        try:
            self._set_timeout(idle)
            data = self.socket.recv(_RECV)
            self._set_timeout(self._stall)
        except OSError:
            return b""
        return data

    def _set_timeout(self, seconds: float) -> None:
        if self._plain:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(seconds))
        else:
            self.socket.settimeout(seconds)

    def _recv(self) -> bytes:
        try:
            data = self.socket.recv(_RECV)
        except OSError as exc:
            raise ConnectionClosedError from exc
        self._count(len(data))
        return data

    def _count(self, received: int) -> None:
        if not received:
            raise ConnectionClosedError
        self._received += received
        late = self._clock() - self._deadline_base - GRACE
        if late > 0 and self._received < late * MIN_RATE:
            raise ConnectionClosedError

    # -- writing ------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send all of `data`."""
        try:
            self.socket.sendall(data)
        except OSError as exc:
            raise ConnectionClosedError from exc

    def send_file(self, head: bytes, fd: int, offset: int, count: int) -> None:
        """Send `head`, then `count` bytes of a file from `offset` on."""
        if not self._plain or not count:
            self.send(head)
            self._copy_file(fd, offset, count)
            return
        end = offset + count
        out = self.socket.fileno()
        try:
            # Without it each time that there is room again ends in half a segment: over loopback one
            # client then gets 0.7 of what nginx sends, with it as much.
            if count >= _CORK:
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            self.socket.sendall(head, socket.MSG_MORE)
            while offset < end:
                sent = os.sendfile(out, fd, offset, min(end - offset, _SENDFILE))
                if not sent:
                    raise ConnectionClosedError  # the file became shorter: never pretend otherwise
                offset += sent
            if count >= _CORK:
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
        except OSError as exc:
            raise ConnectionClosedError from exc

    def _copy_file(self, fd: int, offset: int, count: int) -> None:
        buffer = memoryview(bytearray(_COPY))
        while count:
            read = os.preadv(fd, [buffer[: min(count, _COPY)]], offset)
            if not read:
                raise ConnectionClosedError
            try:
                self.socket.sendall(buffer[:read])
            except OSError as exc:
                raise ConnectionClosedError from exc
            offset += read
            count -= read

    def gone(self) -> bool:
        """Whether the client has closed, as far as that can be seen without reading."""
        if not self._plain:
            return False  # TLS cannot be looked into; the next write will tell
        try:
            return self.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    # -- end ----------------------------------------------------------------------------------

    def close(self) -> None:
        """Close, letting the client read what was sent even where it is still sending."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
            self.socket.settimeout(1.0)
            # A close with unread bytes resets the connection, and the reset may overtake our answer.
            for _ in range(64):
                if not self.socket.recv(_RECV):
                    break
        except OSError:
            pass
        self.socket.close()


def _timeval(seconds: float) -> bytes:
    return struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
