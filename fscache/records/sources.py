"""What the catalog asks of each kind of entry, so that it need not know any of them.

A kind (`url`, `kv`, `task`) gives a `Source`; `fscache.admin.sources` puts them together. The files
are the truth: wherever the journal leaves a doubt, the catalog asks the source.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    from fscache.records.piecework import Share

    class Source(Protocol):
        """One kind of entries of one root."""

        @property
        def purgeable(self) -> bool:
            """Whether what these entries name can be had again, and so may be purged."""

        def scan(self) -> Iterator[Named]:
            """Yield every entry, in no particular order; what cannot be read is passed over."""

        def share(self, block: int) -> Share | None:
            """Return how a new catalog reads them in pieces, None if only by `scan`.

            `block` is the bytes of a block of the file system.
            """

        def look(self, name: str) -> Named | None:
            """Return the entry of this name as it is on disk now."""

        def remove(self, name: str, address: str) -> bool:
            """Remove the entry if it names this object; only asked where `purgeable`."""


class Named:
    """One entry, as far as the catalog is concerned."""

    __slots__ = ("accessed", "address", "by", "name", "size", "stored")

    def __init__(
        self,
        name: str,
        *,
        address: str,
        size: int,
        stored: float,
        accessed: float = 0.0,
        by: str = "",
    ) -> None:
        """Describe an entry.

        Args:
            name: As the journal has it: the URL, `<store>/<key>`, the task's id.
            address: The object it names, with its slot; empty if it names none.
            size: Bytes of the object, or of the value where there is none.
            stored: When it was written, seconds since the epoch.
            accessed: Its own last access, where it names no object.
            by: Who staged it, `user@host`.
        """
        self.name = name
        self.address = address
        self.size = size
        self.stored = stored
        self.accessed = accessed
        self.by = by
