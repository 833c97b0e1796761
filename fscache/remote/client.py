"""HTTP to one server: a kept socket per thread, and nothing between it and the caller.

requests costs more than the whole server (2,000 calls/s), http.client four times what this does; what
our own server answers needs neither redirects, cookies nor chunks. An answer is either small and
read whole, or streamed into a callback.

A connection that broke before an answer came is made again, for `patience` seconds: a server that
restarts is not an error. A call that may have been carried out is repeated only if that is harmless.
"""

from __future__ import annotations

import json
import os
import re
import select
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fscache import errors
from fscache.remote import faults

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fscache.remote.address import Address

CONNECT_TIMEOUT = 15.0
PATIENCE = 10.0
"""How long a server that is not there is asked again, in seconds."""

_RECV = 64 * 1024
_STREAM = 256 * 1024
_MAX_HEAD = 64 * 1024
_ACCEPTED = 202
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_IDLE_CHECK = 1.0  # a connection that was silent longer is looked at before it is used


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


class _BrokenError(Exception):
    """The connection ended; `answered` says whether a byte of the answer had come."""

    def __init__(self, why: str, *, answered: bool) -> None:
        super().__init__(why)
        self.why = why
        self.answered = answered


class _Held:
    """One thread's connection; closed with the thread, which drops this object."""

    __slots__ = ("pid", "socket", "used")

    def __init__(self) -> None:
        self.socket: socket.socket | None = None
        self.pid = -1
        self.used = 0.0

    def drop(self) -> None:
        sock, self.socket = self.socket, None
        if sock is not None:
            sock.close()

    def __del__(self) -> None:
        self.drop()


class _PerThread(threading.local):
    def __init__(self) -> None:
        self.held = _Held()


