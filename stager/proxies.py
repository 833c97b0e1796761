"""Which proxy a URL is fetched through. Pure: the settings come in, no name is looked up.

The rules are those that curl and requests share. An entry of `no_proxy` is a domain (with or without
a leading dot; it takes in what lies under it), an IP address, a network such as `10.0.0.0/8`, or `*`
for everything; a domain or an address may have a port, and then holds for that port only. An address
is compared with addresses and a name with names: what a name resolves to is not asked.

A proxy is reached over HTTP or TLS. Its user and password are kept apart from its URL, which is what
messages show; they leave only as the header for the proxy itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from stager.errors import ConnectionFailedError, InvalidURLError
from stager.urls import WEB, parse, redact

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Network, IPv6Network

HOSTS = 1024
"""Hosts whose proxy is remembered: the rules are gone through once for each, not once for each file."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and what it wants to see."""

    url: str
    """Without user information."""
    authorization: str | None = field(default=None, repr=False)
    """The value of `Proxy-Authorization`; for the proxy, never for an origin."""


class Proxies:
    """The decision: call it with a URL."""

    def __init__(
        self, *, http: str | None = None, https: str | None = None, bypassed: Iterable[str] = ()
    ) -> None:
        """Take the settings; one that cannot be used is an error of the URLs that would need it.

        Args:
            http: The proxy for `http:` URLs; `http://` is added where it names no scheme.
            https: The proxy for `https:` URLs.
            bypassed: The entries of `no_proxy`.
        """
        self._for_scheme = {"http": _read(http), "https": _read(https)}
        self._bypassed = [_Bypass(entry) for entry in bypassed]
        self._decide = lru_cache(HOSTS)(self._choose)

    def __call__(self, url: str) -> Proxy | None:
        """Return the proxy to fetch `url` through, None for none.

        Raises:
            ConnectionFailedError: the proxy that is set for it is no usable URL.
        """
        end = url.find("/", len("https://"))
        chosen = self._decide(url if end < 0 else url[:end])
        if isinstance(chosen, str):
            why = f"the proxy that is set cannot be used: {chosen}"
            raise ConnectionFailedError(redact(url), why, lasting=True)
        return chosen

    def _choose(self, origin: str) -> Proxy | str | None:
        scheme, host, port = parse(origin).origin
        chosen = self._for_scheme.get(scheme)
        if chosen is None or any(entry.fits(host, port) for entry in self._bypassed):
            return None
        return chosen


class _Bypass:
    """One entry of `no_proxy`."""

    def __init__(self, entry: str) -> None:
        entry = entry.lower()
        self._port: int | None = None
        self._name = entry
        self._network = _network(entry)
        if self._network is None:
            name, colon, port = entry.rpartition(":")
            if colon and port.isascii() and port.isdigit():
                self._name, self._port = name, int(port)
                self._network = _network(name)
        if self._name != "*":
            self._name = self._name.removeprefix("*").strip(".")

    def fits(self, host: str, port: int | None) -> bool:
        if self._port is not None and port != self._port:
            return False
        if self._name == "*":
            return True
        try:
            address = ip_address(host)
        except ValueError:
            host = host.rstrip(".")
            return bool(self._name) and (host == self._name or host.endswith(f".{self._name}"))
        return self._network is not None and address in self._network


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None


def _read(text: str | None) -> Proxy | str | None:
    """Return the proxy that a setting names, or why it names none."""
    if text is None:
        return None
    try:
        target = parse(text if "://" in text else f"http://{text}", WEB)
    except InvalidURLError as error:
        return error.why
    headers = {} if target.credential is None else target.credential.headers()
    host = f"[{target.host}]" if ":" in target.host else target.host
    # Without a port curl takes 1080 and requests 80: one of them would be wrong in silence.
    return Proxy(f"{target.scheme}://{host}:{target.origin[2]}", headers.get("Authorization"))
