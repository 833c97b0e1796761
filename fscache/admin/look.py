"""Rows of the catalog, looked at again: what is really there, pinned, in use.

Which rows come is decided by the catalog's own times. What is shown of an object is asked of the object:
its last access, its blocks, and whether somebody holds a lease; a listing by last access is put in order
of what it shows. A key-value's record comes before its entry, so its entry is looked for: the writer may
have been killed between the two. That costs 10 µs a row, 15 µs more for a key-value, so only so many rows
are looked at; beyond them a listing shows what the catalog says.
"""

from __future__ import annotations

import os

from fscache.fs.lock import try_flock
from fscache.objects.layout import parse_address
from fscache.records.journal import KV
from fscache.records.listing import rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from fscache.admin.keeper import Keeper
    from fscache.objects.store import ObjectStore
    from fscache.records.catalog import Catalog
    from fscache.records.listing import Query, Row

LOOKED_AT = 1000
GHOST_AGE = 3600.0  # a record may be ahead of its file, but not for this long


def find(keeper: Keeper, catalog: Catalog, query: Query, limit: int | None) -> Iterator[Row]:
    """Yield at most `limit` rows; what turns out to be gone is left out.

    Up to `LOOKED_AT` rows are looked at; where there may be more, none.
    """
    if limit is None and not _is_large(catalog):
        limit = LOOKED_AT
    pinned = keeper.pins.names()
    if limit is None or limit > LOOKED_AT:
        for row in rows(catalog.db, query, keeper.root.now(), limit=limit):
            row.pinned = row.name in pinned or row.address in pinned
            yield row
        return
    seen, gone = _look_for(keeper, catalog, query, limit)
    for row in seen:
        row.pinned = row.name in pinned or row.address in pinned
    if query.order == "atime":
        seen.sort(key=lambda row: row.accessed, reverse=not query.reverse)
    yield from seen
    if gone and not catalog.private and os.access(f"{keeper.root.path}/catalog.sqlite", os.W_OK):
        catalog.look_at(
            [address for _, _, address in gone if address],
            [(kind, name) for kind, name, _ in gone if kind == KV],
        )


def _look_for(
    keeper: Keeper, catalog: Catalog, query: Query, limit: int
) -> tuple[list[Row], list[tuple[str, str, str]]]:
    """Return the first `limit` rows that are there; kind, name and address of what is long gone."""
    objects = keeper.root.objects()
    now = keeper.root.now()
    seen: list[Row] = []
    gone: list[tuple[str, str, str]] = []
    offset, size, more = 0, limit, limit > 0
    while more:
        count = 0
        for row in rows(catalog.db, query, now, limit=size, offset=offset):
            count += 1
            if _is_there(keeper, objects, row):
                seen.append(row)
                if len(seen) == limit:
                    return seen, gone
            elif now - row.accessed > GHOST_AGE:
                gone.append((row.kind, row.name, row.address))
        more = count == size
        offset += size
        # Each query passes what the ones before it have passed: in steps of 20, 30,000 objects that
        # had gone took 30 s.
        size *= 2
    return seen, gone


def _is_large(catalog: Catalog) -> bool:
    count = "SELECT (SELECT COUNT(*) FROM objects) + (SELECT COUNT(*) FROM entries)"
    return int(catalog.db.execute(count).fetchone()[0]) > LOOKED_AT


def _is_there(keeper: Keeper, objects: ObjectStore, row: Row) -> bool:
    """Whether what a row says is still so; brings it up to date."""
    if row.address and not look(objects, row):
        return False
    if row.kind != KV:
        return True
    try:
        return keeper.sources[KV].look(row.name) is not None
    except OSError:
        return True  # who may not read it does not know


def look(objects: ObjectStore, row: Row) -> bool:
    """Bring a row up to date with its object; False if that is gone."""
    path = objects.locate(*parse_address(row.address))
    try:
        status = os.stat(path)
    except OSError:
        return False
    row.accessed = max(row.accessed, status.st_atime)
    row.disk = status.st_blocks * 512
    row.leased = is_leased(path)
    return True


def is_leased(path: str) -> bool | None:
    """Whether somebody holds a lease on an object; None if we may not know."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return not try_flock(fd)
    finally:
        os.close(fd)
