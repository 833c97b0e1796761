"""Records as a table: for notebooks (pandas) and for files (Parquet, CSV).

One row a record, one column a key, in the order of the record's keys; without a record there are the
columns all the same. Dates are timestamps in UTC; `duration` is the seconds from `started` to
`completed`. Mappings stay mappings in a DataFrame, and become JSON in files. Buffers appear as the
number of their bytes.

`keys` are those that were asked for, by default those of `db_query`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from datetime import datetime

from fscache.tasks.buffers import Buffers
from fscache.tasks.model import BUFFERS, DATES, EMPTY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, BinaryIO, TextIO

    from fscache.tasks.model import Record


def to_dataframe(records: Sequence[Record], keys: Sequence[str] | None = None) -> Any:
    """Return records as a pandas DataFrame, indexed by `msg_id`."""
    import pandas as pd

    columns = {
        key: pd.Series([_cell(record, key) for record in records], dtype=_TYPES.get(key))
        for key in columns_of(records, keys)
    }
    return pd.DataFrame(columns).set_index("msg_id")


def write_csv(records: Sequence[Record], file: TextIO, keys: Sequence[str] | None = None) -> None:
    """Write records as CSV, with a line of column names."""
    columns = columns_of(records, keys)
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_text(_cell(record, key)) for key in columns] for record in records)


def write_parquet(
    records: Sequence[Record], file: str | BinaryIO, keys: Sequence[str] | None = None
) -> None:
    """Write records as a Parquet file, to a path or an open file; needs pyarrow."""
    import pyarrow as pa
    from pyarrow import parquet

    columns = {
        key: _arrow(pa, key, [_cell(record, key) for record in records])
        for key in columns_of(records, keys)
    }
    parquet.write_table(pa.table(columns), file, compression="zstd")


def columns_of(records: Sequence[Record], keys: Sequence[str] | None = None) -> list[str]:
    """Return the columns of a table of these records."""
    found = dict.fromkeys(key for record in records for key in record)
    if not found:
        found = dict.fromkeys(keys or (key for key in EMPTY if key not in BUFFERS))
    if "started" in found and "completed" in found:
        found["duration"] = None
    return list(found)


_TYPES = dict.fromkeys(DATES, "datetime64[us, UTC]") | {"duration": "float64"}
"""What pandas would take for something else where no record has a value."""


def _cell(record: Record, key: str) -> Any:
    if key == "duration":
        started, completed = record.get("started"), record.get("completed")
        if isinstance(started, datetime) and isinstance(completed, datetime):
            return (completed - started).total_seconds()
        return None
    value = record.get(key)
    if key in BUFFERS and value is not None:
        return sum(lengths(value))
    return _whole(value) if isinstance(value, str) else value


def _whole(text: str) -> str:
    """Return a text with half characters as escapes: a program may print them, no table takes them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def lengths(buffers: Any) -> list[int]:
    """Return the length of each buffer; those of a root are not read for it."""
    if isinstance(buffers, Buffers):
        return list(buffers.sizes)
    return [len(each) for each in buffers]


def _text(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping | list):
        return json.dumps(value, default=_plain)
    return value


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else repr(value)


def _arrow(pa: Any, key: str, cells: list[Any]) -> Any:
    if key in DATES:
        return pa.array(cells, pa.timestamp("us", tz="UTC"))
    if key == "duration":
        return pa.array(cells, pa.float64())
    if key in BUFFERS:
        return pa.array(cells, pa.int64())
    texts = [
        None if cell is None else cell if isinstance(cell, str) else str(_text(cell))
        for cell in cells
    ]
    return pa.array(texts, pa.string())
