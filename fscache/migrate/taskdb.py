"""Task records from ipyparallel's SQLite files (`tasks.db`), of all their tables.

SQLiteDB opened a new, empty table at each start (`ipython-tasks`, `ipython-tasks_1`, …), and one for
each session if told so; every table of task records is read, those of IPython before ipyparallel, too.

A record is written whole, so an import that was killed goes on where it was, and a second one changes
nothing; only a task that was pending then and has completed since gets what is new. The file is only
read, and nothing in it is run: buffers are pickles there, of which only lists of bytes are loaded.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import NamedTuple

from fscache.errors import InvalidRecordError, StoreError, TaskExistsError
from fscache.kv import sdb
from fscache.tasks.model import BUFFERS, DATES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import NoReturn, Self

    from fscache.tasks.face import Tasks
    from fscache.tasks.model import Record

_NEEDED = {"msg_id", "submitted", "completed", "header"}
_RENAMED = {"pyin": "execute_input", "pyout": "execute_result", "pyerr": "error"}
_DICTS = {
    *("header", "metadata", "content", "execute_result", "error"),
    *("result_header", "result_metadata", "result_content"),
}
_AT_ONCE = 500


@dataclass(slots=True)
class Imported:
    """What an import did.

    Attributes:
        tables: Tables of task records.
        records: Records that are in the database now.
        again: Those of them that were there before.
        passed: Records that could not be read.
    """

    tables: int = 0
    records: int = 0
    again: int = 0
    passed: int = 0


def recognises(path: str) -> bool:
    """Whether there is an SQLite file with task records at a path."""
    if not sdb.is_sqlite(path):
        return False
    try:
        with _Source(path) as source:
            return bool(source.tables())
    except StoreError:
        return False


def count(path: str) -> Imported:
    """Return what is in a file, without importing anything; raises StoreError."""
    found = Imported()
    with _Source(path) as source:
        for table in source.tables():
            found.tables += 1
            found.records += source.count(table)
    return found


def import_file(path: str, database: Tasks, passed: Callable[[str, str], None]) -> Imported:
    """Add the records of all tables of a file to a database.

    Args:
        path: The file.
        database: The database.
        passed: Called with the id of a record that cannot be read, and why.

    Raises:
        StoreError: it is no such file, or damaged, or the database cannot be written.
    """
    done = Imported()
    with _Source(path) as source:
        tables = source.tables()
        if not tables:
            raise StoreError(path=path, why="there is no table of task records in it")
        for table in tables:
            done.tables += 1
            for rows in source.rows(table):
                _take(rows, partial(source.read, table), database, done, passed)
    return done


def _take(
    rows: list[_Row],
    read: Callable[[int], dict[str, object]],
    database: Tasks,
    done: Imported,
    passed: Callable[[str, str], None],
) -> None:
    there = database.find_records({"msg_id": {"$in": [row.msg_id for row in rows]}}, ("completed",))
    pending = {record["msg_id"]: record["completed"] is None for record in there}
    for row in rows:
        known = row.msg_id in pending
        try:
            if not known:
                database.add_record(row.msg_id, _record(read(row.number)))
            elif pending[row.msg_id] and row.completed:
                database.update_record(row.msg_id, _record(read(row.number)))
        except TaskExistsError:  # another import is under way
            known = True
        except (InvalidRecordError, ValueError, pickle.UnpicklingError, EOFError) as exc:
            done.passed += 1
            passed(row.msg_id, str(exc))
            continue
        done.records += 1
        done.again += known


class _Row(NamedTuple):
    """What is asked of a row before it is read; its buffers may be large."""

    number: int
    msg_id: str
    completed: bool


class _Source:
    """An SQLite file, opened for reading only."""

    def __init__(self, path: str) -> None:
        if not sdb.is_sqlite(path):
            raise StoreError(path=path, why="not an SQLite file")
        self._path = path
        try:
            self._connection = sdb.open_to_read(path)
        except sqlite3.Error as exc:
            raise self._translated(exc) from exc
        # As it was written: text that is no UTF-8 must not end the import.
        self._connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()

    def tables(self) -> list[str]:
        """Return the tables of task records, the oldest first."""
        names = self._all("SELECT name FROM sqlite_master WHERE type = 'table'")
        found = [str(name) for (name,) in names if set(self._columns(str(name))) >= _NEEDED]
        return sorted(found, key=_age)

    def count(self, table: str) -> int:
        """Return the number of records of a table."""
        ((number,),) = self._all(f"SELECT COUNT(*) FROM {_quoted(table)}")  # noqa: S608 - quoted
        return int(str(number))

    def rows(self, table: str) -> Iterator[list[_Row]]:
        """Yield what is in a table, some at a time, in the order in which it was added."""
        last = 0
        while found := self._all(
            "SELECT rowid, CAST(msg_id AS TEXT), completed IS NOT NULL"  # noqa: S608 - quoted
            f" FROM {_quoted(table)} WHERE rowid > {last} AND msg_id IS NOT NULL"
            f" ORDER BY rowid LIMIT {_AT_ONCE}"
        ):
            rows = [_Row(int(str(row[0])), str(row[1]), bool(row[2])) for row in found]
            yield rows
            last = rows[-1].number

    def read(self, table: str, number: int) -> dict[str, object]:
        """Return a whole row, by its column names."""
        statement = f"SELECT * FROM {_quoted(table)} WHERE rowid = {number}"  # noqa: S608 - quoted
        try:
            cursor = self._connection.execute(statement)
            row = cursor.fetchone()
        except sqlite3.Error as exc:
            raise self._translated(exc) from exc
        if row is None:
            raise ValueError("it has been dropped meanwhile")
        return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}

    def _columns(self, table: str) -> list[str]:
        return [str(row[1]) for row in self._all(f"PRAGMA table_info({_quoted(table)})")]

    def _all(self, statement: str) -> list[tuple[object, ...]]:
        try:
            return self._connection.execute(statement).fetchall()
        except sqlite3.Error as exc:
            raise self._translated(exc) from exc

    def _translated(self, error: Exception) -> StoreError:
        return StoreError(path=self._path, why=f"it cannot be read: {error}")


def _record(row: dict[str, object]) -> Record:
    """Return the record of a row."""
    record: Record = {}
    for column, value in row.items():
        key = _RENAMED.get(column, column)
        if value is None:
            continue
        if key in DATES:
            record[key] = _date(str(value))
        elif key in BUFFERS:
            record[key] = _buffers(value)
        elif key in _DICTS:
            record[key] = _dict(str(value))
        else:
            record[key] = value
    for key in ("header", "result_header"):
        header = record.get(key)
        if isinstance(header, dict) and isinstance(header.get("date"), str):
            # As the controller has it, which resubmits by it.
            header["date"] = _date(header["date"])
    return record


def _date(text: str) -> datetime:
    date = datetime.fromisoformat(text)
    # IPython wrote local times at first, without a zone.
    return date.astimezone() if date.tzinfo is None else date


def _dict(text: str) -> object:
    # `execute_result` and `error` were declared as text: JSON, or whatever was there before.
    return json.loads(text) if text.startswith("{") else text


def _buffers(value: object) -> list[bytes]:
    if not isinstance(value, bytes):
        raise ValueError("its buffers are no pickle")  # noqa: TRY004 - as what is damaged raises
    found = _Bytes(io.BytesIO(value), encoding="bytes").load()
    if not isinstance(found, list) or not all(isinstance(each, bytes) for each in found):
        raise ValueError("its buffers are no list of bytes")
    return found


class _Bytes(pickle.Unpickler):
    """Loads what needs no code."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"its buffers would have {module}.{name} run")


def _age(table: str) -> tuple[str, int]:
    """Return what orders tables: `ipython-tasks` is older than `ipython-tasks_1`, and that than `_10`."""
    match = re.fullmatch(r"(.+)_([0-9]{1,9})", table)
    return (table, 0) if match is None else (match[1], int(match[2]))


def _quoted(table: str) -> str:
    doubled = table.replace('"', '""')
    return f'"{doubled}"'
