"""Which server, and with which token: `[https://][token:SECRET@]host[:port]`. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

DEFAULT_PORT = 8077

_ADDRESS = re.compile(
    r"(?:(?P<scheme>https?)://)?"
    r"(?:(?P<user>[^/?#@]*)@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^/?#@:\[\]\s]+)"
    r"(?::(?P<port>[0-9]{1,5}))?/?"
)


@dataclass(frozen=True, slots=True)
class Address:
    """One data server."""

    host: str
    port: int
    tls: bool = False
    token: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """`host:port`, as errors name the server: never with the token."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """What `parse` reads as this address, without the token."""
        return f"{'https' if self.tls else 'http'}://{self}"


def parse(text: str, port: int | None = None) -> Address:
    """Read an address; `port` stands in where the text names none.

    Raises:
        ValueError: it names no server; the message does not repeat a token.
    """
    match = _ADDRESS.fullmatch(text.strip())
    if match is None:
        raise ValueError("not a server (host:port)")
    scheme, user, host, port_text = match.groups()
    number = int(port_text) if port_text else port if port is not None else DEFAULT_PORT
    if not 0 < number < 65536:
        raise ValueError(f"port {number} does not exist")
    token = None
    if user:
        # `token:SECRET@` as an old client writes it; a bare `SECRET@` is as clear.
        name, colon, secret = user.partition(":")
        token = unquote(secret if colon else name)
    return Address(_name(host.strip("[]").lower()), number, scheme == "https", token or None)


def _name(host: str) -> str:
    """Return a host's name as it travels, `xn--…` where it has other letters than ASCII's."""
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        raise ValueError("this is no name of a host") from None


def read_token(text: str) -> str | None:
    """Return the token of a token file: of the strongest role where it lists several.

    Lines are `role token` (`use …`, `admin …`) or a bare token; `#` begins a comment.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if len(words) == 1:
            found.setdefault("use", words[0])
        elif words:
            found.setdefault(words[0], words[1])
    return found.get("admin") or found.get("use")
