"""How a host is named in the places that keep credentials: `host` or `host:port`, lower case.

Pure. An IPv6 address stands in brackets where a port follows (`[::1]:8080`) and without them where
none does (`::1`). International names are kept as they are given: whoever asks passes the name that
stands in the URL, and whoever stores should use the same.
"""

from __future__ import annotations

import re

_HOST = re.compile(r"[^\s/\\@?#\[\]\x00-\x1f\x7f]+")


def keys(host: str, port: int | None) -> tuple[str, ...]:
    """Return the names under which a credential for `host` may be kept, the most specific first."""
    name = _normal(host)
    if port is None:
        return (name,)
    bracketed = f"[{name}]" if ":" in name else name
    return (f"{bracketed}:{port}", name)


def parse(text: str) -> tuple[str, int | None]:
    """Return the host and port that a user means by `text` (`host`, `host:port`, `[v6]:port`).

    Raises:
        ValueError: `text` is a URL, has a user or a path, or an impossible port.
    """
    host, port, colon = text, "", ""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"not a host, its bracket is not closed: {text!r}")
        colon, port = rest[:1], rest[1:]
    elif text.count(":") == 1:
        host, colon, port = text.partition(":")
        if port.startswith("//"):
            raise ValueError(f"give the host alone, without scheme and path: {text!r}")
    if not _HOST.fullmatch(host):
        raise ValueError(f"not a host, or host:port: {text!r}")
    if not colon:
        return _normal(host), None
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"the port is not a number from 1 to 65535: {text!r}")
    return _normal(host), int(port)


def _normal(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()
