"""What a credential is: who it is for, and which request header it becomes.

A credential's secret is shown by none of `repr`, `str`, logging or pickling to disk; it leaves only
through `headers()`, which the stager calls for the host the credential was looked up for.

`source` says where it came from, for whoever is told that it was refused; it is no part of it.

What cannot stand in a request header is refused here, at the door, with an error that holds no
secret: HTTP libraries quote the offending header in theirs.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

_VISIBLE = re.compile(r"[!-~]+")
_FIELD_VALUE = re.compile(r"[!-~](?:[ -~\t]*[!-~])?")
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class _Unpicklable:
    """Refuses to be pickled: a pickle is how a secret would get into a file or onto a node."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a credential is not pickled; look it up where it is used")


@dataclass(frozen=True, slots=True)
class Basic(_Unpicklable):
    """User name and password (RFC 7617)."""

    user: str
    password: str = field(repr=False)
    source: str = field(default="", compare=False, repr=False, kw_only=True)

    def __post_init__(self) -> None:
        if ":" in self.user or _CONTROL.search(self.user + self.password):
            raise ValueError("user with a colon, or user or password with a control character")

    def headers(self) -> dict[str, str]:
        """Return the header that carries the credential."""
        pair = b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")
        return {"Authorization": f"Basic {pair}"}


@dataclass(frozen=True, slots=True)
class Bearer(_Unpicklable):
    """A bearer token (RFC 6750)."""

    token: str = field(repr=False)
    source: str = field(default="", compare=False, repr=False, kw_only=True)

    def __post_init__(self) -> None:
        if not _VISIBLE.fullmatch(self.token):
            raise ValueError("a bearer token is visible ASCII without spaces")

    def headers(self) -> dict[str, str]:
        """Return the header that carries the credential."""
        return {"Authorization": f"Bearer {self.token}"}


@dataclass(frozen=True, slots=True)
class Header(_Unpicklable):
    """A token in a header of the server's own choosing, such as `X-Api-Key`."""

    name: str
    value: str = field(repr=False)
    source: str = field(default="", compare=False, repr=False, kw_only=True)

    def __post_init__(self) -> None:
        if not _FIELD_NAME.fullmatch(self.name):
            raise ValueError("not a header name")
        if not _FIELD_VALUE.fullmatch(self.value):
            raise ValueError("a header's value is one line of visible ASCII")

    def headers(self) -> dict[str, str]:
        """Return the header that carries the credential."""
        return {self.name: self.value}


Credential = Basic | Bearer | Header


class CredentialSource(Protocol):
    """One place where credentials are kept."""

    def find(self, host: str, port: int | None = None) -> Credential | None:
        """Return the credential for `host` (and `port`, where the place tells ports apart).

        Args:
            host: The host of the URL that is about to be asked for.
            port: The port in that URL; None where it has none.

        Raises:
            CredentialError: the place cannot answer.
        """