class Client:
    """Asks one server."""

    def __init__(
        self,
        address: Address,
        *,
        timeout: float = 60.0,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Ask the server at `address`; nothing is sent before the first call.

        Args:
            address: Host, port, token.
            timeout: The longest silence while an answer is awaited, in seconds.
            patience: See `PATIENCE`.
            clock: Monotonic seconds.
            sleep: Waits between attempts.
        """
        self.address = address
        self.name = str(address)
        self._timeout = timeout
        self._patience = patience
        self._clock = clock
        self._sleep = sleep
        self._local = _PerThread()
        self._tls = ssl.create_default_context() if address.tls else None
        token = f"Authorization: Bearer {address.token}\r\n" if address.token else ""
        self._fixed = f" HTTP/1.1\r\nHost: {self.name}\r\n{token}".encode("latin-1")

    def call(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        repeatable: bool = True,
        timeout: float | None = None,
        check: Callable[[Answer], object] | None = None,
    ) -> Answer:
        """Ask once, and again where the connection broke and that is harmless.

        Args:
            method: Of HTTP.
            path: Percent-encoded, with the query.
            body: Sent with its length.
            headers: Further headers.
            repeatable: Whether asking twice does what asking once does.
            timeout: The longest silence, where it differs.
            check: Looks at the answer; a TryAgainError that it raises has the call made again.

        Raises:
            ServerUnreachableError, AccessDeniedError, TryAgainError, RefusedRequestError: see there.
            FscacheError: what the server says went wrong.
        """
        data = self._request(method, path, headers, len(body)) + body

        def exchange() -> Answer:
            answer = self._exchange(data, method, timeout or self._timeout)
            if check is not None and answer.status < 400:
                check(answer)
            return answer

        return self._patiently(exchange, repeatable=repeatable)

    def stream(
        self,
        path: str,
        headers: Mapping[str, str] | None,
        on_head: Callable[[int, dict[str, str]], bool],
        on_data: Callable[[memoryview], None],
    ) -> Answer:
        """GET `path` and pass the answer on as it comes; the buffer is reused after each call.

        `on_head` says whether the body is wanted. An error status is raised and a 202 returned with
        its body; neither is passed on. Once a byte has come, a broken connection is not made again:
        whoever resumes asks again.

        Raises:
            ServerUnreachableError: it broke; what had come was passed on.
            FscacheError: as for `call`.
        """
        data = self._request("GET", path, headers, 0)

        def exchange() -> Answer:
            answer, length, body = self._begin(data, self._timeout)
            if answer.status >= 400 or answer.status == _ACCEPTED:
                answer.body = self._rest(body, length)
            elif on_head(answer.status, answer.headers):
                self._pass_on(body, length, on_data)
            elif length:
                self._kept.drop()  # unread bytes would be taken for the next answer
            return self._ended(answer)

        return self._patiently(exchange, repeatable=True)

    def upload(self, path: str, fd: int, size: int, headers: Mapping[str, str]) -> Answer:
        """PUT a file's first `size` bytes."""
        head = self._request("PUT", path, headers, size)

        def exchange() -> Answer:
            sock = self._connected()
            try:
                sock.settimeout(self._timeout)
                sock.sendall(head)
                offset = 0
                with open(fd, "rb", buffering=0, closefd=False) as file:
                    if isinstance(sock, ssl.SSLSocket):
                        file.seek(0)
                        sock.sendfile(file, 0, size or None)
                    else:
                        while offset < size:
                            offset += sock.sendfile(file, offset, min(size - offset, 1 << 30))
            except OSError as exc:
                # The server may have refused and closed while we were sending: hear what it says.
                try:
                    return self._finish(self._begin_answer(sock))
                except _BrokenError:
                    raise self._broken(exc, answered=False) from exc
            return self._finish(self._begin_answer(sock))

        return self._patiently(exchange, repeatable=True)

    def close(self) -> None:
        """Close this thread's connection; the others' close with their threads."""
        self._kept.drop()

    @property
    def _kept(self) -> _Held:
        return self._local.held

    # -- attempts -----------------------------------------------------------------------------

    def _patiently(self, exchange: Callable[[], Answer], *, repeatable: bool) -> Answer:
        give_up = self._clock() + self._patience
        pause = 0.05
        while True:
            error: Exception
            try:
                answer = exchange()
                failure = self._error_of(answer)
                if failure is None:
                    return answer
                raise failure
            except errors.TryAgainError as exc:
                error = exc
                wait = max(exc.retry_after, pause)
            except _BrokenError as exc:
                self._kept.drop()
                error = errors.ServerUnreachableError(server=self.name, why=exc.why)
                if exc.answered or not (repeatable or isinstance(exc, _NotSentError)):
                    raise error from exc
                wait = pause
            if self._clock() + wait > give_up:
                raise error
            self._sleep(wait)
            pause = min(2 * pause, 1.0)

    def _error_of(self, answer: Answer) -> Exception | None:
        if answer.status < 400:
            return None
        if answer.status in (429, 503):
            after = answer.headers.get("retry-after", "")
            wait = float(after) if after.isdigit() else 1.0
            return errors.TryAgainError(server=self.name, why="busy or stopping", retry_after=wait)
        if "json" in answer.headers.get("content-type", ""):
            try:
                packed = json.loads(answer.body)
            except ValueError:
                packed = None
            if isinstance(packed, dict):
                return faults.decode(packed, self.name)
        why = answer.body[:200].decode("utf-8", "replace").strip() or f"status {answer.status}"
        if answer.status in (401, 403):
            return errors.AccessDeniedError(server=self.name, why=why)
        if answer.status < 500:
            return errors.RefusedRequestError(server=self.name, why=why)
        return errors.RemoteError(server=self.name, why=why)

    # -- one exchange -------------------------------------------------------------------------

    def _request(
        self, method: str, path: str, headers: Mapping[str, str] | None, length: int
    ) -> bytes:
        head = f"{method} {path}".encode("ascii") + self._fixed
        if headers:
            for name, value in headers.items():
                if not value.isprintable():
                    raise errors.RefusedRequestError(server=self.name, why=f"header {name}")
                head += f"{name}: {value}\r\n".encode("latin-1", "replace")
        if length or method in ("POST", "PUT"):
            return head + b"Content-Length: %d\r\n\r\n" % length
        return head + b"\r\n"

    def _exchange(self, data: bytes, method: str, timeout: float) -> Answer:
        answer, length, body = self._begin(data, timeout)
        answer.body = b"" if method == "HEAD" else self._rest(body, length)
        return self._ended(answer)

    def _begin(self, data: bytes, timeout: float) -> tuple[Answer, int, bytes]:
        sock = self._connected()
        try:
            if sock.gettimeout() != timeout:
                sock.settimeout(timeout)
            sock.sendall(data)
        except OSError as exc:
            raise self._broken(exc, answered=False) from exc
        return self._begin_answer(sock)

    def _begin_answer(self, sock: socket.socket) -> tuple[Answer, int, bytes]:
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            try:
                more = sock.recv(_RECV)
            except OSError as exc:
                raise self._broken(exc, answered=bool(data)) from exc
            if not more:
                raise _BrokenError("the connection was closed", answered=bool(data))
            data += more
            if len(data) > _MAX_HEAD and b"\r\n\r\n" not in data:
                raise _BrokenError("the answer is not one of our server's", answered=True)
        head = data[:end]
        length = _LENGTH.search(head)
        if head[:7] != b"HTTP/1." or not head[9:12].isdigit() or length is None:
            self._kept.drop()
            raise _BrokenError("the answer is not one of our server's", answered=True)
        return Answer(int(head[9:12]), head, b""), int(length[1]), data[end + 4 :]

    def _finish(self, begun: tuple[Answer, int, bytes]) -> Answer:
        answer, length, body = begun
        answer.body = self._rest(body, length)
        return self._ended(answer)

    def _ended(self, answer: Answer) -> Answer:
        if b"\r\nConnection: close" in answer.head:
            self._kept.drop()
        return answer

    def _rest(self, body: bytes, length: int) -> bytes:
        if len(body) == length:
            return body
        parts = bytearray()
        self._pass_on(body, length, parts.extend)
        return bytes(parts)

    def _pass_on(self, body: bytes, length: int, take: Callable[[memoryview], object]) -> None:
        try:
            self._receive(body, length, take)
        except BaseException:
            self._kept.drop()  # unread bytes would be taken for the next answer
            raise

    def _receive(self, body: bytes, length: int, take: Callable[[memoryview], object]) -> None:
        done = min(len(body), length)
        if done:
            take(memoryview(body)[:done])
        if done == length:
            return
        sock = self._kept.socket
        if sock is None:
            raise _BrokenError("the connection was closed", answered=True)
        view = memoryview(bytearray(min(_STREAM, length - done)))
        while done < length:
            try:
                count = sock.recv_into(view[: min(len(view), length - done)])
            except OSError as exc:
                raise self._broken(exc, answered=True) from exc
            if not count:
                raise _BrokenError("the connection was closed", answered=True)
            done += count
            take(view[:count])

    def _connected(self) -> socket.socket:
        kept = self._kept
        now = self._clock()
        sock = kept.socket
        if sock is not None and kept.pid == os.getpid():
            if now - kept.used < _IDLE_CHECK or not _readable(sock):
                kept.used = now
                return sock
            sock.close()  # readable while nothing was asked: the server has closed it
        kept.socket = None  # after a fork the parent's socket is closed here, not shut down
        try:
            made = socket.create_connection(
                (self.address.host, self.address.port), timeout=CONNECT_TIMEOUT
            )
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                made = self._tls.wrap_socket(made, server_hostname=self.address.host)
        except OSError as exc:
            raise _NotSentError(exc.strerror or str(exc), answered=False) from exc
        kept.socket = made
        kept.pid = os.getpid()
        kept.used = now
        return made

    def _broken(self, exc: OSError, *, answered: bool) -> _BrokenError:
        silent = isinstance(exc, TimeoutError)
        why = f"no answer for {self._timeout:g} s" if silent else exc.strerror or str(exc)
        # A silent server may be working on it: asking again would have it do so twice as hard.
        return _BrokenError(why, answered=answered or silent)


def _readable(sock: socket.socket) -> bool:
    poll = select.poll()  # select() itself fails on descriptors beyond 1,023
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


class _NotSentError(_BrokenError):
    """There was no connection, so nothing was asked."""
