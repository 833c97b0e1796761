"""The one exception tree.

    FscacheError
    ├── CredentialError
    │   ├── NoKeyringError
    │   └── CredentialFileError
    ├── InvalidURLError (ValueError)
    ├── InvalidChecksumError (ValueError)
    ├── InvalidAddressError (ValueError)
    ├── InvalidFilterError (ValueError)
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
    ├── TaskError
    │   ├── NoSuchTaskError (KeyError)
    │   ├── TaskExistsError (KeyError)
    │   ├── UnknownFieldError (KeyError)
    │   ├── UnknownOperatorError (KeyError)
    │   ├── NoTaskDataError (KeyError)
    │   ├── InvalidQueryError (ValueError)
    │   ├── InvalidRecordError (ValueError)
    │   ├── TaskFailedError
    │   ├── NeedFailedError
    │   └── ResultUnavailableError
    ├── RemoteError
    │   ├── ServerUnreachableError (ConnectionError)
    │   ├── AccessDeniedError (PermissionError)
    │   ├── RefusedRequestError (ValueError)
    │   ├── UnknownRequestError (LookupError)
    │   └── TryAgainError
    ├── GridError
    │   ├── HostDied
    │   ├── ServiceError
    │   │   ├── UnknownServiceError (LookupError)
    │   │   ├── ServiceEndedError
    │   │   ├── NoServersError
    │   │   └── ProxyReleasedError
    │   ├── InsecureGridError (PermissionError)
    │   ├── ClusterError (ConnectionError)
    │   ├── RemoteFailureError
    │   └── TableError
    │       ├── UnknownTableError (LookupError)
    │       ├── TableExistsError
    │       └── TableSourceError (ValueError)
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
class InvalidFilterError(FscacheError, ValueError):
    """A filter of `admin ls` that cannot be read."""

    code = "invalid-filter"
    message = "filter {text!r}: {why}"

    text: str
    why: str


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
class TaskError(FscacheError):
    """The task database could not do what was asked."""

    code = "task"
    message = "the task database failed"


@dataclass(eq=False)
class NoSuchTaskError(TaskError, KeyError):
    """There is no record of this id, or no longer."""

    code = "no-such-task"
    message = "no task {msg_id!r}"

    msg_id: str


@dataclass(eq=False)
class TaskExistsError(TaskError, KeyError):
    """There is a record of this id already."""

    code = "task-exists"
    message = "there is a task {msg_id!r} already"

    msg_id: str


@dataclass(eq=False)
class UnknownFieldError(TaskError, KeyError):
    """No record has such a key; `nearest` is the known one most like it, or empty."""

    code = "unknown-field"

    name: str
    nearest: str

    def __str__(self) -> str:
        return f"task records have no key {self.name!r}{_meant(self.nearest)}"


@dataclass(eq=False)
class UnknownOperatorError(TaskError, KeyError):
    """Queries have no such operator; `nearest` is the known one most like it, or empty."""

    code = "unknown-operator"

    name: str
    nearest: str

    def __str__(self) -> str:
        return f"task queries have no operator {self.name!r}{_meant(self.nearest)}"


def _meant(nearest: str) -> str:
    return f"; did you mean {nearest!r}?" if nearest else ""


@dataclass(eq=False)
class NoTaskDataError(TaskError, KeyError):
    """The backend `none` keeps no records, so there is nothing to read."""

    code = "no-task-data"
    message = "no task records are kept here: the setting tasks is none"


@dataclass(eq=False)
class InvalidQueryError(TaskError, ValueError):
    """A query's operator cannot take the value it was given."""

    code = "invalid-query"
    message = "query: {why}"

    why: str


@dataclass(eq=False)
class InvalidRecordError(TaskError, ValueError):
    """A record has an id or a value that cannot be kept."""

    code = "invalid-record"
    message = "task {msg_id}: {why}"

    msg_id: str
    why: str


@dataclass(eq=False)
class TaskFailedError(TaskError):
    """A task ended with an exception, of which this much was recorded."""

    code = "task-failed"
    message = "task {msg_id} failed: {ename}: {evalue}"

    msg_id: str
    ename: str
    evalue: str
    traceback: str


@dataclass(eq=False)
class NeedFailedError(TaskError):
    """Something that a task needs did not come, so it was not run."""

    code = "need-failed"
    message = "need {need} was not met: {why}"

    need: str
    why: str


