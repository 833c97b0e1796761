"""Keys and values as tables, in files: CSV, JSON lines, Parquet, the original metastore's SQLite.

One row is one key. A value that is a dict gives a column for each of its members, in the order in
which they first occur; any other value is in the column `value`. JSON lines keep values exactly
(`fscache.cli.kvs`); CSV and Parquet are for other programs: what is neither number, text nor time is
JSON in them, and what reads as a number in CSV comes back as one.
"""

from __future__ import annotations

import datetime as dt
import json
import re

from fscache.cli.kvs import as_bytes, from_json, to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, BinaryIO

    Pairs = Iterable[tuple[str, Any]]
    Row = dict[str, Any]

FORMATS = ("csv", "jsonl", "parquet", "sdb")
KEY, VALUE = "key", "value"
_CHUNK = 64 * 1024  # bytes
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")


def format_of(path: str) -> str | None:
    """Return the format that a file's name says, None if it says none."""
    ending = path.rpartition(".")[2].lower()
    return {"ndjson": "jsonl", "json": "jsonl"}.get(ending, ending if ending in FORMATS else None)


def to_row(key: str, value: Any) -> Row:
    """Return the row of a key."""
    if isinstance(value, dict) and value and KEY not in value:
        return {KEY: key, **value}
    return {KEY: key, VALUE: value}


def from_row(row: Row) -> tuple[str, Any]:
    """Return key and value of a row; cells of None are left out. Raises ValueError."""
    if not isinstance(row.get(KEY), str):
        raise ValueError(f"a row without a key: {row!r:.100}")  # noqa: TRY004 - a fault of the file
    rest = {name: cell for name, cell in row.items() if name != KEY and cell is not None}
    if set(rest) <= {VALUE}:
        return row[KEY], rest.get(VALUE)
    return row[KEY], rest


def columns(rows: list[Row]) -> list[str]:
    """Return the names of all columns, in the order in which they first occur."""
    return list({name: None for row in rows for name in row} or [KEY, VALUE])


# -- out --------------------------------------------------------------------------------------


def write(pairs: Pairs, form: str) -> Iterator[bytes]:
    """Yield the bytes of a table; raises ModuleNotFoundError without pyarrow, for Parquet."""
    if form == "jsonl":
        yield from _together(_lines(pairs))
        return
    rows = [to_row(key, value) for key, value in pairs]
    yield from _together(_csv(rows)) if form == "csv" else _parquet(rows)


def _together(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield many lines as one: each that is yielded is written by itself."""
    waiting = bytearray()
    for line in lines:
        waiting += line
        if len(waiting) >= _CHUNK:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting)


def _lines(pairs: Pairs) -> Iterator[bytes]:
    for key, value in pairs:
        line = {KEY: key, VALUE: to_json(value, exact=True)}
        yield f"{json.dumps(line)}\n".encode()


def _csv(rows: list[Row]) -> Iterator[bytes]:
    import csv
    import io

    names = columns(rows)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in names])
        yield as_bytes(text.getvalue())
        text.seek(0)
        text.truncate()
    yield as_bytes(text.getvalue())


def _cell(value: Any) -> object:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float | dt.datetime):
        return json.dumps(to_json(value), ensure_ascii=False)
    return value.isoformat() if isinstance(value, dt.datetime) else value


def _parquet(rows: list[Row]) -> Iterator[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {}
    for name in columns(rows):
        cells = [_plain(row.get(name)) for row in rows]
        try:
            arrays[name] = pa.array(cells)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):  # of several types
            arrays[name] = pa.array([None if cell is None else str(_cell(cell)) for cell in cells])
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(arrays), sink)
    yield sink.getvalue().to_pybytes()


def _plain(value: Any) -> Any:
    """Return a cell that Parquet has a type for: text, a number, bytes, a time, or None."""
    if hasattr(value, "dtype") and not getattr(value, "ndim", 1):
        value = value.item()
    if value is None or isinstance(value, str | bytes | bool | int | float | dt.datetime):
        return value
    return json.dumps(to_json(value), ensure_ascii=False)


# -- in ---------------------------------------------------------------------------------------


def read(file: BinaryIO, form: str, *, numbers: bool = True) -> Iterator[tuple[str, Any]]:
    """Yield the keys and values of a table.

    Args:
        file: The table.
        form: One of `FORMATS` but `sdb`.
        numbers: What reads as a number in CSV is one.

    Raises:
        ValueError: it is no such table.
        ModuleNotFoundError: Parquet, without pyarrow.
    """
    if form == "jsonl":
        for number, line in enumerate(file, 1):
            if line.isspace():
                continue
            try:
                pair = _pair(line)
            except (ValueError, TypeError) as exc:
                raise ValueError(f"line {number} is no key and value: {exc}") from exc
            yield pair
    elif form == "csv":
        yield from map(from_row, _csv_rows(file, numbers=numbers))
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(file)
        except pa.ArrowInvalid as exc:
            raise ValueError(f"no Parquet: {exc}") from exc
        yield from map(from_row, table.to_pylist())


def _pair(line: bytes) -> tuple[str, Any]:
    row = json.loads(line)
    if not isinstance(row, dict) or not isinstance(row.get(KEY), str) or VALUE not in row:
        raise ValueError('{"key": text, "value": …} is wanted')
    return row[KEY], from_json(row[VALUE])


def _csv_rows(file: BinaryIO, *, numbers: bool) -> Iterator[Row]:
    import csv
    import io

    text = io.TextIOWrapper(file, "utf-8", errors="surrogateescape", newline="")
    try:
        for row in csv.DictReader(text, strict=True):
            if None in row:
                raise ValueError(f"more cells than columns: {row!r:.100}")
            yield {name: _value(name, cell, numbers=numbers) for name, cell in row.items()}
    except csv.Error as exc:
        raise ValueError(f"no CSV: {exc}") from exc
    finally:
        text.detach()


def _value(name: str, cell: str | None, *, numbers: bool) -> Any:
    if name == KEY:
        return cell
    if not cell:
        return None
    found = _NUMBER.fullmatch(cell) if numbers else None
    if found is None:
        return cell
    return float(cell) if found[2] or found[3] else int(cell)
