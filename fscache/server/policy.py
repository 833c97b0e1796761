"""Which targets the daemon fetches from: a node must not read the server's own services through it.

Asked twice for every connection, redirects included: `check_url` before anything is sent, with the
scheme and the name; `check_address` with the address that is about to be connected to, so that a name
that resolves to something else a moment later gains nothing. Pure, except that nothing is resolved
here at all.

Refused unless allowed: every address that is not a public unicast one, which takes in loopback,
private and link-local ones (a cloud's metadata service), and those wrapped into IPv6 (mapped, 6to4,
Teredo, NAT64 and other translators). `allow_private` opens private and loopback addresses; link-local
ones, and those under which clouds have their metadata elsewhere, only a network named explicitly.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from fscache.errors import ConfigError
from stager.errors import TargetRefusedError
from stager.urls import parse, redact

if TYPE_CHECKING:
    from fscache.config import Config

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_UNICAST = ipaddress.IPv6Network("2000::/3")  # `is_global` is true of site-local addresses
_TRANSLATED = tuple(  # they end in an IPv4 address: NAT64 (two), SIIT, IPv4-compatible
    map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96", "::/96"))
)
_OWN = (ipaddress.IPv6Address("::"), ipaddress.IPv6Address("::1"))
_METADATA = frozenset(
    map(
        ipaddress.ip_address,
        (
            *("fd00:ec2::254", "fd20:ce::254"),  # Amazon, Google
            *("168.63.129.16", "100.100.100.200", "192.0.0.192"),  # Azure, Alibaba, Oracle
        ),
    )
)
_SCHEMES = frozenset({"http", "https", "ftp"})
_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class TargetPolicy:
    """What may be fetched from."""

    schemes: frozenset[str] = _SCHEMES
    allow_hosts: tuple[str, ...] = ()
    """Patterns such as `*.example.org`; where there are any, no other host is asked."""
    deny_hosts: tuple[str, ...] = ()
    """Patterns; they win over everything."""
    allow_private: bool = False
    """Loopback and private addresses, for a laboratory's own servers."""
    allow_networks: tuple[Network, ...] = ()
    """Networks that are asked whatever they are."""
    _allowed: set[str] = field(default_factory=set, init=False, repr=False, compare=False)
    """Hosts that were found to be allowed: a batch has thousands of URLs of one."""

    def check_url(self, url: str) -> None:
        """Refuse a URL by its scheme and host.

        Raises:
            TargetRefusedError: it may not be fetched from.
            InvalidURLError: it is no URL.
        """
        target = parse(url)
        if target.scheme not in self.schemes:
            raise TargetRefusedError(redact(url), f"scheme {target.scheme} is not fetched here")
        host = target.host.rstrip(".")
        if host in self._allowed:
            return
        self._check_host(url, host)
        if len(self._allowed) >= _REMEMBERED:
            self._allowed.clear()
        self._allowed.add(host)

    def _check_host(self, url: str, host: str) -> None:
        if any(fnmatchcase(host, pattern) for pattern in self.deny_hosts):
            raise TargetRefusedError(redact(url), f"host {host} is on the deny list")
        if self.allow_hosts and not any(fnmatchcase(host, p) for p in self.allow_hosts):
            raise TargetRefusedError(redact(url), f"host {host} is not on the allow list")
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return  # a name: its addresses are judged when one of them is connected to
        self.check_address(str(address))

    def check_address(self, address: str) -> None:
        """Refuse an address that was connected to.

        Raises:
            TargetRefusedError: it may not be connected to.
        """
        try:
            found = unwrap(ipaddress.ip_address(address.partition("%")[0]))
        except ValueError:
            raise TargetRefusedError(address[:80], "no IP address") from None
        if any(found in network for network in self.allow_networks):
            return
        why = refusal(found, allow_private=self.allow_private)
        if why is not None:
            raise TargetRefusedError(address, f"{found} is {why}")


class InForce:
    """The policy in force; a reload replaces it under the transfers' feet."""

    def __init__(self, policy: TargetPolicy) -> None:
        self.policy = policy

    def check_url(self, url: str) -> None:
        """See `TargetPolicy.check_url`."""
        self.policy.check_url(url)

    def check_address(self, address: str) -> None:
        """See `TargetPolicy.check_address`."""
        self.policy.check_address(address)


def refusal(address: Address, *, allow_private: bool) -> str | None:
    """Return why an address is refused, None if it is not."""
    if address.is_unspecified:
        return "no address"
    if address.is_multicast:
        return "a multicast address"
    if address.is_link_local:
        return "link-local"
    if address in _METADATA:
        return "a cloud's metadata service"
    if address.is_loopback:
        return None if allow_private else "loopback"
    unicast = isinstance(address, ipaddress.IPv4Address) or address in _UNICAST
    if unicast and address.is_global and not address.is_reserved:
        return None
    return None if allow_private else "private or reserved"


def unwrap(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one carries, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address not in _OWN and any(address in network for network in _TRANSLATED):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def policy_of(config: Config) -> TargetPolicy:
    """Return the policy that the settings ask for.

    Raises:
        ConfigError: a network cannot be read.
    """
    try:
        networks = tuple(ipaddress.ip_network(text) for text in config.allow_networks)
    except ValueError as exc:
        raise ConfigError("allow_networks", "configuration", str(exc)) from exc
    return TargetPolicy(
        allow_hosts=tuple(pattern.lower() for pattern in config.allow_hosts),
        deny_hosts=tuple(pattern.lower() for pattern in config.deny_hosts),
        allow_private=config.allow_private,
        allow_networks=networks,
    )
