"""KV entries as the catalog sees them; what they name is never purged."""

from __future__ import annotations

import os

from fscache.kv import record
from fscache.kv.checks import store_name
from fscache.objects.digest import address_of
from fscache.objects.layout import format_address
from fscache.records.sources import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from fscache.records.piecework import Share
    from fscache.records.root import Root


class KVSource:
    """The KV entries of one root; see `fscache.records.sources.Source`."""

    purgeable = False

    def __init__(self, root: Root) -> None:
        """Read the entries of `root`."""
        self._root = root

    def scan(self) -> Iterator[Named]:
        """Yield every entry that can be read, those past their ttl too: their files are there."""
        try:
            stores = os.listdir(f"{self._root.path}/kv")
        except FileNotFoundError:
            return
        for store in stores:
            for name, payload, item in self._root.entries(f"kv/{store}", b"key").scan():
                try:
                    stored = item.stat(follow_symlinks=False).st_mtime
                except FileNotFoundError:
                    continue
                named = _named(store, name, payload, stored)
                if named is not None:
                    yield named

    def share(self, block: int) -> Share | None:  # noqa: ARG002 - the protocol's
        """Return None: one store is read after another."""
        return None

    def look(self, name: str) -> Named | None:
        """Return the entry of `<store>/<key>` as it is now."""
        store, _, key = name.partition("/")
        try:
            entries = self._root.entries(f"kv/{store_name(store)}", b"key")
        except ValueError:
            return None
        encoded = key.encode("utf-8", "surrogateescape")
        found = entries.find(encoded)
        if found is None:
            return None
        payload, _path, status = found
        return _named(store, encoded, payload, status.st_mtime)

    def remove(self, name: str, address: str) -> bool:  # noqa: ARG002 - the protocol's
        """Remove nothing: nobody can fetch a key-value again."""
        return False


def _named(store: str, name: bytes, payload: bytes, stored: float) -> Named | None:
    try:
        known = record.decode(payload)
    except ValueError:
        return None  # of a later version: reading it says so
    address, size = "", len(known.body)
    if known.pointer is not None:
        address = format_address(address_of(known.pointer.digest), known.pointer.slot)
        size = known.pointer.size
    return Named(
        f"{store}/{name.decode('utf-8', 'surrogateescape')}",
        address=address,
        size=size,
        stored=stored,
    )
