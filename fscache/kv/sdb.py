"""The original metastore's files: SQLite, one table `metastore (k varchar(255), v text, primary key(k))`.

Its columns are text, so numbers came back as text; bytes and None came back as themselves. `as_column`
says what a value becomes there. Floats are written with all their digits, where SQLite kept 15.
"""

from __future__ import annotations

import os

from fscache.errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from sqlite3 import Connection

    Column = str | bytes | None

_MAGIC = b"SQLite format 3\0"
_CREATE = "CREATE TABLE metastore (k varchar(255), v text, primary key(k))"


def is_sqlite(path: str) -> bool:
    """Whether a file is an SQLite database."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return False


def open_to_read(path: str) -> Connection:
    """Return a connection to an SQLite file that cannot change it; raises sqlite3.Error."""
    import sqlite3

    return sqlite3.connect(f"file:{_quoted(path)}?mode=ro", uri=True)


def read(path: str) -> Iterator[tuple[str, Column]]:
    """Yield keys and values of a file; it is opened for reading only.

    Raises:
        StoreError: it is no such file, or damaged.
    """
    import sqlite3

    if not is_sqlite(path):
        raise StoreError(path=path, why="not a file of the original metastore")
    try:
        connection = open_to_read(path)
        try:
            yield from connection.execute("SELECT CAST(k AS TEXT), v FROM metastore")
        finally:
            connection.close()
    except sqlite3.Error as exc:
        raise StoreError(path=path, why=f"not a file of the original metastore: {exc}") from exc


def write(path: str, pairs: Iterable[tuple[str, object]]) -> int:
    """Write a new file that the original reads; return the number of keys.

    It has its name when it is whole, or never.

    Raises:
        FileExistsError: there is something of this name.
        TypeError: a value has no place in such a file; the message names its key.
        StoreError: it cannot be written.
    """
    import sqlite3

    from fscache.fs import atomic

    if os.path.lexists(path):
        raise FileExistsError(17, os.strerror(17), path)
    temp = f"{path}.{os.urandom(4).hex()}"
    try:
        connection = sqlite3.connect(temp)
        try:
            count = _fill(connection, pairs)
        finally:
            connection.close()
        atomic.move(temp, path)
    except sqlite3.Error as exc:
        atomic.remove(temp)
        raise StoreError(path=path, why=str(exc)) from exc
    except BaseException:
        atomic.remove(temp)
        raise
    return count


def as_column(value: object) -> Column:
    """Return what a value becomes in a column of text; raises TypeError."""
    if value is None or isinstance(value, str | bytes):
        return value
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int | float):
        return repr(value)
    raise TypeError(f"a metastore keeps text, bytes, numbers and None, not {type(value).__name__}")


def _fill(connection: Connection, pairs: Iterable[tuple[str, object]]) -> int:
    def rows() -> Iterator[tuple[str, Column]]:
        for key, value in pairs:
            try:
                yield key, as_column(value)
            except TypeError as exc:
                raise TypeError(f"{key!r}: {exc}") from None

    with connection:
        connection.execute(_CREATE)
        cursor = connection.executemany("INSERT INTO metastore (k, v) VALUES (?, ?)", rows())
    return max(cursor.rowcount, 0)


def _quoted(path: str) -> str:
    from urllib.parse import quote

    return quote(os.path.abspath(path))
