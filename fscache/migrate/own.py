"""Reading another root of ours, whatever its splits: its objects, and the URLs they stand for.

Key-values, tasks and pins stay: `kv export` and `kv import` bring those over, and `admin migrate --split`
changes a root in place, with everything in it.
"""

from __future__ import annotations

import time

from fscache.migrate.checks import ADDRESS
from fscache.migrate.item import Item, Passed
from fscache.objects.layout import parse_address
from fscache.objects.walk import Walk
from fscache.records.root import Root
from fscache.urls.index import URLIndex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from fscache.migrate.item import Found
    from fscache.migrate.urls import URLList
    from fscache.urls.entry import URLEntry


def read(top: str, _urls: URLList) -> Iterator[Found]:
    """Yield every object of the root at `top`."""
    root = Root(top, now=time.time)  # noqa: TID251 - nothing here asks for the time
    named: dict[str, list[URLEntry]] = {}
    for entry, path, _status in URLIndex(root, read_only=True).scan():
        named.setdefault(path, []).append(entry)
    strays: list[str] = []
    walk = Walk(f"{top}/objects", root.object_split, left=root.left_splits, stray=strays.append)
    for batch in walk.objects():
        for found in batch:
            entries = named.get(found.path, [])
            expected = {ADDRESS: parse_address(found.address)[0]}
            etag = None
            for entry in entries:
                expected.update(entry.checksums)
                etag = etag or entry.etag
            yield Item(found.path, tuple(entry.url for entry in entries), expected, etag)
    for path in strays:
        yield Passed(path, "no object")
