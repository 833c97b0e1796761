"""The one exception tree.

    FscacheError
    ├── CredentialError
    │   ├── NoKeyringError
    │   └── CredentialFileError
    ├── InvalidURLError (ValueError)
    ├── InvalidChecksumError (ValueError)
    ├── InvalidAddressError (ValueError)
    ├── ConfigError (ValueError)
    ├── NotCachedError (LookupError)
    │   └── OfflineError
    ├── StageError
    │   ├── HTTPStatusError
    │   │   ├── NotFoundError
    │   │   ├── AuthenticationError
    │   │   └── BusyServerError
    │   ├── ConnectionFailedError
    │   │   └── StalledError
    │   ├── LengthError
    │   ├── ChecksumError
    │   ├── RedirectError
    │   ├── TargetRefusedError
    │   ├── NoSpaceError
    │   ├── DestinationError
    │   └── AllMirrorsFailedError
    ├── RemoteError
    │   ├── ServerUnreachableError (ConnectionError)
    │   ├── AccessDeniedError (PermissionError)
    │   ├── RefusedRequestError (ValueError)
    │   ├── UnknownRequestError (LookupError)
    │   └── TryAgainError
    └── StoreError
        ├── CorruptObjectError
        ├── RootError
        │   ├── NotACacheError
        │   ├── FormatError
        │   └── RootPermissionError (PermissionError)
        ├── LockTimeoutError (TimeoutError)
        └── StoreFullError

All have typed fields and a stable `code`, and are picklable (see `credentials.errors`). A foreign
error (OSError, requests', filelock's, keyring's) is translated once, where it enters.
"""

from __future__ import annotations

from dataclasses import dataclass

from credentials.errors import (
    CredentialError,
    CredentialFileError,
    FscacheError,
    NoKeyringError,
)
from stager.errors import (
    AllMirrorsFailedError,
    AuthenticationError,
    BusyServerError,
    ChecksumError,
    ConnectionFailedError,
    DestinationError,
    HTTPStatusError,
    InvalidChecksumError,
    InvalidURLError,
    LengthError,
    NoSpaceError,
    NotFoundError,
    RedirectError,
    StageError,
    StalledError,
    TargetRefusedError,
)


@dataclass(eq=False)
class InvalidAddressError(FscacheError, ValueError):
    """Not 20 lower-case hex digits, with or without a slot."""

    code = "invalid-address"
    message = "not an address (20 hex digits): {text}"

    text: str


@dataclass(eq=False)
class ConfigError(FscacheError, ValueError):
    """A setting has a value that cannot be used; `source` says where it came from."""

    code = "config"
    message = "setting {name} from {source}: {why}"

    name: str
    source: str
    why: str


@dataclass(eq=False)
class NotCachedError(FscacheError, LookupError):
    """The name or address is not in the cache, and nothing was fetched."""

    code = "not-cached"
    message = "not in the cache: {name}"

    name: str


@dataclass(eq=False)
class OfflineError(NotCachedError):
    """It is not in the cache, and the network was forbidden."""

    code = "offline"
    message = "not in the cache, and offline: {name}"


@dataclass(eq=False)
class RemoteError(FscacheError):
    """A data server could not be asked, or would not answer; `server` is `host:port`."""

    code = "remote"
    message = "server {server}: {why}"

    server: str
    why: str


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


@dataclass(eq=False)
class StoreError(FscacheError):
    """The root could not be read or written."""

    code = "store"
    message = "{path}: {why}"

    path: str
    why: str


@dataclass(eq=False)
class CorruptObjectError(StoreError):
    """An object's bytes are not those of its digest; it has been moved to `quarantine/`."""

    code = "corrupt-object"


@dataclass(eq=False)
class RootError(StoreError):
    """The root as a whole cannot be used."""

    code = "root"


@dataclass(eq=False)
class NotACacheError(RootError):
    """The directory exists, is not empty and is no cache: nothing is written into it."""

    code = "not-a-cache"


@dataclass(eq=False)
class FormatError(RootError):
    """The root's FORMAT is newer than this program, or unreadable."""

    code = "format"


@dataclass(eq=False)
class RootPermissionError(RootError, PermissionError):
    """The root may not be written by this user, or lies on a read-only file system."""

    code = "root-permission"


@dataclass(eq=False)
class LockTimeoutError(StoreError, TimeoutError):
    """Somebody else held a lock for longer than we were willing to wait."""

    code = "lock-timeout"


@dataclass(eq=False)
class StoreFullError(StoreError):
    """The file system or the quota is full."""

    code = "store-full"


__all__ = [
    "AccessDeniedError",
    "AllMirrorsFailedError",
    "AuthenticationError",
    "BusyServerError",
    "ChecksumError",
    "ConfigError",
    "ConnectionFailedError",
    "CorruptObjectError",
    "CredentialError",
    "CredentialFileError",
    "DestinationError",
    "FormatError",
    "FscacheError",
    "HTTPStatusError",
    "InvalidAddressError",
    "InvalidChecksumError",
    "InvalidURLError",
    "LengthError",
    "LockTimeoutError",
    "NoKeyringError",
    "NoSpaceError",
    "NotACacheError",
    "NotCachedError",
    "NotFoundError",
    "OfflineError",
    "RedirectError",
    "RefusedRequestError",
    "RemoteError",
    "RootError",
    "RootPermissionError",
    "ServerUnreachableError",
    "StageError",
    "StalledError",
    "StoreError",
    "StoreFullError",
    "TargetRefusedError",
    "TryAgainError",
    "UnknownRequestError",
]
