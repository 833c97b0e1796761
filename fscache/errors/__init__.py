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
    │   │   ├── StalledError
    │   │   └── CAFileError
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
    │   ├── InvalidPreconditionError (ValueError)
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
    │   ├── GridAddressError (ValueError)
    │   ├── ClusterError (ConnectionError)
    │   ├── RemoteFailureError
    │   ├── SQLError (ValueError)
    │   │   └── SQLRefusedError (PermissionError)
    │   ├── GatherTooLargeError (MemoryError)
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

from credentials.errors import (
    CredentialError,
    CredentialFileError,
    FscacheError,
    NoKeyringError,
)
from fscache.errors.grid import (
    ClusterError,
    GatherTooLargeError,
    GridAddressError,
    GridError,
    HostDied,
    InsecureGridError,
    NoServersError,
    ProxyReleasedError,
    RemoteFailureError,
    ServiceEndedError,
    ServiceError,
    SQLError,
    SQLRefusedError,
    TableError,
    TableExistsError,
    TableSourceError,
    UnknownServiceError,
    UnknownTableError,
)
from fscache.errors.remote import (
    AccessDeniedError,
    RefusedRequestError,
    RemoteError,
    ServerUnreachableError,
    TryAgainError,
    UnknownRequestError,
)
from fscache.errors.store import (
    ConfigError,
    CorruptObjectError,
    FormatError,
    InvalidAddressError,
    InvalidFilterError,
    LockTimeoutError,
    NotACacheError,
    NotCachedError,
    OfflineError,
    RootError,
    RootPermissionError,
    StoreError,
    StoreFullError,
)
from fscache.errors.tasks import (
    InvalidPreconditionError,
    InvalidQueryError,
    InvalidRecordError,
    NeedFailedError,
    NoSuchTaskError,
    NoTaskDataError,
    ResultUnavailableError,
    TaskError,
    TaskExistsError,
    TaskFailedError,
    UnknownFieldError,
    UnknownOperatorError,
)
from stager.errors import (
    AllMirrorsFailedError,
    AuthenticationError,
    BusyServerError,
    CAFileError,
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

__all__ = [
    "AccessDeniedError",
    "AllMirrorsFailedError",
    "AuthenticationError",
    "BusyServerError",
    "CAFileError",
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
    "GatherTooLargeError",
    "GridAddressError",
    "GridError",
    "HTTPStatusError",
    "HostDied",
    "InsecureGridError",
    "InvalidAddressError",
    "InvalidChecksumError",
    "InvalidFilterError",
    "InvalidPreconditionError",
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
    "SQLError",
    "SQLRefusedError",
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
