"""Roots with things in them, and what the catalog should say of those."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from fscache.admin.keeper import Keeper
from fscache.objects.layout import format_address
from fscache.records.journal import PUT, URL
from fscache.records.root import Root
from fscache.urls.entry import URLEntry
from fscache.urls.index import URLIndex

if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.objects.store import Stored
    from fscache.records.catalog import Catalog

DAY = 86400.0


def open_root(path: str, now: Callable[[], float] = time.time) -> Root:
    """Return a root that has been made."""
    root = Root(path, now=now)
    root.ensure()
    return root


def keep(root: Root, data: bytes, *urls: str, by: str = "ann@host") -> Stored:
    """Put bytes, under URLs if there are any, with their records, as a cache and its stager do."""
    stored = root.objects().put_bytes(data)
    for url in urls:
        now = root.now()
        with root.shared:
            URLIndex(root).write(
                URLEntry(
                    url,
                    stored.digest,
                    slot=stored.slot,
                    size=stored.size,
                    inode=stored.status.st_ino,
                    mtime_ns=stored.status.st_mtime_ns,
                    fetched_at=now,
                    checked_at=now,
                    staged_by=by,
                )
            )
            root.journal.append(PUT, URL, url, stored.address, stored.size, by)
    if not urls:
        root.journal.append(PUT, "object", stored.address, stored.address, stored.size)
    return stored


def age(root: Root, path: str, seconds: float) -> None:
    """Make an object one that was last asked for so long ago, for the catalog too."""
    status = os.stat(path)
    moment = int((root.now() - seconds) * 1e9)
    os.utime(path, ns=(moment, status.st_mtime_ns))
    address = os.path.relpath(path, f"{root.path}/objects").replace("/", "")
    keeper = keeper_of(root)
    catalog = keeper.open()
    try:
        catalog.write(
            lambda: catalog.db.execute(
                "UPDATE objects SET accessed = ? WHERE address = ?", (moment / 1e9, address)
            )
        )
    finally:
        catalog.close()


def keeper_of(root: Root, said: list[str] | None = None) -> Keeper:
    """Return a keeper that is told things into `said`."""
    return Keeper(root, say=[].append if said is None else said.append, timeout=20.0)


def objects_of(catalog: Catalog) -> dict[str, int]:
    """Return the sizes of the objects that a catalog has, by address."""
    return dict(catalog.db.execute("SELECT address, size FROM objects"))


def entries_of(catalog: Catalog) -> dict[tuple[str, str], str | None]:
    """Return the objects that a catalog's entries name."""
    rows = catalog.db.execute("SELECT kind, name, address FROM entries")
    return {(kind, name): address for kind, name, address in rows}


def objects_on_disk(root: Root) -> dict[str, int]:
    """Return the sizes of the objects that are there, by address."""
    found = {}
    top = f"{root.path}/objects"
    for directory, _, names in os.walk(top):
        for name in names:
            path = os.path.join(directory, name)
            relative = os.path.relpath(path, top)
            place = root.object_split.address(relative)
            if place is None and any(split.address(relative) for split in root.left_splits):
                continue  # a second name
            assert place is not None, path
            found[format_address(*place)] = os.stat(path).st_size
    return found


def entries_on_disk(root: Root) -> dict[tuple[str, str], str]:
    """Return the objects that the URL entries on disk name, where those are there."""
    there = objects_on_disk(root)
    found = {}
    for entry, path, _status in URLIndex(root).scan():
        address = os.path.relpath(path, f"{root.path}/objects").replace("/", "")
        if address in there:
            found["url", entry.url] = address
    return found


def assert_catalog_is_true(root: Root) -> None:
    """The catalog, brought up to date, has exactly what is on the disk."""
    catalog = keeper_of(root).open()
    try:
        assert objects_of(catalog) == objects_on_disk(root)
        assert entries_of(catalog) == entries_on_disk(root)
    finally:
        catalog.close()
