"""The engine's addresses, `tls://host:port`, read without the engine."""

from __future__ import annotations


def host_of(address: str) -> str:
    """Return the host of an address, `tls://host:port`."""
    return address.rpartition("://")[2].rpartition(":")[0]


def is_loopback(address: str) -> bool:
    """Whether an address without protection is reached from this host only."""
    scheme, _, rest = address.rpartition("://")
    if scheme == "tls":
        return False
    host = rest.rpartition(":")[0].strip("[]")
    return host.startswith("127.") or host in ("localhost", "::1")
