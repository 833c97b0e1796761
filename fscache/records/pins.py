"""Pins: "do not purge until unpinned", one small entry each below `pins/`.

A pinned URL keeps whatever object it stands for, today's and tomorrow's; a pinned address keeps that
object. Pins are few, so they are read from their files whenever somebody asks: there is no second
place that could disagree.
"""

from __future__ import annotations

import os

from fscache.objects.layout import Split
from fscache.records.entries import EntryStore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fscache.records.root import Root

_FLAT = Split(20)  # a directory for each would be more than the pins


class Pins:
    """The pins of one root."""

    def __init__(self, root: Root, *, read_only: bool = False) -> None:
        """Use `pins/` of `root`; a `read_only` one is never written to."""
        self._root = root
        self._entries = EntryStore(
            f"{root.path}/pins",
            b"pin",
            root.writer,
            quarantine=None if read_only else f"{root.path}/quarantine",
            split=_FLAT,
        )

    def add(self, name: str, *, by: str) -> bool:
        """Pin a URL or an address; False if it was pinned already. `by` is kept for people."""
        encoded = os.fsencode(name)
        if self._entries.read(encoded) is not None:
            return False
        payload = f"pinned_at {self._root.now():.0f}\nby {by}"
        self._entries.write(encoded, payload.encode("utf-8", "surrogateescape"))
        return True

    def remove(self, name: str) -> bool:
        """Unpin a URL or an address; False if it was not pinned."""
        return self._entries.delete(os.fsencode(name))

    def names(self) -> set[str]:
        """Return every pinned URL and address."""
        return {os.fsdecode(name) for name, _payload, _item in self._entries.scan()}
