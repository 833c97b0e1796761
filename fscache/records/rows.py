"""The rows of the catalog: what is written for an entry and an object, and how it meets an older one."""

from __future__ import annotations

import os
from itertools import chain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from fscache.records.root import Root
    from fscache.records.schema import Connection
    from fscache.records.sources import Named

_HEAD = 32  # bytes of an entry's file before its name
ADD_ENTRY = """
INSERT INTO entries (kind, name, host, address, size, disk, accessed, stored, by)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (kind, name) DO UPDATE SET
  size = CASE WHEN excluded.stored >= stored THEN excluded.size ELSE size END,
  disk = CASE WHEN excluded.stored >= stored THEN excluded.disk ELSE disk END,
  by = CASE WHEN excluded.stored >= stored THEN excluded.by ELSE by END,
  address = excluded.address,
  accessed = max(accessed, excluded.accessed),
  stored = max(stored, excluded.stored)
"""
ADD_OBJECT = """
INSERT INTO objects (address, size, disk, accessed, stored, hits, verified)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (address) DO UPDATE SET
  accessed = max(accessed, excluded.accessed),
  hits = hits + excluded.hits,
  verified = max(verified, excluded.verified)
"""
# Into a catalog that is being made, where nothing is known yet.
NEW_ENTRY = ADD_ENTRY.partition("ON CONFLICT")[0]
NEW_OBJECT = "INSERT OR IGNORE INTO objects VALUES (?, ?, ?, ?, ?, 0, 0)"
_AT_ONCE = 32  # rows of one statement: two thirds of the time that one row a statement takes


def add_new(db: Connection, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Insert rows by `NEW_ENTRY` or `NEW_OBJECT`."""
    _, _, values = statement.rpartition("VALUES")
    many = statement + f", {values}" * (_AT_ONCE - 1)
    whole = len(rows) - len(rows) % _AT_ONCE
    for start in range(0, whole, _AT_ONCE):
        db.execute(many, list(chain.from_iterable(rows[start : start + _AT_ONCE])))
    db.executemany(statement, rows[whole:])


def bound(text: str) -> str | bytes:
    """Return a text as SQLite takes it: as its bytes, where those are no UTF-8 (`os.fsdecode`)."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")
    return text


def text_of(value: str | bytes) -> str:
    """Return the text that was `bound`."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")


def entry_row(kind: str, named: Named, block: int) -> tuple[object, ...]:
    """Return what `ADD_ENTRY` takes; `block` is the file system's."""
    # A value that is no object lies in the entry's own file, behind a head and the name.
    held = named.size if named.address else named.size + len(named.name) + _HEAD
    return (
        *(kind, bound(named.name), bound(host_of(kind, named.name)), named.address or None),
        *(named.size, round_up(held, block)),
        *(named.accessed or named.stored, named.stored, bound(named.by)),
    )


def block_size(root: Root) -> int:
    """Return the bytes of a block of the file system."""
    return os.statvfs(root.path).f_frsize or 4096


def round_up(size: int, block: int) -> int:
    """Return the bytes of the blocks that a file of this size takes. Pure."""
    return -(-size // block) * block


def host_of(kind: str, name: str) -> str:
    """Return what `admin du` sums by: a URL's host and port, a key-value's store. Pure."""
    if kind == "url":
        _, _, rest = name.partition("://")
        return rest.partition("/")[0].lower()
    if kind == "kv":
        return name.partition("/")[0]
    return ""
