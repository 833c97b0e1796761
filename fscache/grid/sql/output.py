"""The rows of a query as bytes: Arrow's stream format, JSON lines, CSV; or a Parquet file.

Rows are written batch by batch, so a result of any size passes through a few batches of memory.

JSON has no NaN and no decimals: what is not finite becomes null, decimals with digits after the point,
all times and intervals become text, bytes become hexadecimal. CSV has only text: a null is empty, nested
values are JSON. Arrow and Parquet keep every type; Parquet has no intervals and no unions.
"""

from __future__ import annotations

import csv
import io
import json
import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from fscache.errors import SQLError
from fscache.grid.sql.result import values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

ARROW = "arrow"
CSV = "csv"
JSON = "json"
PARQUET = "parquet"


def encode(batches: Iterable[pa.RecordBatch], kind: str) -> Iterator[bytes]:
    """Yield the rows as bytes.

    Args:
        batches: All of one schema, and at least one.
        kind: `arrow`, `json`, `csv` or `parquet`.
    """
    return _ENCODERS[kind](batches)


def plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Decimal):
        # By the column's type, not the value: 1.00 and 1.50 of one column are both text.
        return str(value) if int(value.as_tuple().exponent) < 0 else int(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, pa.MonthDayNano):
        return _interval(value)
    if isinstance(value, dict):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return str(value)


def _interval(value: pa.MonthDayNano) -> str:
    """Return an interval as DuckDB reads it."""
    seconds = f"{Decimal(value.nanoseconds).scaleb(-9).normalize():f}"
    parts = (("months", str(value.months)), ("days", str(value.days)), ("seconds", seconds))
    return " ".join(f"{number} {unit}" for unit, number in parts if number != "0") or "0 seconds"


def distinct(names: Sequence[str]) -> list[str]:
    """Return names, those that were there before with a number, as DuckDB writes them to files."""
    found: list[str] = []
    for name in names:
        new = name
        for number in count(1):
            if new not in found:
                break
            new = f"{name}_{number}"
        found.append(new)
    return found


def _rows(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    return zip(*map(values, batch.columns), strict=True)


def _json(batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    for batch in batches:
        names = distinct(batch.schema.names)
        lines = [
            json.dumps({name: plain(value) for name, value in zip(names, row, strict=True)})
            for row in _rows(batch)
        ]
        if lines:
            yield ("\n".join(lines) + "\n").encode()


def _csv(batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for number, batch in enumerate(batches):
        if number == 0:
            writer.writerow(batch.schema.names)
        writer.writerows([_cell(value) for value in row] for row in _rows(batch))
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return str(value)
    made = plain(value)
    return json.dumps(made) if isinstance(made, list | dict) else made


def _arrow(batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    return _written(batches, pa.ipc.new_stream)


def _parquet(batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    import pyarrow.parquet as pq

    def opened(file: Any, schema: pa.Schema) -> Any:
        try:
            return pq.ParquetWriter(file, schema)
        except pa.ArrowNotImplementedError as exc:
            raise SQLError(f"Parquet has no such type, cast it to VARCHAR: {exc}") from None

    # Two columns of one name could be written, but hardly be read.
    renamed = (batch.rename_columns(distinct(batch.schema.names)) for batch in batches)
    return _written(renamed, opened)


def _written(
    batches: Iterable[pa.RecordBatch], opened: Callable[[Any, pa.Schema], Any]
) -> Iterator[bytes]:
    file = _Drain()
    writer = None
    for batch in batches:
        if writer is None:
            writer = opened(file, batch.schema)
        writer.write_batch(batch)
        if data := file.take():
            yield data
    if writer is not None:
        writer.close()
    yield file.take()


class _Drain(io.RawIOBase):
    """A file whose bytes are taken away as they come."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        self._written += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:
        return self._written

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data


_ENCODERS = {ARROW: _arrow, CSV: _csv, JSON: _json, PARQUET: _parquet}
