"""What is wrong with a grid: its hosts, services and tables.

The whole tree is drawn in `fscache.errors`.
"""

from __future__ import annotations

from dataclasses import dataclass

from credentials.errors import FscacheError


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
class GridAddressError(GridError, ValueError):
    """This is no address of a grid's head."""

    code = "grid-address"
    message = "not the address of a grid's head: {address!r}; {why}"

    address: str = ""


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
class SQLError(GridError, ValueError):
    """A query cannot be read, asks for what is not there, or failed.

    `query` is its text and `position` the offset of the fault in it, where one is known.
    """

    code = "sql"
    message = "{why}"

    query: str = ""
    position: int | None = None


@dataclass(eq=False)
class SQLRefusedError(SQLError, PermissionError):
    """The query would do something other than read: tables and staged URLs are all that it may see."""

    code = "sql-refused"


@dataclass(eq=False)
class GatherTooLargeError(GridError, MemoryError):
    """More rows than `max_gather` allows would have to come to one place; all sizes in bytes."""

    code = "gather-too-large"
    message = "{why}: {asked} bytes or more, and {limit} are allowed (max_gather)"

    limit: int = 0
    asked: int = 0
