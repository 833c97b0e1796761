"""Tables in a root: one entry each below `tables/`, and pins on the shards that this root holds.

A table's entry says everything about it (`tables.Table`), so any node that has it can answer for the
table. Its shards are objects like any other; pins by the table keep them from purges until it is
dropped. An entry is replaced as a whole; a reader sees the old table or the new one.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from fscache.records.pins import Pins
from fscache.records.root import translated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fscache.records.root import Root


class Manifests:
    """The tables that one root knows."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._entries = root.entries("tables", b"tbl")
        self._unfinished = root.entries("tables-unfinished", b"tbu")
        self._pins = Pins(root)

    def write(self, name: str, data: bytes) -> None:
        """Record a table, in place of one of the same name."""
        with translated(self._root.path):
            self._root.ensure()
            self._entries.write(name.encode(), zlib.compress(data, 1))

    def read(self, name: str) -> bytes | None:
        """Return what is recorded of a table, None if it is not known here."""
        return _plain(self._entries.read(name.encode()))

    def names(self) -> list[str]:
        """Return the names of all tables, sorted."""
        return sorted(name.decode() for name, _payload, _item in self._entries.scan())

    def remove(self, name: str) -> bool:
        """Forget a table; False if it was not known here. Its pins are the caller's."""
        with translated(self._root.path):
            return self._entries.delete(name.encode())

    def pin(self, table: str, addresses: Iterable[str]) -> None:
        """Keep shards from being purged."""
        with translated(self._root.path):
            self._root.ensure()
            for address in addresses:
                self._pins.add(address, by=f"table {table}")

    def unpin(self, addresses: Iterable[str]) -> None:
        """Let shards be purged again."""
        with translated(self._root.path):
            for address in addresses:
                self._pins.remove(address)

    # -- deploys under way --------------------------------------------------------------------

    def note(self, deploy: str, piece: str, data: bytes) -> None:
        """Record a finished piece of a deploy, so that the next try need not do it again."""
        with translated(self._root.path):
            self._root.ensure()
            self._unfinished.write(f"{deploy}/{piece}".encode(), data)

    def noted(self, deploy: str) -> Iterator[tuple[str, bytes]]:
        """Yield the finished pieces of a deploy."""
        prefix = f"{deploy}/".encode()
        for name, payload, _item in self._unfinished.scan():
            if name.startswith(prefix):
                yield name[len(prefix) :].decode(), payload

    def clear(self, deploy: str) -> None:
        """Forget the pieces of a deploy."""
        for piece, _data in list(self.noted(deploy)):
            self._unfinished.delete(f"{deploy}/{piece}".encode())


def _plain(payload: bytes | None) -> bytes | None:
    if payload is None:
        return None
    try:
        return zlib.decompress(payload)
    except zlib.error:
        return None  # written by something else; the entry's own checksum was right
