"""One kept connection to one server: a request out, its answer in; made again when it is gone.

Of HTTP it knows what our own server speaks: an answer has a length, and no chunks.
"""

from __future__ import annotations

import os
import re
import select
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.remote.address import Address

CONNECT_TIMEOUT = 15.0

_RECV = 64 * 1024
_STREAM = 256 * 1024
_MAX_HEAD = 64 * 1024
_PART = 1 << 30  # bytes of a file sent by one call
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_IDLE_CHECK = 1.0  # a connection that was silent longer is looked at before it is used
_CUT_OFF = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
_UNKNOWN_ISSUER = frozenset({2, 18, 19, 20, 21})  # X509_V_ERR_*: self-signed, issuer not found
_NO_HOST = (socket.EAI_NONAME, socket.EAI_NODATA)  # and not EAI_AGAIN, of a network that comes up
_NO_RECORD = frozenset({"WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"})


@dataclass(slots=True)
class Answer:
    """What the server said; `body` is empty where it was streamed."""

    status: int
    head: bytes
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        """Headers, names in lower case."""
        found = {}
        for line in self.head.decode("latin-1").split("\r\n")[1:]:
            name, _, value = line.partition(":")
            if name:
                found[name.lower()] = value.strip()
        return found


class BrokenError(Exception):
    """The connection ended; `answered` says whether a byte of the answer may have come."""

    def __init__(self, why: str, *, answered: bool) -> None:
        super().__init__(why)
        self.why = why
        self.answered = answered


class NotSentError(BrokenError):
    """There was no connection, so nothing was asked."""


class HopelessError(NotSentError):
    """There is no such host, or what answers is not trusted or speaks no TLS: asking again is no use."""


