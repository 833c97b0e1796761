"""What is wrong with a data server, or with what it is asked.

The whole tree is drawn in `fscache.errors`.
"""

from __future__ import annotations

from dataclasses import dataclass

from credentials.errors import FscacheError


@dataclass(eq=False)
class RemoteError(FscacheError):
    """A data server could not be asked, or would not answer.

    `server` is `host:port`; empty where the server itself says so, to whom it may concern.
    """

    code = "remote"
    message = "server {server}: {why}"

    server: str
    why: str

    def __str__(self) -> str:
        return super().__str__() if self.server else self.why


@dataclass(eq=False)
class ServerUnreachableError(RemoteError, ConnectionError):
    """Nobody answers there, still so after the retries, or it is no server of ours."""

    code = "server-unreachable"


@dataclass(eq=False)
class AccessDeniedError(RemoteError, PermissionError):
    """No token, one the server does not know, or one whose role may not do this."""

    code = "access-denied"


@dataclass(eq=False)
class RefusedRequestError(RemoteError, ValueError):
    """The call is malformed, unknown, or larger than the server takes."""

    code = "refused-request"


@dataclass(eq=False)
class UnknownRequestError(RemoteError, LookupError):
    """The server knows no request of this id: it ended long ago, or never was."""

    code = "unknown-request"


@dataclass(eq=False)
class TryAgainError(RemoteError):
    """The server is stopping or has too much to do; `retry_after` is when to ask again, in s."""

    code = "try-again"

    retry_after: float = 1.0
