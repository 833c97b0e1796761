"""Which strings are URLs, and what of them may be seen. Pure: no network, no name lookup.

A `Target` is a URL taken apart once, before anything else looks at it. Its `url` names the entry
and is safe to write down as far as user information goes: `https://user:pw@host/` comes apart into
a URL without it and a credential. A secret that the caller put into the path or the query stays in
`url`, because that *is* the name asked for; `redact` masks the usual ones for messages.

The checks are strict where programs read one URL in two ways (two `@`, a backslash in the
authority): what was checked must be what is connected to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urljoin

from credentials.model import Basic
from stager.errors import InvalidURLError

if TYPE_CHECKING:
    from collections.abc import Container

    from credentials.model import Credential

MAX_LENGTH = 8192
"""Characters. Servers refuse longer request lines (nginx: 8 KiB), and an entry holds the URL."""

DEFAULT_PORTS = {"http": 80, "https": 443, "ftp": 21}
WEB = frozenset({"http", "https"})

_SHOWN = 200
"""Characters of a URL in messages and errors, of one that is too long to be asked for."""
_FORBIDDEN = re.compile(
    r"[\x00-\x20\x7f-\xa0\u1680\u2000-\u200b\u2028-\u202f\u205f\u3000\ud800-\udfff\ufeff]"
)
_PARTS = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?:(?P<user>[^/?#@\\]*)@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^/?#@:\\\[\]]*)"
    r"(?::(?P<port>[0-9]{0,5}))?"
    r"(?P<rest>[/?][^#]*)?(?:#.*)?"
)
_USER = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#]*@")
# Signed URLs (S3, GCS, Azure) and API keys: what lets whoever reads the log fetch as the caller.
_SECRET_QUERY = re.compile(
    r"([?&](?:[^=&]*(?:sign|token|secret|passw|credential|api_?key|access_?key|auth)[^=&]*|sig|key)=)"
    r"[^&#]*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Target:
    """One URL, taken apart."""

    url: str
    """Without user information and fragment, scheme and host in lower case."""
    scheme: str
    host: str
    """Without the brackets of an IPv6 address; empty for `file:`."""
    port: int | None
    """None where the URL names none."""
    credential: Credential | None = field(default=None, compare=False)
    """The user information of the URL, or what the caller gave for this host."""

    @property
    def origin(self) -> tuple[str, str, int | None]:
        """Scheme, host and effective port: what a credential is bound to, and limits count by."""
        port = self.port
        return self.scheme, self.host, DEFAULT_PORTS.get(self.scheme) if port is None else port


def parse(url: str, schemes: Container[str] | None = None) -> Target:
    """Take a URL apart.

    Args:
        url: What the caller asked for.
        schemes: The schemes that can be fetched; None skips that check.

    Raises:
        InvalidURLError: it cannot be asked for, with the reason; its URL is redacted and shortened.
    """
    if len(url) > MAX_LENGTH:
        raise _invalid(url, f"{len(url)} characters, at most {MAX_LENGTH}")
    if _FORBIDDEN.search(url):
        raise _invalid(url, "holds a control character or white space")
    match = _PARTS.fullmatch(url)
    if match is None:
        why = "the host is not readable" if "://" in url else "not of the form scheme://host/path"
        raise _invalid(url, why)
    scheme, user, host, port_text, rest = match.groups()
    scheme = scheme.lower()
    if schemes is not None and scheme not in schemes:
        raise _invalid(url, f"scheme {scheme} is not supported")
    if scheme == "file":
        if host.lower() not in {"", "localhost"} or user is not None or port_text is not None:
            raise _invalid(url, "a file: URL names no host")
        if not rest or not rest.startswith("/"):
            raise _invalid(url, "a file: URL needs an absolute path")
        return Target(f"file://{rest}", scheme, "", None)
    if not host:
        raise _invalid(url, "no host")
    _check_name(url, scheme, host)
    port = None
    if port_text:
        port = int(port_text)
        if not 0 < port < 65536:
            raise _invalid(url, f"port {port} does not exist")
    host = host.lower()
    authority = host if port is None else f"{host}:{port}"
    try:
        credential = _credential(user) if user else None
    except ValueError as exc:  # which says what is wrong without quoting it
        raise _invalid(url, str(exc)) from None
    return Target(f"{scheme}://{authority}{rest or ''}", scheme, host.strip("[]"), port, credential)


def resolve(base: Target, location: str) -> Target:
    """Return where a redirect leads. User information in it is dropped: it is not the caller's.

    Raises:
        InvalidURLError: the location is no URL of `http` or `https`.
    """
    # Servers send raw spaces and UTF-8 in Location; every client encodes them, so do we.
    location = quote(location.strip(), safe="!#$%&'()*+,/:;=?@[]~")
    try:
        joined = urljoin(base.url, location)
    except ValueError:  # brackets that are no IPv6 address, which urllib refuses in its own words
        raise _invalid(location, "the host is not readable") from None
    target = parse(joined, WEB)
    return Target(target.url, target.scheme, target.host, target.port)


def wire(target: Target) -> str:
    """Return the URL in ASCII, as it goes out: UTF-8 percent-encoded, the host in IDNA.

    Raises:
        InvalidURLError: the host is no host name.
    """
    url = target.url
    if url.isascii():
        return url
    start = url.index("://") + 3
    end = min((at for at in (url.find("/", start), url.find("?", start)) if at > 0), default=None)
    try:
        authority = url[start:end].encode("idna").decode("ascii")
    except UnicodeError as error:
        raise _invalid(url, "the host is no host name") from error
    rest = "" if end is None else quote(url[end:], safe="!$%&'()*+,/:;=?@[]~")
    return f"{url[:start]}{authority}{rest}"


def same_host(one: Target, other: Target) -> bool:
    """Tell whether a credential for `one` may go to `other`: same scheme, host and port."""
    return one.origin == other.origin


def site(url: str) -> str:
    """Return what all URLs of one scheme, user, host and port begin with, as this one writes them."""
    return "/".join(url.split("/", 3)[:3]) + "/"


def redact(url: str) -> str:
    """Return a URL fit for messages: no user information, no signatures or keys, no 64 KiB."""
    if "@" in url:
        url = _USER.sub(lambda found: f"{found.group(1) or ''}//", url)
    if "?" in url:
        url = _SECRET_QUERY.sub(r"\1***", url)
    if len(url) > MAX_LENGTH:
        url = f"{url[:_SHOWN]}…"
    return url if url.isprintable() else ascii(url)[1:-1]


def _check_name(url: str, scheme: str, host: str) -> None:
    """Refuse a host with a label of no length, or of more than 63.

    requests and libcurl refuse it, too, but in words of their own or after five tries. `wire` looks at
    what is not ASCII, and the libraries of other schemes know their own hosts.
    """
    if scheme in DEFAULT_PORTS and host.isascii():
        labels = host.removesuffix(".").split(".")
        if not all(0 < len(label) < 64 for label in labels):
            raise _invalid(url, "the host is no host name")


def _credential(user_information: str) -> Basic:
    user, _, password = user_information.partition(":")
    return Basic(unquote(user), unquote(password), source="the URL")


def _invalid(url: str, why: str) -> InvalidURLError:
    return InvalidURLError(redact(url), why)
