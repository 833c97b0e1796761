"""Who speaks which URL scheme. Nothing is imported before its first use.

`requests` costs 82 ms to import and `pycurl` 31: a process that fetches nothing pays neither.
"""

from __future__ import annotations

from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING

from stager.errors import InvalidURLError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stager.proxies import Proxy
    from stager.transports.base import MultiTransport, Transport

STORES = frozenset(
    {"abfs", "abfss", "adl", "az", "dropbox", "gcs", "gdrive", "gs", "hdfs", "hf", "oci", "oss"}
    | {"s3", "s3a", "sftp", "smb", "ssh", "webhdfs"}
)
"""Schemes for fsspec: remote stores only, none of its local, chained and caching protocols."""

_inherited: list[object] = []
"""Connections that belong to the process we were forked from: closing them would end its TLS."""


class Transports:
    """A transport for each scheme, made when first asked for."""

    def __init__(
        self,
        makers: Mapping[str, Callable[[], Transport]],
        many: Callable[[], MultiTransport] | None = None,
        many_schemes: frozenset[str] = frozenset({"http", "https"}),
    ) -> None:
        """Take the makers.

        Args:
            makers: Scheme → what makes its transport; schemes with the same maker share one.
            many: Makes the transport that drives many exchanges from one thread.
            many_schemes: What that one speaks.
        """
        self._makers = dict(makers)
        self._make_many = many
        self._many_schemes = many_schemes if many is not None else frozenset()
        self.schemes = frozenset(self._makers)
        """What can be fetched."""
        self._begin_clean()

    def _begin_clean(self) -> None:
        self._lock = Lock()
        self._made: dict[object, Transport] = {}
        self._many: MultiTransport | None = None

    def drives_many(self, scheme: str) -> bool:
        """Tell whether `many` speaks a scheme."""
        return scheme in self._many_schemes

    def blocking(self, scheme: str) -> Transport:
        """Return the transport for one exchange per thread.

        Raises:
            InvalidURLError: what it needs is not installed.
        """
        make = self._makers[scheme]
        with self._lock:
            transport = self._made.get(make)
            if transport is None:
                transport = self._made[make] = make()
            return transport

    def many(self) -> MultiTransport:
        """Return the transport for many exchanges per thread; only where `drives_many`."""
        with self._lock:
            if self._many is None:
                if self._make_many is None:
                    raise InvalidURLError("", "no transport drives many")
                self._many = self._make_many()
            return self._many

    def close(self) -> None:
        """Close kept connections; the transports are made anew if asked for again."""
        with self._lock:
            made = list(self._made.values())
            if self._many is not None:
                made.append(self._many)
            self._made, self._many = {}, None
        for transport in made:
            transport.close()

    def leave_to_parent(self) -> None:
        """Begin clean in a forked child."""
        _inherited.append((self._made, self._many))
        self._begin_clean()


def default_transports(
    *,
    check_address: Callable[[str], None] | None = None,
    ca_file: str | None = None,
    proxy: Callable[[str], Proxy | None] | None = None,
) -> Transports:
    """Return transports for all schemes.

    Args:
        check_address: Called with the IP address before every connection; raises to refuse it.
            Without fsspec's schemes then, where it could not be asked. A proxy's own address is not
            asked about, and what lies behind the proxy cannot be.
        ca_file: Certificates to trust instead of the usual ones.
        proxy: Says which proxy an `http:` or `https:` URL is fetched through; none without.
    """

    def web() -> Transport:
        from stager.transports.http_requests import RequestsTransport

        return RequestsTransport(check_address=check_address, ca_file=ca_file, proxy=proxy)

    def many() -> MultiTransport:
        from stager.transports.http_curl import CurlTransport

        return CurlTransport(check_address=check_address, ca_file=ca_file, proxy=proxy)

    def file() -> Transport:
        from stager.transports.file import FileTransport

        return FileTransport()

    def ftp() -> Transport:
        from stager.transports.ftp import FTPTransport

        return FTPTransport(check_address=check_address)

    def stores() -> Transport:
        from stager.transports.fsspec_ import FsspecTransport

        return FsspecTransport()

    makers = {"http": web, "https": web, "file": file, "ftp": ftp}
    if check_address is None:
        makers |= dict.fromkeys(STORES, stores)
    return Transports(makers, many if find_spec("pycurl") else None)
