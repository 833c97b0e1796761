"""One client's connection: requests in, answers out, until somebody closes.

Knows HTTP and nothing of what is served: a handler turns each `Request` into a `Response`.
"""

from __future__ import annotations

import http
import logging
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fscache.server import head as heads
from fscache.server.body import Body
from fscache.server.stream import ConnectionClosedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fscache.server.stream import Stream

    Handler = Callable[["Request"], "Response"]

_log = logging.getLogger("fscache.server")
_WHOLE = 256 * 1024  # bytes of an answer up to which it is copied behind its head
_PHRASES = {status.value: status.phrase for status in http.HTTPStatus}


@dataclass(slots=True)
class Request:
    """One request; its body is read by whoever serves it."""

    head: heads.Head
    body: Body
    client: str
    """The peer's address."""
    role: str = ""
    """Set by the application once the request is authenticated."""


@dataclass(slots=True)
class FilePart:
    """A stretch of an open file; the connection closes the descriptor."""

    fd: int
    offset: int
    count: int


@dataclass(slots=True)
class Flow:
    """A body that is made while it is sent, in chunks; its length is not known beforehand.

    An empty part says that there is nothing yet; it is asked then whether the client is still there.
    """

    parts: Iterator[bytes]
    close: Callable[[], None]
    """Called when nothing more will be asked for, whether all was sent or not."""


@dataclass(slots=True)
class Response:
    """One answer. `length` is announced, unless it flows; a HEAD announces without sending."""

    status: int
    body: bytes | FilePart | Flow = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = field(default=())
    close: bool = False

    @property
    def length(self) -> int | None:
        """Bytes of the body."""
        if isinstance(self.body, Flow):
            return None
        return len(self.body) if isinstance(self.body, bytes) else self.body.count


class Connection:
    """Serves one socket in the calling thread."""

    __slots__ = ("_client", "_clock", "_handler", "_idle", "_stopping", "_stream", "busy", "since")

    def __init__(
        self,
        stream: Stream,
        client: str,
        handler: Handler,
        *,
        idle: float,
        stopping: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        """Serve a stream.

        Args:
            stream: The client's socket.
            client: Its address.
            handler: Serves each request.
            idle: How long a kept connection may stay silent, in seconds.
            stopping: Asked after each answer whether to close.
            clock: Monotonic seconds.
        """
        self._stream = stream
        self._client = client
        self._handler = handler
        self._idle = idle
        self._stopping = stopping
        self.busy = False
        """Whether a request is being served; an idle connection may be closed at any time."""
        self._clock = clock
        self.since = clock()
        """When the last answer was sent, or the connection made."""

    def serve(self) -> None:
        """Answer requests until the connection ends; raises nothing that a client can cause."""
        try:
            while self._serve_one():
                pass
        except ConnectionClosedError:
            pass
        finally:
            self._stream.close()

    def _serve_one(self) -> bool:
        data = self._stream.read_head(heads.MAX_HEAD, self._idle)
        if data is None:
            return False
        self.busy = True
        try:
            if not data:
                raise heads.BadRequestError(431, "the head of the request is too long")  # noqa: TRY301
            head = heads.parse(data)
        except heads.BadRequestError as exc:
            self._send(refusal(exc), method="GET", keep=False)
            return False
        body = Body(self._stream, head.length, expects_continue=head.expects_continue)
        try:
            response = self._handler(Request(head, body, self._client))
        except heads.BadRequestError as exc:
            response = refusal(exc)
        except ConnectionClosedError:
            raise
        except Exception:  # noqa: BLE001 - the last place where a request's failure can be answered
            # What a handler did not translate is a fault of this program: the log has the traceback,
            # the client only that it happened.
            _log.exception("%s %s failed", head.method, head.path)
            response = Response(500, b"internal error; see the log of the server\n", close=True)
        try:
            keep = head.keep_alive and not response.close and not self._stopping()
            try:
                keep = keep and body.drain()
            except heads.BadRequestError:
                keep = False
            self._send(response, method=head.method, keep=keep)
        finally:
            if isinstance(response.body, FilePart):
                os.close(response.body.fd)
            elif isinstance(response.body, Flow):
                response.body.close()
        self.since = self._clock()
        self.busy = False
        return keep

    def _send(self, response: Response, *, method: str, keep: bool) -> None:
        lines = [
            f"HTTP/1.1 {response.status} {_PHRASES.get(response.status, '')}",
            f"Content-Type: {response.content_type}",
        ]
        if response.length is None:
            lines.append("Transfer-Encoding: chunked")
        else:
            lines.append(f"Content-Length: {response.length}")
        lines.extend(f"{name}: {value}" for name, value in response.headers)
        if not keep:
            lines.append("Connection: close")
        lines.append("\r\n")
        data = "\r\n".join(lines).encode("latin-1")
        if method == "HEAD":
            self._stream.send(data)
        elif isinstance(response.body, bytes):
            body = response.body
            if len(body) < _WHOLE:
                data, body = data + body, b""  # one write and one packet
            self._stream.send(data)
            if body:
                self._stream.send(body)
        elif isinstance(response.body, Flow):
            self._stream.send(data)
            self._send_chunks(response.body.parts)
        else:
            part = response.body
            self._stream.send_file(data, part.fd, part.offset, part.count)

    def _send_chunks(self, parts: Iterator[bytes]) -> None:
        try:
            for part in parts:
                if part:
                    self._stream.send(b"%x\r\n%b\r\n" % (len(part), part))
                elif self._stream.gone():
                    raise ConnectionClosedError  # noqa: TRY301
        except ConnectionClosedError:
            raise
        except Exception as exc:  # the head is out: only a missing end can tell
            _log.info("an answer was cut short: %s", exc)
            raise ConnectionClosedError from exc
        self._stream.send(b"0\r\n\r\n")


def refusal(error: heads.BadRequestError) -> Response:
    """Return the answer to a request that cannot be served."""
    return Response(error.status, f"{error.why}\n".encode(), close=True)
