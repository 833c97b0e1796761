"""Between which values the shards of a table lie, by column, as far as that is known.

Only of types whose order Python's values have, too; of all others nothing is known. Statistics leave
NaN aside, so of a column that may have it they say nothing about what is greater than a number.
"""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fscache.grid.table import ColumnStats, ShardInfo

_NARROW = 1e-6  # relative: more than numbers lose when they become FLOAT


class Span(NamedTuple):
    """What is known of one column in one shard.

    Attributes:
        low: No value is less, nulls and NaN left aside; None if that is not known.
        high: No value is greater, likewise.
        nan: Whether there may be NaN.
        nulls: Whether there may be nulls.
        values: Whether there may be anything else than nulls.
    """

    low: Any = None
    high: Any = None
    nan: bool = True
    nulls: bool = True
    values: bool = True


class Spans:
    """The shards of a table, for the planner; equal if they are the same objects."""

    def __init__(self, shards: Sequence[ShardInfo], kinds: Mapping[str, str]) -> None:
        self._shards = shards
        self._kinds = kinds
        self._addresses = tuple(shard.address for shard in shards)

    def of(self, column: str) -> list[Span]:
        """Return what is known of a column, in the order of the shards."""
        return [
            _span(shard.stats.get(column), shard.rows, self._kinds[column])
            for shard in self._shards
        ]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spans) and self._addresses == other._addresses

    def __hash__(self) -> int:
        return hash(self._addresses)


def constant(kind: str, type_: str, value: Any) -> Any:
    """Return a value, of a type of DuckDB's, as it can be compared with a column's; None if it cannot.

    Where DuckDB would turn the column's values into another type, in which they have another order, or
    fewer digits, it cannot.
    """
    read = _KINDS.get(kind.split("(", maxsplit=1)[0])
    if read is None or value is None or isinstance(value, bool):
        return None
    if read is _date or read is _time:
        return _moment(value)
    if read is _text:
        return value if type_ == "VARCHAR" else None
    if not isinstance(value, int | Decimal | float) or value != value:  # noqa: PLR0124 - NaN
        return None
    if read is not _float and isinstance(value, float):
        return None
    try:
        return float(value) if read is _float else value
    except OverflowError:
        return None


def is_time(kind: str) -> bool:
    """Whether a text that is compared with such a column is read as one of its values."""
    return kind in ("DATE", "TIMESTAMP")


# -- inside -----------------------------------------------------------------------------------


def _span(stats: ColumnStats | None, rows: int, kind: str) -> Span:
    if stats is None:
        return Span(values=rows > 0, nulls=rows > 0)
    read = _KINDS.get(kind.split("(", maxsplit=1)[0])
    low = high = None
    if read is not None and stats.low is not None and stats.high is not None:
        try:
            low, high = read(stats.low), read(stats.high)
        except (ValueError, TypeError, ArithmeticError):
            low = high = None
    if low is None or high is None:
        low = high = None
    elif read is _float:
        least = _NARROW if kind == "FLOAT" else 0.0
        low = math.nextafter(low - abs(low) * least, -math.inf)
        high = math.nextafter(high + abs(high) * least, math.inf)
    return Span(
        low,
        high,
        nan=stats.nan is not False and kind in ("DOUBLE", "FLOAT"),
        nulls=stats.nulls != 0,
        values=rows > 0 and stats.nulls != rows,
    )


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _float(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _decimal(value: Any) -> Decimal | int | None:
    return Decimal(value) if isinstance(value, str) else _whole(value)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _date(value: Any) -> dt.datetime | None:
    return _moment(dt.date.fromisoformat(value))


def _time(value: Any) -> dt.datetime | None:
    return _moment(dt.datetime.fromisoformat(value))


def _moment(value: Any) -> dt.datetime | None:
    """Return a date or time as the one type that compares with both; None if it has an offset."""
    if isinstance(value, dt.datetime):
        made = value
    elif isinstance(value, dt.date):
        made = dt.datetime(value.year, value.month, value.day)  # noqa: DTZ001 - none of them has one
    else:
        return None
    # DuckDB's infinite times come out as Python's last and first.
    known = made.tzinfo is None and dt.MINYEAR < made.year < dt.MAXYEAR
    return made if known else None


_KINDS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"), _whole),
    **dict.fromkeys(("FLOAT", "DOUBLE"), _float),
    "DECIMAL": _decimal,
    "VARCHAR": _text,
    "DATE": _date,
    "TIMESTAMP": _time,
}
