"""HTTP to one server: a kept connection per thread, and nothing between it and the caller.

requests costs more than the whole server (2,000 calls/s), http.client four times what this does; what
our own server answers needs neither redirects, cookies nor chunks. An answer is either small and
read whole, or streamed into a callback.

A connection that broke before an answer came is made again, for `patience` seconds: a server that
restarts is not an error. A call that may have been carried out is repeated only if that is harmless.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from typing import TYPE_CHECKING

from fscache import errors
from fscache.remote import faults
from fscache.remote.connection import BrokenError, Connection, HopelessError, NotSentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fscache.remote.address import Address
    from fscache.remote.connection import Answer

PATIENCE = 10.0
"""How long a server that is not there is asked again, in seconds."""

_ACCEPTED = 202
_DENIED = {
    False: "it wants a token; FSCACHE_TOKEN or FSCACHE_TOKEN_FILE gives one",
    True: "it does not know the token that was sent (FSCACHE_TOKEN, FSCACHE_TOKEN_FILE)",
}


class _PerThread(threading.local):
    """A connection of each thread's own, which closes when the thread ends."""

    def __init__(self, make: Callable[[], Connection]) -> None:
        self.connection = make()


class Client:
    """Asks one server."""

    def __init__(
        self,
        address: Address,
        *,
        ca_file: str | None = None,
        timeout: float = 60.0,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Ask the server at `address`; nothing is sent before the first call.

        Args:
            address: Host, port, token.
            ca_file: Certificates to trust instead of OpenSSL's.
            timeout: The longest silence while an answer is awaited, in seconds.
            patience: See `PATIENCE`.
            clock: Monotonic seconds.
            sleep: Waits between attempts.

        Raises:
            OSError: `ca_file` cannot be read.
        """
        self.address = address
        self.name = str(address)
        self._timeout = timeout
        self._patience = patience
        self._clock = clock
        self._sleep = sleep
        tls = ssl.create_default_context(cafile=ca_file) if address.tls else None
        self._local = _PerThread(lambda: Connection(address, tls, clock))
        token = f"Authorization: Bearer {address.token}\r\n" if address.token else ""
        fixed = f" HTTP/1.1\r\nHost: {self.name}\r\n{token}"
        self._fixed = fixed.encode("utf-8", "surrogateescape")  # a token as its file has it

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
            connection = self._connection
            answer = connection.ask(data, timeout or self._timeout)
            if method != "HEAD":
                answer.body = connection.rest()
            _ended(connection, answer)
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
            connection = self._connection
            answer = connection.ask(data, self._timeout)
            if answer.status >= 400 or answer.status == _ACCEPTED:
                answer.body = connection.rest()
            elif on_head(answer.status, answer.headers):
                connection.pass_on(on_data)
            else:
                connection.skip()
            return _ended(connection, answer)

        return self._patiently(exchange, repeatable=True)

    def upload(self, path: str, fd: int, size: int, headers: Mapping[str, str]) -> Answer:
        """PUT a file's first `size` bytes."""
        head = self._request("PUT", path, headers, size)

        def exchange() -> Answer:
            connection = self._connection
            answer = connection.send_file(head, fd, size, self._timeout)
            answer.body = connection.rest()
            return _ended(connection, answer)

        return self._patiently(exchange, repeatable=True)

    def close(self) -> None:
        """Close this thread's connection; the others' close with their threads."""
        self._connection.drop()

    @property
    def _connection(self) -> Connection:
        return self._local.connection

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
            except BrokenError as exc:
                self._connection.drop()
                error = errors.ServerUnreachableError(server=self.name, why=exc.why)
                unsent = isinstance(exc, NotSentError)
                if exc.answered or isinstance(exc, HopelessError) or not (repeatable or unsent):
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
        kind = answer.headers.get("content-type", "")
        if "html" in kind:  # of another server, or of a proxy in between; ours says nothing in HTML
            why = f"no answer of an fscache server (status {answer.status})"
            return errors.ServerUnreachableError(server=self.name, why=why)
        if answer.status == 401:  # which the server cannot tell from each other, and its user can
            return errors.AccessDeniedError(server=self.name, why=_DENIED[bool(self.address.token)])
        if "json" in kind:
            try:
                packed = json.loads(answer.body)
            except ValueError:
                packed = None
            if isinstance(packed, dict):
                return faults.decode(packed, self.name)
        why = answer.body[:200].decode("utf-8", "replace").strip() or f"status {answer.status}"
        if answer.status == 403:
            return errors.AccessDeniedError(server=self.name, why=why)
        if answer.status < 500:
            return errors.RefusedRequestError(server=self.name, why=why)
        return errors.RemoteError(server=self.name, why=why)

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


def _ended(connection: Connection, answer: Answer) -> Answer:
    if b"\r\nConnection: close" in answer.head:
        connection.drop()
    return answer
