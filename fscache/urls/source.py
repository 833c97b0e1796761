"""URL entries as the catalog sees them."""

from __future__ import annotations

import os
import re

from fscache.fs.walk import files, pieces
from fscache.objects.digest import address_of
from fscache.objects.layout import Split, format_address
from fscache.records.entryfile import MAGIC, name_hash
from fscache.records.piecework import Share
from fscache.records.rows import entry_row
from fscache.records.scanning import read_plain
from fscache.records.sources import Named
from fscache.urls.entry import URLEntry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fscache.records.piecework import Read
    from fscache.records.root import Root

# As they are written today. A walk of a million entries cannot decode each of them field by field.
_FIRST_LINES = re.compile(
    rb"digest ([0-9a-f]{20})[0-9a-f]{12}\nslot (\d+)\nsize (\d+)\ninode \d+\nmtime_ns \d+\n"
    rb"fetched_at ([\d.]+)(?=\n|$)"
)
_BY = b"\nstaged_by "
_KIND = b"url"
_HEAD = MAGIC + _KIND + b" "
_AT_ONCE = 128  # entries, about, that are read as one piece


class URLSource:
    """The URL entries of one root; see `fscache.records.sources.Source`."""

    purgeable = True

    def __init__(self, root: Root) -> None:
        """Read the entries of `root`."""
        self._entries = root.entries("urls", _KIND)

    def scan(self) -> Iterator[Named]:
        """Yield every entry that can be read."""
        for name, payload, _item in self._entries.scan():
            named = _named(name, payload)
            if named is not None:
                yield named

    def share(self, block: int) -> Share | None:
        """Return how a new catalog reads them: some of the directories they lie in at a time."""
        top = self._entries.top
        settings = (top, str(self._entries.split), block)
        return Share(
            "url",
            (__name__, reader.__name__, settings),
            pieces(top, _AT_ONCE),
            lambda paths: self._rows(paths, block),
        )

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

    def _rows(self, paths: list[str], block: int) -> Iterator[tuple[object, ...]]:
        """Yield the rows of entries that `reader` has left: those that need looking at with care."""
        for path in paths:
            found = self._entries.load(path)
            named = _named(*found) if found is not None else None
            if named is not None:
                yield entry_row("url", named, block)


def reader(top: str, split: str, block: int) -> Callable[[list[str]], Read]:
    """Return what reads the entries below some of the directories in `top`."""
    relative = Split.parse(split).relative

    def path_of(name: bytes) -> str:
        return f"{top}/{relative(name_hash(name))}"

    def read(names: list[str]) -> Read:
        rows: list[tuple[object, ...]] = []
        left = []
        for directory in names:
            try:
                for item in files(f"{top}/{directory}"):
                    found = read_plain(item.path, _HEAD, path_of)
                    if found is None:
                        left.append(item.path)
                    elif (named := _named(*found)) is not None:
                        rows.append(entry_row("url", named, block))
            except NotADirectoryError:
                left.append(f"{top}/{directory}")
        return rows, left

    return read


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
