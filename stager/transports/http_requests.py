"""HTTP through `requests`: the transport that is always there. One of the two homes of HTTP.

Of requests it takes the adapter (pools, TLS, certificates) and not the Session: a Session would add
cookies, redirects, `.netrc` and proxies from the environment, all decided elsewhere or not at all.
Each proxy has an adapter of its own, so that its credential is in no other's reach.

How a body gets from a connection into the sink stands in `http_body`.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError

from stager.errors import InvalidURLError
from stager.heads import content_length
from stager.transports import http_body, translate
from stager.transports.addresses import checked
from stager.transports.base import Head
from stager.urls import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from credentials.errors import FscacheError
    from stager.proxies import Proxy
    from stager.transports.base import Ask, Sink

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
        proxy: Callable[[str], Proxy | None] | None = None,
        connections: int = 16,
    ) -> None:
        """Set up the pool.

        Args:
            check_address: Called with the IP address before every connection; raises to refuse it.
                A check of the name alone can be fooled by DNS.
            ca_file: Certificates to trust instead of the usual ones.
            proxy: Says which proxy a URL is fetched through.
            connections: Connections kept per host.
        """
        self._ca_file = ca_file
        self._proxy = proxy
        self._connections = connections
        self._direct = _Adapter(check_address, connections)
        self._through: dict[Proxy, _ProxyAdapter] = {}

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
                http_body.read(raw, ask, length, sink)
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
        self._direct.close()
        for adapter in self._through.values():
            adapter.close()

    def _adapter(self, proxy: Proxy) -> _ProxyAdapter:
        try:
            return self._through[proxy]
        except KeyError:
            # Of two threads that come here at once both get what the first of them has put there.
            return self._through.setdefault(proxy, _ProxyAdapter(proxy, self._connections))

    def _open(self, ask: Ask) -> requests.Response:
        failure: FscacheError
        timeouts = ask.timeouts
        proxy = None if self._proxy is None else self._proxy(ask.url)
        adapter = self._direct if proxy is None else self._adapter(proxy)
        try:
            return adapter.send(
                requests.Request("GET", ask.url, headers=dict(ask.headers)).prepare(),
                stream=True,
                timeout=(timeouts.connect, timeouts.stall),
                verify=self._ca_file or True,
                proxies=adapter.proxies,
            )
        except requests.exceptions.ProxyError as error:
            failure = translate.no_way_through(ask.url, "" if proxy is None else proxy.url, error)
        except requests.exceptions.ConnectTimeout:
            failure = translate.unreachable(ask.url, timeouts.connect)
        except requests.exceptions.ReadTimeout as error:
            failure = translate.stalled(ask.url, timeouts.stall)
            if proxy is not None and _waited_for(error) == proxy.url:
                way = translate.through(proxy.url)
                failure = translate.unreachable(ask.url, timeouts.connect, by=way)
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema):
            failure = InvalidURLError(redact(ask.url), "requests cannot parse it")
        except (requests.exceptions.RequestException, HTTPError, OSError) as error:
            failure = translate.untrusting(ask.url, self._ca_file) or translate.broken(
                ask.url, error
            )
        raise failure  # outside `except`: the library's exception holds the headers we sent


def _waited_for(error: requests.exceptions.ReadTimeout) -> str | None:
    """Return whose silence it was: a proxy's URL while a tunnel is asked for, else the path."""
    url: str | None = getattr(error.args[0] if error.args else None, "url", None)
    return url


class _Adapter(HTTPAdapter):
    """requests' adapter, with a look at the address before every new connection."""

    def __init__(self, check_address: Callable[[str], None] | None, connections: int) -> None:
        self._check_address = check_address
        self.proxies: dict[str, str] = {}
        """What `send` is to be told."""
        super().__init__(pool_connections=connections, pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        if self._check_address is not None:
            self.poolmanager.pool_classes_by_scheme = _checked_pools(self._check_address)


class _ProxyAdapter(_Adapter):
    """An adapter that goes through one proxy."""

    def __init__(self, proxy: Proxy, connections: int) -> None:
        super().__init__(None, connections)
        self._proxy = proxy
        self.proxies = {"http": proxy.url, "https": proxy.url}

    def proxy_headers(self, proxy: str) -> dict[str, str]:  # noqa: ARG002 - there is one only
        authorization = self._proxy.authorization
        return {} if authorization is None else {"Proxy-Authorization": authorization}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        # For an http: URL requests would take whatever certificate a proxy shows that speaks TLS.
        shown_by = self._proxy.url if url.startswith("http:") else url
        super().cert_verify(conn, shown_by, verify, cert)  # type: ignore[no-untyped-call]


def _checked_pools(check: Callable[[str], None]) -> Mapping[str, Any]:
    def looking(connection: Any) -> Any:
        class Checked(connection):  # type: ignore[misc]
            _dns_host: str  # what is connected to; certificates are checked for `host`

            def _new_conn(self) -> socket.socket:
                name = self._dns_host
                failure: NewConnectionError | None = None
                try:
                    for self._dns_host in checked(name, self.port, check):  # noqa: B020 - put back
                        try:
                            made: socket.socket = super()._new_conn()
                        except NewConnectionError as error:
                            failure = error
                        else:
                            return made
                except socket.gaierror as error:
                    raise NameResolutionError(name, self, error) from error
                finally:
                    self._dns_host = name
                raise failure or NewConnectionError(self, "the name has no address")

        return Checked

    class Plain(HTTPConnectionPool):
        ConnectionCls = looking(HTTPConnection)

    class Secure(HTTPSConnectionPool):
        ConnectionCls = looking(HTTPSConnection)

    return {"http": Plain, "https": Secure}
