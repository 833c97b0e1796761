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
    r"digest ([0-9a-f]{32})\nslot (\d+)\nsize (\d+)\ninode \d+\nmtime_ns \d+\nfetched_at ([\d.]+)",
    re.ASCII,
)


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
    url = os.fsdecode(name)
    lines = os.fsdecode(payload).split("\n")
    found = _FIRST_LINES.fullmatch("\n".join(lines[:6]))
    if found is None:
        return _decoded(name, payload)
    digest, slot, size, fetched_at = found.groups()
    by = next((line[10:] for line in lines[6:] if line.startswith("staged_by ")), "")
    address = format_address(address_of(digest), int(slot))
    return Named(url, address=address, size=int(size), stored=float(fetched_at), by=by)


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
