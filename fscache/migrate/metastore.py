"""The original metastore's SQLite files, into a root and back out of it."""

from __future__ import annotations

from fscache.errors import StoreError
from fscache.kv import sdb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from fscache.kv import KeyValues


def recognises(path: str) -> bool:
    """Whether there is an SQLite file at a path."""
    return sdb.is_sqlite(path)


def import_file(path: str, store: KeyValues) -> int:
    """Put every key of a file into a store; return how many. Doing it twice does no harm.

    Raises:
        StoreError: it is no file of a metastore, or a key could not be kept.
    """
    count = 0

    def counted() -> Iterator[tuple[str, object]]:
        nonlocal count
        for pair in sdb.read(path):
            count += 1
            yield pair

    store.multiput(counted())
    return count


def export_file(store: KeyValues, path: str, prefix: str = "") -> int:
    """Write a file, for the original, of the keys that begin with `prefix`; return how many.

    It appears whole or not at all, and replaces what is there.

    Raises:
        TypeError: a value is neither text, bytes, number nor None; the message names its key.
        StoreError: such a file cannot hold it.
        OSError: the file cannot be written.
    """
    import sqlite3

    from fscache.fs.out import write_out

    try:
        data, count = sdb.encode(store.items(prefix))
    except sqlite3.Error as exc:
        raise StoreError(path=path, why=str(exc)) from exc
    write_out(path, [data])
    return count
