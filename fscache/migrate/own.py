"""Reading another root of ours, whatever its splits: its objects, and the URLs they stand for.

Key-values, pins and task records are `beside`'s. `admin migrate --split` changes a root in place, with
everything in it.
"""

from __future__ import annotations

import time

from fscache.migrate.checks import ADDRESS
from fscache.migrate.item import Item, Passed
from fscache.objects.digest import address_of
from fscache.objects.layout import parse_address
from fscache.objects.walk import Walk
from fscache.records.root import Root
from fscache.urls.entry import URLEntry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from fscache.migrate.item import Found
    from fscache.migrate.urls import URLList


def read(top: str, _urls: URLList) -> Iterator[Found]:
    """Yield every object of the root at `top`."""
    root = Root(top, now=time.time)  # noqa: TID251 - nothing here asks for the time
    named: dict[str, list[tuple[URLEntry, str]]] = {}
    objects = root.objects()
    for name, payload, file in root.entries("urls", b"url", read_only=True).scan():
        try:
            entry = URLEntry.decode(name, payload)
        except ValueError:
            yield Passed(file.path, "its fields cannot be read")
            continue
        path = objects.locate(address_of(entry.digest), entry.slot)
        named.setdefault(path, []).append((entry, file.path))
    strays: list[str] = []
    walk = Walk(f"{top}/objects", root.object_split, left=root.left_splits, stray=strays.append)
    for batch in walk.objects():
        for found in batch:
            entries = named.get(found.path, [])
            expected = {ADDRESS: parse_address(found.address)[0]}
            etag = None
            for entry, _file in entries:
                expected.update(entry.checksums)
                etag = etag or entry.etag
            urls = tuple(entry.url for entry, _file in entries)
            yield Item(found.path, urls, expected, etag, tuple(file for _entry, file in entries))
    for path in strays:
        yield Passed(path, "no object")
