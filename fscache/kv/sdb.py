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


def encode(pairs: Iterable[tuple[str, object]]) -> tuple[bytes, int]:
    """Return the bytes of a file that the original reads, and the number of keys.

    It is made in memory: where such a file goes may be a pipe, in which SQLite cannot write.

    Raises:
        TypeError: a value has no place in such a file; the message names its key.
        sqlite3.Error: SQLite cannot hold it.
    """
    import sqlite3

    connection = sqlite3.connect(":memory:")
    try:
        count = _fill(connection, pairs)
        return connection.serialize(), count
    finally:
        connection.close()


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
