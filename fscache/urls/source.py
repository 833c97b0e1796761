"""URL entries as the catalog sees them."""

from __future__ import annotations

import os
import re

from fscache.objects.digest import address_of
from fscache.objects.layout import format_address
from fscache.records.sources import Named
from fscache.urls.entry import URLEntry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from fscache.records.root import Root

# As they are written today. A walk of a million entries cannot decode each of them field by field.
_FIRST_LINES = re.compile(
    rb"digest ([0-9a-f]{20})[0-9a-f]{12}\nslot (\d+)\nsize (\d+)\ninode \d+\nmtime_ns \d+\n"
    rb"fetched_at ([\d.]+)(?=\n|$)"
)
_BY = b"\nstaged_by "


class URLSource:
    """The URL entries of one root; see `fscache.records.sources.Source`."""

    purgeable = True

    def __init__(self, root: Root) -> None:
        """Read the entries of `root`."""
        self._entries = root.entries("urls", b"url")

    def scan(self) -> Iterator[Named]:
        """Yield every entry that can be read."""
        for name, payload, _item in self._entries.scan():
            named = _named(name, payload)
            if named is not None:
                yield named

    def look(self, name: str) -> Named | None:
        """Return the entry of a URL as it is now."""
        encoded = os.fsencode(name)
        payload = self._entries.read(encoded)
        return None if payload is None else _named(encoded, payload)

    def remove(self, name: str, address: str) -> bool:
        """Remove the entry of a URL if it names this object."""
        named = self.look(name)
        return (
            named is not None
            and named.address == address
            and self._entries.delete(os.fsencode(name))
        )


def _named(name: bytes, payload: bytes) -> Named | None:
    found = _FIRST_LINES.match(payload)
    if found is None:
        return _decoded(name, payload)
    address, slot, size, fetched_at = found.groups()
    by = payload.find(_BY, found.end())
    end = payload.find(b"\n", by + 1)
    return Named(
        name.decode("utf-8", "surrogateescape"),
        address=format_address(address.decode("ascii"), int(slot)),
        size=int(size),
        stored=float(fetched_at),
        by="" if by < 0 else os.fsdecode(payload[by + len(_BY) : end if end >= 0 else None]),
    )


def _decoded(name: bytes, payload: bytes) -> Named | None:
    try:
        entry = URLEntry.decode(name, payload)
    except ValueError:
        return None  # `admin verify` reports it
    return Named(
        entry.url,
        address=format_address(address_of(entry.digest), entry.slot),
        size=entry.size,
        stored=entry.fetched_at,
        by=entry.staged_by,
    )
