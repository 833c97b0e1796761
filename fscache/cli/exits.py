"""What the exit code says. Documented in docs/cli.md, which a test compares with this.

One table from the exception tree: an error's code is that of the nearest class above it in the
table. Imported when something has gone wrong, and not before: the tree costs 15 ms.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

from fscache import errors

OK = 0
UNEXPECTED = 1
USAGE = 2
NOT_FOUND = 3
NETWORK = 4
VERIFICATION = 5
NO_SPACE = 6
PERMISSION = 7
AUTHENTICATION = 8
BUSY = 9
INTERRUPTED = 130
PIPE_CLOSED = 141


@dataclass(eq=False)
class UsageError(errors.FscacheError):
    """The arguments do not fit; `command` is the one they were given to."""

    code = "usage"
    message = "{why} (see {command} --help)"

    command: str
    why: str


MEANINGS = {
    OK: "done",
    UNEXPECTED: "an error that none of the others names",
    USAGE: "wrong arguments, URL, checksum, address, query or setting",
    NOT_FOUND: (
        "not in the cache and not to be fetched, or not on the server (404), or no such file or task"
    ),
    NETWORK: "network or transfer: no connection, stalled, cut short, server error, redirects",
    VERIFICATION: "the bytes are not those promised: checksum or object digest",
    NO_SPACE: "the disk or the quota is full, or a query needs more memory than it may have",
    PERMISSION: "the root cannot be used, or a policy or a file's permissions forbid it",
    AUTHENTICATION: (
        "the server wants another credential or token, or one could not be looked up or stored"
    ),
    BUSY: "somebody else held a lock for too long",
    INTERRUPTED: "interrupted; what has come so far is kept",
    PIPE_CLOSED: "whoever read the output has closed it",
}

BY_CLASS: dict[type[BaseException], int] = {
    UsageError: USAGE,
    errors.InvalidURLError: USAGE,
    errors.InvalidChecksumError: USAGE,
    errors.InvalidAddressError: USAGE,
    errors.InvalidFilterError: USAGE,
    errors.ConfigError: USAGE,
    errors.CAFileError: USAGE,  # a setting's, found out when the first https: URL is asked for
    errors.NotCachedError: NOT_FOUND,
    errors.NotFoundError: NOT_FOUND,
    errors.StageError: NETWORK,
    errors.ChecksumError: VERIFICATION,
    errors.CorruptObjectError: VERIFICATION,
    errors.NoSpaceError: NO_SPACE,
    errors.StoreFullError: NO_SPACE,
    errors.StoreError: PERMISSION,
    errors.TargetRefusedError: PERMISSION,
    errors.LockTimeoutError: BUSY,
    errors.AuthenticationError: AUTHENTICATION,
    errors.CredentialError: AUTHENTICATION,
    errors.RemoteError: NETWORK,
    errors.AccessDeniedError: AUTHENTICATION,
    errors.RefusedRequestError: USAGE,
    errors.UnknownRequestError: NOT_FOUND,
    errors.ClusterError: NETWORK,
    errors.HostDied: NETWORK,
    errors.InsecureGridError: PERMISSION,
    errors.GridAddressError: USAGE,
    errors.UnknownTableError: NOT_FOUND,
    errors.TableSourceError: USAGE,
    errors.TableExistsError: USAGE,
    errors.SQLError: USAGE,
    errors.SQLRefusedError: PERMISSION,
    errors.GatherTooLargeError: NO_SPACE,
    errors.NoSuchTaskError: NOT_FOUND,
    errors.NoTaskDataError: NOT_FOUND,
    errors.UnknownFieldError: USAGE,
    errors.UnknownOperatorError: USAGE,
    errors.InvalidQueryError: USAGE,
    errors.InvalidRecordError: USAGE,
    # of files that the user has named: the rest of the tree is translated before it gets here
    FileNotFoundError: NOT_FOUND,
    PermissionError: PERMISSION,
    BrokenPipeError: PIPE_CLOSED,
    KeyboardInterrupt: INTERRUPTED,
}


def exit_code(error: BaseException) -> int:
    """Return the exit code for `error`."""
    if isinstance(error, errors.AllMirrorsFailedError):
        # Mirrors that agree are as telling as one server; where they do not, it is the network.
        codes = {exit_code(cause) for cause in error.causes}
        return codes.pop() if len(codes) == 1 else NETWORK
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NO_SPACE
    for kind in type(error).__mro__:
        if kind in BY_CLASS:
            return BY_CLASS[kind]
    return UNEXPECTED
