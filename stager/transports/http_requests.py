"""HTTP through `requests`: the transport that is always there. One of the two homes of HTTP.

Of requests it takes the adapter (pools, TLS, certificates) and not the Session: a Session would add
cookies, redirects, `.netrc` and proxies from the environment, all decided elsewhere or not at all.

Bodies are read through `response.raw._fp.fp`, the buffered socket under urllib3 and http.client,
straight into one buffer per thread: 2.7 GB/s from a local nginx where `iter_content` gives 1.4. As
those layers are bypassed, what they do is done here: chunked bodies go through http.client, and a
body of known length is looked behind, for bytes that the server sent beyond what it announced. A
short body is not noticed here (nor by http.client): the sink compares lengths.
"""

from __future__ import annotations

import http.client
import threading
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from stager.errors import InvalidURLError, LengthError
from stager.heads import content_length
from stager.transports import translate
from stager.transports.base import Head
from stager.urls import redact

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from credentials.errors import FscacheError
    from stager.transports.base import Ask, Sink

BUFFER = 256 << 10
"""Bytes. On ext4 0.39 to 0.43 s per GiB, where 1 MiB gives anything from 0.38 to 1.6 s."""
DRAINED = 64 << 10
"""Bytes of an unwanted body (a redirect's, an error page) that are read to keep the connection."""


class RequestsTransport:
    """`http:` and `https:`, one exchange per calling thread."""

    schemes = frozenset({"http", "https"})

    def __init__(
        self,
        *,
        check_address: Callable[[str], None] | None = None,
        ca_file: str | None = None,
        connections: int = 16,
    ) -> None:
        """Set up the pool.

        Args:
            check_address: Called with the IP address of every connection made, before a byte goes
                out; raises to refuse it. A check of the name alone can be fooled by DNS.
            ca_file: Certificates to trust instead of the usual ones.
            connections: Connections kept per host.
        """
        self._verify: bool | str = ca_file or True
        self._adapter = _Adapter(check_address, connections)
        self._local = threading.local()

    def fetch(self, ask: Ask, sink: Sink) -> None:
        """Perform one exchange; see `Transport`."""
        response = self._open(ask)
        raw: Any = response.raw
        whole = False
        try:
            headers = {name.lower(): value for name, value in raw.headers.items()}
            wanted = sink.on_head(Head(response.status_code, headers))
            length = content_length(headers)
            if wanted:
                self._read(raw, ask, length, sink)
                whole = True
            elif length is not None and length <= DRAINED:
                raw.drain_conn()
                whole = True
        finally:
            if whole:
                raw.release_conn()
            else:
                raw.close()

    def close(self) -> None:
        """Close kept connections."""
        self._adapter.close()

    def _open(self, ask: Ask) -> requests.Response:
        failure: FscacheError
        timeouts = ask.timeouts
        try:
            return self._adapter.send(
                requests.Request("GET", ask.url, headers=dict(ask.headers)).prepare(),
                stream=True,
                timeout=(timeouts.connect, timeouts.stall),
                verify=self._verify,
            )
        except requests.exceptions.ConnectTimeout:
            failure = translate.unreachable(ask.url, timeouts.connect)
        except requests.exceptions.ReadTimeout:
            failure = translate.stalled(ask.url, timeouts.stall)
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema):
            failure = InvalidURLError(redact(ask.url), "requests cannot parse it")
        except (requests.exceptions.RequestException, HTTPError, OSError) as error:
            failure = translate.broken(ask.url, error)
        raise failure  # outside `except`: the library's exception holds the headers we sent

    def _read(self, raw: Any, ask: Ask, length: int | None, sink: Sink) -> None:
        response = raw._fp  # noqa: SLF001 - see the module's docstring
        stream = getattr(response, "fp", None)
        if length is not None and hasattr(stream, "peek"):
            self._copy(stream, ask, length, sink)
            _look_behind(stream, ask.url, length)
            response.close()
        elif hasattr(response, "readinto"):
            self._copy(response, ask, None, sink)
        else:
            self._copy(_Reader(raw), ask, None, sink)

    def _copy(self, stream: Any, ask: Ask, length: int | None, sink: Sink) -> None:
        """Push `length` bytes, or all, into the sink; less when the stream ends early."""
        view = self._buffer()
        on_data = sink.on_data
        readinto = stream.readinto
        left = length
        failure: FscacheError | None = None
        while left != 0:
            try:
                count = readinto(view if left is None or left >= BUFFER else view[:left])
            except TimeoutError:
                failure = translate.stalled(ask.url, ask.timeouts.stall)
                break
            except (OSError, http.client.HTTPException, HTTPError) as error:
                failure = translate.broken(ask.url, error)
                break
            if not count:
                break
            on_data(view[:count])
            if left is not None:
                left -= count
        if failure is not None:
            raise failure

    def _buffer(self) -> memoryview:
        buffer: memoryview | None = getattr(self._local, "buffer", None)
        if buffer is None:
            buffer = self._local.buffer = memoryview(bytearray(BUFFER))
        return buffer


def _look_behind(stream: Any, url: str, length: int) -> None:
    """Raise where the server has already sent more than the body it announced."""
    connection: socket.socket | None = getattr(stream.raw, "_sock", None)
    if connection is None:
        return
    timeout = connection.gettimeout()
    connection.settimeout(0)
    try:
        behind = len(stream.peek(1))
    except OSError:
        behind = 0  # nothing there yet, or TLS has only half a record
    finally:
        connection.settimeout(timeout)
    if behind:
        raise LengthError(redact(url), length, length + behind)


class _Reader:
    """`readinto` for a response of urllib3 that has something else than http.client under it."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def readinto(self, view: memoryview) -> int:
        data = self._raw.read(len(view), decode_content=False)
        view[: len(data)] = data
        return len(data)


class _Adapter(HTTPAdapter):
    """requests' adapter, with a look at the address of every new connection."""

    def __init__(self, check_address: Callable[[str], None] | None, connections: int) -> None:
        self._check_address = check_address
        super().__init__(pool_connections=connections, pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        if self._check_address is not None:
            self.poolmanager.pool_classes_by_scheme = _checked_pools(self._check_address)


def _checked_pools(check: Callable[[str], None]) -> Mapping[str, Any]:
    def checked(connection: Any) -> Any:
        class Checked(connection):  # type: ignore[misc]
            def _new_conn(self) -> socket.socket:
                made: socket.socket = super()._new_conn()
                try:
                    check(made.getpeername()[0])
                except BaseException:
                    made.close()
                    raise
                return made

        return Checked

    class Plain(HTTPConnectionPool):
        ConnectionCls = checked(HTTPConnection)

    class Secure(HTTPSConnectionPool):
        ConnectionCls = checked(HTTPSConnection)

    return {"http": Plain, "https": Secure}
