"""DB-API 2.0 (PEP 249) over `sql`: what programs and libraries for databases expect.

    connection = fscache.connect_sql("tls://head:8786")         # or nothing: this process alone
    cursor = connection.cursor()
    cursor.execute("SELECT kind, count(*) FROM sky WHERE flux > ? GROUP BY kind", [10.0])
    cursor.description; cursor.fetchall(); cursor.arrow()

Parameters are question marks. Nothing is written, so `commit` and `rollback` do nothing. A result is
held as a whole from `execute` on; for rows as they come use `sql(…, streaming=True)`.
"""

from __future__ import annotations

from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, Self

from fscache.errors import FscacheError, SQLError, SQLRefusedError, UnknownTableError
from fscache.errors.dbapi import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Warning,  # noqa: A004 - the name that PEP 249 gives
)
from fscache.grid.sql.dbtypes import (
    BINARY,
    DATETIME,
    NUMBER,
    ROWID,
    STRING,
    Binary,
    Date,
    DateFromTicks,
    Time,
    TimeFromTicks,
    Timestamp,
    TimestampFromTicks,
    bound,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pandas as pd
    import pyarrow as pa

    from fscache.cache import Cache
    from fscache.grid.grid import Grid
    from fscache.grid.sql.result import Result
    from fscache.grid.tls import KeyPair

__all__ = [
    "BINARY",
    "DATETIME",
    "NUMBER",
    "ROWID",
    "STRING",
    "Binary",
    "Connection",
    "Cursor",
    "DataError",
    "DatabaseError",
    "Date",
    "DateFromTicks",
    "Error",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "Time",
    "TimeFromTicks",
    "Timestamp",
    "TimestampFromTicks",
    "Warning",
    "apilevel",
    "connect",
    "connect_sql",
    "paramstyle",
    "threadsafety",
]

apilevel = "2.0"
threadsafety = 2  # threads may share a connection, but not a cursor
paramstyle = "qmark"


def connect(
    address: str | None = None,
    *,
    grid: Grid | None = None,
    tls: str | KeyPair | None = None,
    cache: Cache | None = None,
    max_gather: int | None = None,
) -> Connection:
    """Return a connection.

    Args:
        address: Of a grid's head, which is joined and left with the connection.
        grid: A grid of the caller's instead.
        tls: The grid's certificates.
        cache: Of tables and URLs; the default cache otherwise.
        max_gather: See `sql`.

    Raises:
        OperationalError: the grid cannot be joined.
    """
    if grid is None and address is not None:
        from fscache.grid.grid import Grid as Joined

        try:
            joined: Any = Joined(address, tls=tls, cache=cache)
        except FscacheError as exc:
            raise OperationalError(str(exc)) from exc
        return Connection(joined.sql, max_gather, joined.close)
    if grid is not None:
        given: Any = grid
        return Connection(given.sql, max_gather)
    from functools import partial

    from fscache.grid.sql import sql

    return Connection(partial(sql, cache=cache), max_gather)


connect_sql = connect  # its name in `fscache`


class Connection:
    """A way to run queries."""

    Warning = Warning
    Error = Error
    InterfaceError = InterfaceError
    DatabaseError = DatabaseError
    DataError = DataError
    OperationalError = OperationalError
    IntegrityError = IntegrityError
    InternalError = InternalError
    ProgrammingError = ProgrammingError
    NotSupportedError = NotSupportedError

    def __init__(
        self,
        run: Callable[..., Any],
        max_gather: int | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self._run = run
        self._max_gather = max_gather
        self._on_close = on_close
        self._closed = False

    def cursor(self) -> Cursor:
        """Return a new cursor."""
        self.check()
        return Cursor(self)

    def commit(self) -> None:
        """Do nothing: there is nothing to commit."""
        self.check()

    def rollback(self) -> None:
        """Do nothing: there is nothing to take back."""
        self.check()

    def close(self) -> None:
        """Leave the grid; cursors of this connection cannot be used any more."""
        if not self._closed:
            self._closed = True
            if self._on_close is not None:
                self._on_close()

    def check(self) -> None:
        """Raise InterfaceError if it is closed."""
        if self._closed:
            raise InterfaceError("the connection is closed")

    def run(self, query: str, shared: dict[str, Any]) -> Result:
        """Run a query; what goes wrong is one of this module's errors."""
        self.check()
        try:
            result: Result = self._run(query, shared, max_gather=self._max_gather)
        except SQLRefusedError as exc:
            raise NotSupportedError(str(exc)) from exc
        except (SQLError, UnknownTableError) as exc:
            raise ProgrammingError(str(exc)) from exc
        except (FscacheError, CancelledError) as exc:
            raise OperationalError(str(exc) or "cancelled") from exc
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


class Cursor:
    """A query's rows, and the place in them."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.arraysize = 1
        self.description: list[tuple[Any, ...]] | None = None
        self.rowcount = -1
        self._result: Result | None = None
        self._rows: Iterator[tuple[Any, ...]] = iter(())
        self._closed = False

    def execute(self, operation: str, parameters: Sequence[Any] = ()) -> Self:
        """Run a query, with a parameter for each question mark in it.

        Raises:
            ProgrammingError: the query is wrong, or there are more or fewer parameters.
            NotSupportedError: it does not only read.
            OperationalError: it could not be run.
        """
        self._check()
        self._result, self.description, self.rowcount = None, None, -1
        query, shared = bound(operation, parameters)
        result = self.connection.run(query, shared)
        self._result = result
        self._rows = iter(result.rows())
        self.rowcount = len(result)
        self.description = [
            (name, kind, None, None, None, None, None)
            for name, kind in zip(result.columns, result.types, strict=True)
        ]
        return self

    def executemany(self, _operation: str, _parameters: Sequence[Sequence[Any]]) -> None:
        """Refuse: PEP 249 means it for what changes data."""
        raise NotSupportedError("nothing is written here; executemany has no use")

    def fetchone(self) -> tuple[Any, ...] | None:
        """Return the next row, None behind the last."""
        self._check_rows()
        return next(self._rows, None)

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """Return the next rows, `arraysize` by default."""
        self._check_rows()
        wanted = self.arraysize if size is None else size
        return [row for _, row in zip(range(wanted), self._rows, strict=False)]

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return the rows that are left."""
        self._check_rows()
        return list(self._rows)

    def arrow(self) -> pa.Table:
        """Return all rows as an Arrow table; an extension."""
        return self._check_rows().arrow()

    def df(self) -> pd.DataFrame:
        """Return all rows as a pandas data frame; an extension."""
        return self._check_rows().df()

    def setinputsizes(self, sizes: Sequence[Any]) -> None:
        """Do nothing, as PEP 249 allows."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Do nothing, as PEP 249 allows."""

    def close(self) -> None:
        """Give the rows back."""
        self._closed = True
        self._result = None
        self._rows = iter(())

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        self._check_rows()
        return self._rows

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _check(self) -> None:
        if self._closed:
            raise InterfaceError("the cursor is closed")
        self.connection.check()

    def _check_rows(self) -> Result:
        self._check()
        if self._result is None:
            raise InterfaceError("there is no result: nothing has been executed, or it failed")
        return self._result