class Connection:
    """Used by one thread at a time; closed when it is dropped."""

    __slots__ = ("_address", "_clock", "_left", "_pid", "_seen", "_socket", "_tls", "_used")

    def __init__(
        self, address: Address, tls: ssl.SSLContext | None, clock: Callable[[], float]
    ) -> None:
        """Connect to `address` when first asked; `clock` gives monotonic seconds."""
        self._address = address
        self._tls = tls
        self._clock = clock
        self._socket: socket.socket | None = None
        self._pid = -1
        self._used = 0.0
        self._seen = b""
        self._left = 0

    def ask(self, data: bytes, timeout: float) -> Answer:
        """Send a request and return the head of its answer; `rest` or `pass_on` bring its body.

        Raises:
            BrokenError: the connection broke, or was silent for `timeout` seconds.
        """
        sock = self._connected()
        try:
            if sock.gettimeout() != timeout:
                sock.settimeout(timeout)
            sock.sendall(data)
        except OSError as exc:
            return self._refusal(sock, exc)
        return self._begin(sock)

    def send_file(self, head: bytes, fd: int, size: int, timeout: float) -> Answer:
        """Send a head and a file's first `size` bytes; return as `ask`."""
        sock = self._connected()
        try:
            sock.settimeout(timeout)
            sock.sendall(head)
            with open(fd, "rb", buffering=0, closefd=False) as file:
                if isinstance(sock, ssl.SSLSocket):
                    sock.sendfile(file, 0, size or None)
                else:
                    offset = 0
                    while offset < size:
                        offset += sock.sendfile(file, offset, min(size - offset, _PART))
        except OSError as exc:
            return self._refusal(sock, exc)
        return self._begin(sock)

    def rest(self) -> bytes:
        """Return the answer's body; raises BrokenError."""
        if len(self._seen) == self._left:
            return self._seen
        parts = bytearray()
        self.pass_on(parts.extend)
        return bytes(parts)

    def pass_on(self, take: Callable[[memoryview], object]) -> None:
        """Hand the answer's body on as it comes; the buffer is reused. Raises BrokenError."""
        try:
            self._receive(take)
        except BaseException:
            self.drop()  # unread bytes would be taken for the next answer
            raise

    def skip(self) -> None:
        """Have nothing of the answer's body."""
        if self._left:
            self.drop()

    def drop(self) -> None:
        """Close; the next request connects again."""
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()

    def __del__(self) -> None:
        self.drop()

    def _connected(self) -> socket.socket:
        now = self._clock()
        sock = self._socket
        if sock is not None and self._pid == os.getpid():
            if now - self._used < _IDLE_CHECK or not _readable(sock):
                self._used = now
                return sock
            sock.close()  # readable while nothing was asked: the server has closed it
        self._socket = None  # after a fork the parent's socket is closed here, not shut down
        try:
            made = socket.create_connection(
                (self._address.host, self._address.port), timeout=CONNECT_TIMEOUT
            )
        except UnicodeError as exc:  # of the codec of international names
            raise HopelessError("this is no name of a host", answered=False) from exc
        except OSError as exc:
            nobody = isinstance(exc, socket.gaierror) and exc.errno in _NO_HOST
            kind = HopelessError if nobody else NotSentError
            raise kind(exc.strerror or str(exc), answered=False) from exc
        try:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                made = self._tls.wrap_socket(made, server_hostname=self._address.host)
        except OSError as exc:
            made.close()
            if isinstance(exc, ssl.SSLError) and not isinstance(exc, _CUT_OFF):
                raise HopelessError(_why_not(exc), answered=False) from exc
            raise NotSentError(exc.strerror or str(exc), answered=False) from exc
        self._socket = made
        self._pid = os.getpid()
        self._used = now
        return made

    def _begin(self, sock: socket.socket) -> Answer:
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            try:
                more = sock.recv(_RECV)
            except OSError as exc:
                raise _broken(sock, exc, answered=bool(data)) from exc
            if not more:
                raise BrokenError("the connection was closed", answered=bool(data))
            data += more
            if len(data) > _MAX_HEAD and b"\r\n\r\n" not in data:
                raise BrokenError("the answer is not one of our server's", answered=True)
        head = data[:end]
        length = _LENGTH.search(head)
        if head[:7] != b"HTTP/1." or not head[9:12].isdigit() or length is None:
            self.drop()
            raise BrokenError("the answer is not one of our server's", answered=True)
        self._seen = data[end + 4 :]
        self._left = int(length[1])
        return Answer(int(head[9:12]), head, b"")

    def _refusal(self, sock: socket.socket, exc: OSError) -> Answer:
        """Return what the server said before it closed while we were sending, or raise BrokenError."""
        broken = _broken(sock, exc, answered=False)
        if not broken.answered:  # it was not silence that ended it
            try:
                return self._begin(sock)
            except BrokenError:
                pass
        raise broken from exc

    def _receive(self, take: Callable[[memoryview], object]) -> None:
        length = self._left
        done = min(len(self._seen), length)
        if done:
            take(memoryview(self._seen)[:done])
        if done == length:
            return
        sock = self._socket
        if sock is None:
            raise BrokenError("the connection was closed", answered=True)
        view = memoryview(bytearray(min(_STREAM, length - done)))
        while done < length:
            try:
                count = sock.recv_into(view[: min(len(view), length - done)])
            except OSError as exc:
                raise _broken(sock, exc, answered=True) from exc
            if not count:
                raise BrokenError("the connection was closed", answered=True)
            done += count
            take(view[:count])


def _why_not(exc: ssl.SSLError) -> str:
    if isinstance(exc, ssl.SSLCertVerificationError):
        why = f"its certificate is not trusted: {exc.verify_message}"
        known = exc.verify_code not in _UNKNOWN_ISSUER
        return why if known else f"{why}; FSCACHE_CA_FILE names the certificates to trust"
    if exc.reason in _NO_RECORD:
        return "it speaks no TLS: write http:// before the host"
    return f"no TLS with it: {exc.reason or exc}"


def _broken(sock: socket.socket, exc: OSError, *, answered: bool) -> BrokenError:
    silent = isinstance(exc, TimeoutError)
    why = f"no answer for {sock.gettimeout():g} s" if silent else exc.strerror or str(exc)
    # A silent server may be working on it: asking again would have it do so twice as hard.
    return BrokenError(why, answered=answered or silent)


def _readable(sock: socket.socket) -> bool:
    poll = select.poll()  # select() itself fails on descriptors beyond 1,023
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
