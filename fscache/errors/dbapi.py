"""The errors that PEP 249 asks of a database's module, under the names it gives them.

`fscache.grid.sql.dbapi` raises them; `__cause__` is the error of ours that was translated. Whoever
catches `FscacheError` catches them too.
"""

from __future__ import annotations

from dataclasses import dataclass

from credentials.errors import FscacheError


class Warning(Exception):  # noqa: A001, N818 - the name that PEP 249 gives
    """Something important happened, such as data that was cut; never raised here."""


@dataclass(eq=False)
class Error(FscacheError):
    """Any error of the database's module."""

    code = "dbapi"
    message = "{why}"

    why: str


@dataclass(eq=False)
class InterfaceError(Error):
    """The module is used in a wrong way: a cursor or a connection that is closed."""

    code = "dbapi-interface"


@dataclass(eq=False)
class DatabaseError(Error):
    """An error of the database."""

    code = "dbapi-database"


@dataclass(eq=False)
class DataError(DatabaseError):
    """A value does not fit."""

    code = "dbapi-data"


@dataclass(eq=False)
class OperationalError(DatabaseError):
    """Not the query's fault: no worker, no memory, no network, cancelled."""

    code = "dbapi-operational"


@dataclass(eq=False)
class IntegrityError(DatabaseError):
    """Never raised: nothing is written."""

    code = "dbapi-integrity"


@dataclass(eq=False)
class InternalError(DatabaseError):
    """Never raised: there is no state to be out of step."""

    code = "dbapi-internal"


@dataclass(eq=False)
class ProgrammingError(DatabaseError):
    """The query is wrong, names what is not there, or has other parameters."""

    code = "dbapi-programming"


@dataclass(eq=False)
class NotSupportedError(DatabaseError):
    """The query would do something other than read."""

    code = "dbapi-not-supported"
