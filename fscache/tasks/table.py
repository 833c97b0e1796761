"""Records as a table: for notebooks (pandas) and for files (Parquet, CSV).

One row a record, one column a key, in the order of the record's keys. Dates are timestamps in UTC;
`duration` is the seconds from `started` to `completed`. Mappings stay mappings in a DataFrame, and
become JSON in files. Buffers appear as the number of their bytes.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from datetime import datetime

from fscache.tasks.buffers import Buffers
from fscache.tasks.model import BUFFERS, DATES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, BinaryIO, TextIO

    from fscache.tasks.model import Record


def to_dataframe(records: Sequence[Record]) -> Any:
    """Return records as a pandas DataFrame, indexed by `msg_id`."""
    import pandas as pd

    keys = columns_of(records)
    data = {key: [_cell(record, key) for record in records] for key in keys}
    frame = pd.DataFrame(data, columns=keys)
    for key in keys:
        if key in DATES:
            frame[key] = pd.to_datetime(frame[key], utc=True)
    return frame.set_index("msg_id") if "msg_id" in keys else frame


def write_csv(records: Sequence[Record], file: TextIO) -> None:
    """Write records as CSV, with a line of column names."""
    keys = columns_of(records)
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(keys)
    writer.writerows([_text(_cell(record, key)) for key in keys] for record in records)


def write_parquet(records: Sequence[Record], file: str | BinaryIO) -> None:
    """Write records as a Parquet file, to a path or an open file; needs pyarrow."""
    import pyarrow as pa
    from pyarrow import parquet

    columns = {
        key: _arrow(pa, key, [_cell(record, key) for record in records])
        for key in columns_of(records)
    }
    parquet.write_table(pa.table(columns), file, compression="zstd")


def columns_of(records: Sequence[Record]) -> list[str]:
    """Return the columns of a table of these records."""
    keys = dict.fromkeys(key for record in records for key in record)
    if "started" in keys and "completed" in keys:
        keys["duration"] = None
    return list(keys)


def _cell(record: Record, key: str) -> Any:
    if key == "duration":
        started, completed = record.get("started"), record.get("completed")
        if isinstance(started, datetime) and isinstance(completed, datetime):
            return (completed - started).total_seconds()
        return None
    value = record.get(key)
    if key in BUFFERS and value is not None:
        return sum(lengths(value))
    return value


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
