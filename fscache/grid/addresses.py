"""The engine's addresses, `tls://host:port`, read without the engine."""

from __future__ import annotations

import re

DEFAULT_PORT = 8786
"""Where a head listens unless told otherwise."""

_FORM = re.compile(r"(?:(tls|tcp)://)?(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::([0-9]{1,5}))?/?", re.ASCII)


def in_full(address: str) -> str:
    """Return the address of a head with all its parts; TLS and the default port may be left out.

    The engine knows other ways to connect, none of which is protected, so they are none here; `tcp` is
    for schedulers of this machine.

    Raises:
        GridAddressError: it is none.
    """
    found = _FORM.fullmatch(address)
    if found is not None:
        scheme, host, port = found[1] or "tls", found[2], int(found[3] or DEFAULT_PORT)
        if 0 < port < 1 << 16:
            return f"{scheme}://{host}:{port}"
    from fscache.errors import GridAddressError

    raise GridAddressError("tls://host:port is wanted", address)


def host_of(address: str) -> str:
    """Return the host of an address, `tls://host:port`."""
    return address.rpartition("://")[2].rpartition(":")[0]


def check_protection(address: str, *, certificates: bool) -> None:
    """Refuse what others could listen to, or take part in.

    Raises:
        InsecureGridError: another host's without certificates, or one that could not show its own.
    """
    from fscache.errors import InsecureGridError

    host = host_of(address).strip("[]")
    local = host.startswith("127.") or host in ("localhost", "::1")
    if certificates == address.startswith("tls:") and (certificates or local):
        return
    if certificates:
        raise InsecureGridError(f"{address} is not protected; with certificates it is tls://")
    raise InsecureGridError(f"{address} without certificates; see `fscache workers init`")
