"""The tables of `catalog.sqlite`, and how the file is opened: what is of SQLite alone.

The catalog is derived, so its schema needs no migrations: a file of another version, or one that is no
database at all, is set aside and made anew from the files.
"""

from __future__ import annotations

import errno
import os
import sqlite3

APPLICATION_ID = 0x66736331  # "fsc1"
SCHEMA_VERSION = 1
BUSY_SECONDS = 60.0
CACHE_KIB = 32 * 1024

# Rows are kept apart by what they stand for: an object is there once however many URLs name it, and
# its last access must be found by one index, not by a join of two.
_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE segments (
  name TEXT PRIMARY KEY, inode INTEGER NOT NULL, offset INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE objects (
  address TEXT PRIMARY KEY,       -- with its slot
  size INTEGER NOT NULL,
  disk INTEGER NOT NULL,          -- bytes of blocks, rounded up from size until somebody looked
  accessed REAL NOT NULL,         -- last access, as far as known here
  stored REAL NOT NULL,
  hits INTEGER NOT NULL DEFAULT 0,
  verified REAL NOT NULL          -- when its bytes were last compared with its digest
) WITHOUT ROWID;
CREATE TABLE entries (
  id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  host TEXT NOT NULL,             -- of a URL, the store of a key-value
  address TEXT,                   -- NULL: the entry names no object
  size INTEGER NOT NULL,
  disk INTEGER NOT NULL,          -- of its object (`admin du` would spend its time on a join), or own
  accessed REAL NOT NULL,
  stored REAL NOT NULL,
  by TEXT NOT NULL
);
"""
# By these a fold finds what it changes.
_KEYS = """
CREATE UNIQUE INDEX IF NOT EXISTS entries_name ON entries (kind, name);
CREATE INDEX IF NOT EXISTS entries_address ON entries (address) WHERE address IS NOT NULL;
"""
# One for each order of `admin ls`, which shows the first few of a million in milliseconds by them.
# Made when the tables are filled: half the time of keeping them up row by row.
_INDEXES = f"""
{_KEYS}
CREATE INDEX IF NOT EXISTS objects_accessed ON objects (accessed, address, size, disk); -- a plan
CREATE INDEX IF NOT EXISTS objects_size ON objects (size);
CREATE INDEX IF NOT EXISTS objects_stored ON objects (stored);
CREATE INDEX IF NOT EXISTS objects_hits ON objects (hits);
CREATE INDEX IF NOT EXISTS entries_accessed ON entries (accessed) WHERE address IS NULL;
"""

Error = sqlite3.Error
DamagedError = sqlite3.DatabaseError
Connection = sqlite3.Connection


# Not OperationalError's: "no such table" is one, and says as surely that this is no catalog.
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
_ERRNO = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_IOERR: errno.EIO,
}


class UnusableError(Exception):
    """The file is no catalog of this version; the message says why. Never leaves this package."""


def create(path: str) -> Connection:
    """Make an empty catalog without indexes at `path`, an empty text for a private one."""
    db = sqlite3.connect(
        f"file:{_quoted(path)}" if path else "",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    # Nobody else sees the file before it is whole: no rollback, no sync until `finish`.
    db.execute("PRAGMA journal_mode = OFF")
    db.execute("PRAGMA synchronous = OFF")
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    db.executescript(_TABLES)
    return db


def make_keys(db: Connection) -> None:
    """Make the indexes that a fold needs, on empty tables."""
    db.executescript(_KEYS)


def finish(db: Connection) -> None:
    """Make the indexes, and bring a new catalog to the disk."""
    make_indexes(db)
    db.execute("PRAGMA journal_mode = DELETE")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT OR REPLACE INTO meta VALUES ('finished', 1)")
    db.execute("COMMIT")


def make_indexes(db: Connection) -> None:
    """Make what is missing of the indexes."""
    try:
        db.executescript(_INDEXES)
    except sqlite3.IntegrityError:
        # An entry was rewritten under another slot while the walk passed by: the last one stays.
        db.execute(
            "DELETE FROM entries WHERE id NOT IN (SELECT MAX(id) FROM entries GROUP BY kind, name)"
        )
        db.executescript(_INDEXES)


def attach(db: Connection, path: str, name: str) -> None:
    """Make another catalog readable beside this one."""
    db.execute(f"ATTACH ? AS {name}", (f"file:{_quoted(path)}?mode=ro",))


def open_existing(path: str, *, writable: bool, timeout: float = BUSY_SECONDS) -> Connection:
    """Open a catalog.

    Args:
        path: The file.
        writable: Whether it will be changed.
        timeout: The longest wait for another process's lock on it, in seconds.

    Raises:
        FileNotFoundError: there is none.
        UnusableError: it cannot be read, or is of another version.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(path)
    mode = "rw" if writable else "ro"
    try:
        db = sqlite3.connect(
            f"file:{_quoted(path)}?mode={mode}",
            uri=True,
            timeout=timeout,
            isolation_level=None,
            check_same_thread=False,
        )
    except sqlite3.Error as exc:
        raise UnusableError(str(exc)) from exc
    try:
        why = _objection(db)
        # Rollback journal, not WAL: a root may lie on a network file system, where WAL's shared
        # memory does not work, and a reader there must not need to write.
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    except sqlite3.DatabaseError as exc:
        db.close()
        if is_busy(exc):
            raise
        raise UnusableError(str(exc)) from exc
    if why:
        db.close()
        raise UnusableError(why)
    return db


def copy(db: Connection) -> Connection:
    """Return a private copy of an open catalog, which is closed."""
    private = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    try:
        db.backup(private)
    except BaseException:
        private.close()
        raise
    finally:
        db.close()
    return private


def is_damage(exc: Error) -> bool:
    """Whether an error means that the file's contents cannot be believed."""
    return _primary(exc) in _DAMAGE


def cannot_write(exc: Error) -> bool:
    """Whether an error means that this process, now, cannot write the file."""
    return _primary(exc) in _ERRNO


def is_busy(exc: Error) -> bool:
    """Whether an error means that another process kept the file locked."""
    return _primary(exc) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def as_os_error(exc: Error) -> OSError:
    """Return an error of SQLite's as what the operating system must have said."""
    return OSError(_ERRNO.get(_primary(exc), errno.EIO), str(exc))


def _quoted(path: str) -> str:
    """Return a path as a URI has it; `urllib` would cost a listing 2 ms."""
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _primary(exc: Error) -> int:
    # Extended codes keep the primary one in their low byte.
    return getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _objection(db: Connection) -> str:
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        return "it is no catalog"
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version != SCHEMA_VERSION:
        age = "newer" if version > SCHEMA_VERSION else "older"
        return f"its version {version} is {age} than this program's"
    if not db.execute("SELECT 1 FROM meta WHERE key = 'finished'").fetchone():
        return "it was never finished"
    return ""