@dataclass(eq=False)
class ResultUnavailableError(TaskError):
    """A task's function or result was not kept in a form that this process may or can load."""

    code = "result-unavailable"
    message = "task {msg_id}: {why}"

    msg_id: str
    why: str


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
class GridError(FscacheError):
    """Work on other hosts could not be started, or went wrong there."""

    code = "grid"
    message = "grid: {why}"

    why: str


@dataclass(eq=False)
class HostDied(GridError):  # noqa: N818 - the name that callers know it by
    """The process that had the work is gone; whether the work was done is not known."""

    code = "host-died"
    message = "{what} on {host}: {why}"

    host: str = ""
    what: str = "a call"


@dataclass(eq=False)
class ServiceError(GridError):
    """A published service cannot be used; `service` is its id or name."""

    code = "service"
    message = "service {service}: {why}"

    service: str = ""


@dataclass(eq=False)
class UnknownServiceError(ServiceError, LookupError):
    """Nothing is published under this id or name."""

    code = "unknown-service"


@dataclass(eq=False)
class ServiceEndedError(ServiceError):
    """The service was terminated while somebody waited for it or for one of its calls."""

    code = "service-ended"


@dataclass(eq=False)
class NoServersError(ServiceError):
    """No host has a copy: none could be started, or all that could have died."""

    code = "no-servers"


@dataclass(eq=False)
class ProxyReleasedError(ServiceError):
    """The proxy was released: its server may belong to somebody else by now."""

    code = "proxy-released"


@dataclass(eq=False)
class InsecureGridError(GridError, PermissionError):
    """Without certificates anybody who reaches the port could run code there and here."""

    code = "insecure-grid"


@dataclass(eq=False)
class ClusterError(GridError, ConnectionError):
    """The scheduler cannot be reached, or no worker came."""

    code = "cluster"


@dataclass(eq=False)
class RemoteFailureError(GridError):
    """What was raised on another host cannot be brought here; its type and text are."""

    code = "remote-failure"
    message = "{kind} on {host}: {why}"

    kind: str = ""
    host: str = ""


@dataclass(eq=False)
class TableError(GridError):
    """A table cannot be made, found or read."""

    code = "table"
    message = "table {table}: {why}"

    table: str = ""


@dataclass(eq=False)
class UnknownTableError(TableError, LookupError):
    """There is no table of this name."""

    code = "unknown-table"


@dataclass(eq=False)
class TableExistsError(TableError):
    """There is a table of this name, made of something else."""

    code = "table-exists"


@dataclass(eq=False)
class TableSourceError(TableError, ValueError):
    """What a table was to be made of cannot be read as one table."""

    code = "table-source"


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
    "ClusterError",
    "ConfigError",
    "ConnectionFailedError",
    "CorruptObjectError",
    "CredentialError",
    "CredentialFileError",
    "DestinationError",
    "FormatError",
    "FscacheError",
    "GridError",
    "HTTPStatusError",
    "HostDied",
    "InsecureGridError",
    "InvalidAddressError",
    "InvalidChecksumError",
    "InvalidFilterError",
    "InvalidQueryError",
    "InvalidRecordError",
    "InvalidURLError",
    "LengthError",
    "LockTimeoutError",
    "NeedFailedError",
    "NoKeyringError",
    "NoServersError",
    "NoSpaceError",
    "NoSuchTaskError",
    "NoTaskDataError",
    "NotACacheError",
    "NotCachedError",
    "NotFoundError",
    "OfflineError",
    "ProxyReleasedError",
    "RedirectError",
    "RefusedRequestError",
    "RemoteError",
    "RemoteFailureError",
    "ResultUnavailableError",
    "RootError",
    "RootPermissionError",
    "ServerUnreachableError",
    "ServiceEndedError",
    "ServiceError",
    "StageError",
    "StalledError",
    "StoreError",
    "StoreFullError",
    "TableError",
    "TableExistsError",
    "TableSourceError",
    "TargetRefusedError",
    "TaskError",
    "TaskExistsError",
    "TaskFailedError",
    "TryAgainError",
    "UnknownFieldError",
    "UnknownOperatorError",
    "UnknownRequestError",
    "UnknownServiceError",
    "UnknownTableError",
]
