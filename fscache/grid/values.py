"""Values of statistics and bounds, as JSON has them. Pure.

Numbers, texts and truth values stand for themselves; dates, times and decimals as text, which the
column's type tells from text proper.
"""

from __future__ import annotations

import datetime as dt
import decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_LONGEST = 200  # characters of a text that is kept; a longer one bounds nothing worth its room


def to_json(value: Any) -> Any:
    """Return a value for JSON; None where it has no such form."""
    if isinstance(value, bool | int) or (isinstance(value, str) and len(value) <= _LONGEST):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None  # noqa: PLR0124 - NaN
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    return None


def from_json(value: Any, kind: pa.DataType) -> pa.Scalar:
    """Return a value of a column's type."""
    import pyarrow as pa

    if isinstance(value, str):
        if pa.types.is_date(kind):
            return pa.scalar(dt.date.fromisoformat(value)).cast(kind)
        if pa.types.is_timestamp(kind):
            return pa.scalar(dt.datetime.fromisoformat(value)).cast(kind)
        if pa.types.is_time(kind):
            return pa.scalar(dt.time.fromisoformat(value)).cast(kind)
        if pa.types.is_decimal(kind):
            return pa.scalar(decimal.Decimal(value), kind)
    return pa.scalar(value, kind)
