"""Values of PEP 249: how they are made, how they get into a query, and the names of their kinds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fscache.errors.dbapi import ProgrammingError

if TYPE_CHECKING:
    from collections.abc import Sequence

Date = dt.date
Time = dt.time
Timestamp = dt.datetime
Binary = bytes


def DateFromTicks(ticks: float) -> dt.date:  # noqa: N802 - the name that PEP 249 gives
    """Return the local date of a time since the epoch."""
    return dt.datetime.fromtimestamp(ticks).date()  # noqa: DTZ006 - local, as PEP 249 has it


def TimeFromTicks(ticks: float) -> dt.time:  # noqa: N802
    """Return the local time of day of a time since the epoch."""
    return dt.datetime.fromtimestamp(ticks).time()  # noqa: DTZ006


def TimestampFromTicks(ticks: float) -> dt.datetime:  # noqa: N802
    """Return the local date and time of a time since the epoch."""
    return dt.datetime.fromtimestamp(ticks)  # noqa: DTZ006


class _Kind:
    """Equals the types of a kind in `Cursor.description`."""

    def __init__(self, *prefixes: str) -> None:
        self._prefixes = prefixes

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return bool(self._prefixes) and other.startswith(self._prefixes) and "[" not in other
        return self is other

    def __hash__(self) -> int:
        return hash(self._prefixes)


STRING = _Kind("VARCHAR", "ENUM", "UUID", "JSON")
BINARY = _Kind("BLOB", "BIT")
NUMBER = _Kind(
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT"),
    *("UINTEGER", "UBIGINT", "UHUGEINT", "FLOAT", "DOUBLE", "DECIMAL", "BOOLEAN", "BIGNUM"),
)
DATETIME = _Kind("DATE", "TIME", "INTERVAL")
ROWID = _Kind()


def bound(operation: str, parameters: Sequence[Any]) -> tuple[str, dict[str, Any]]:
    """Return a query with shared values in place of question marks, and these values.

    Raises:
        ProgrammingError: there are more or fewer parameters, or they have names or no order.
    """
    import sqlglot
    from sqlglot.errors import SqlglotError
    from sqlglot.tokenizer_core import TokenType

    if isinstance(parameters, str | bytes | Mapping | set | frozenset):
        raise ProgrammingError("the parameters of question marks are a list or a tuple")
    try:
        tokens = sqlglot.tokenize(operation, read="duckdb")
    except (SqlglotError, ValueError) as exc:
        raise ProgrammingError(str(exc)) from exc
    marks = [token.start for token in tokens if token.token_type == TokenType.PLACEHOLDER]
    if len(marks) != len(parameters):
        raise ProgrammingError(f"{len(marks)} question marks, and {len(parameters)} parameters")
    text = operation
    for number, at in reversed(list(enumerate(marks))):
        text = f"{text[:at]}shared.p{number}{text[at + 1 :]}"
    return text, {f"p{number}": value for number, value in enumerate(parameters)}
