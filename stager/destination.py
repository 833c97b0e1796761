"""What the stager needs from whoever keeps the bytes. The cache implements it; the stager knows no cache.

A `Claim` is the right to fetch one URL, over all threads and processes that share the destination.
It holds a partial file. Claims only save bandwidth: that no wrong bytes ever get a final name rests
on the destination's commit, not on the claim's lock, because locks lie on some network file systems.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class Validator(NamedTuple):
    """What tells whether the resource on the server is still the one a partial file began with."""

    etag: str | None = None
    last_modified: str | None = None
    size: int | None = None
    source: str | None = None
    """Hash of the mirror's URL: halves of two mirrors are never glued together, because equal ETags
    of different servers mean nothing (nginx makes them of time and size)."""

    def if_range(self) -> str | None:
        """Return the value for `If-Range`, or None where the server gave nothing that may be used.

        A weak ETag compares semantics, not bytes, so it must not glue two halves together
        (RFC 9110, 13.1.5).
        """
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified


class Staged(NamedTuple):
    """What is known of a body that arrived whole and passed every check."""

    url: str
    """The URL asked for: the name of the entry."""
    fetched_from: str
    """The URL the bytes came from in the end: a mirror, or behind redirects; redacted."""
    digest: str
    """32 hex digits of XXH3-128."""
    size: int
    """Bytes."""
    checksums: Mapping[str, str] = MappingProxyType({})
    """Verified checksums, algorithm → hex."""
    etag: str | None = None
    last_modified: str | None = None


class Claim(Protocol):
    """One URL's partial file, ours alone until `commit` or `release`."""

    @property
    def fd(self) -> int:
        """Open for reading and writing, positioned at the end of what is kept."""

    @property
    def kept(self) -> int:
        """Bytes an earlier attempt left here; 0 for a fresh file."""

    @property
    def validator(self) -> Validator | None:
        """What the kept bytes began with; None when that is not known (then `kept` is 0)."""

    def note(self, validator: Validator) -> None:
        """Remember what the body began with, so that another process can resume it."""

    def restart(self) -> None:
        """Drop what is kept: the file is empty and `fd` at its start again."""

    def commit(self, staged: Staged) -> str:
        """Put the file into its final place and record it under `staged.url`; return its path."""

    def release(self, *, keep: bool) -> None:
        """Give the claim up; `keep` leaves the bytes for a later resume. No-op after `commit`."""


class Reservation(Protocol):
    """Space set aside for one body."""

    def spend(self, size: int) -> None:
        """Take note that `size` bytes of it have been written."""

    def release(self) -> None:
        """Give the space back; calling it twice is harmless."""


class Destination(Protocol):
    """Where staged bytes go."""

    def claim(self, url: str) -> Claim | None:
        """Take the right to fetch `url`; None while another thread or process has it."""

    def lookup(self, url: str, checksum: tuple[str, str] | None) -> str | None:
        """Return the path if `url` is here by now: someone else may have fetched it meanwhile.

        None if it is not, or if its bytes are not those of `checksum` (algorithm, hex).
        """

    def touch(self, staged: Staged) -> str | None:
        """Record that the server said "not modified"; return the path, None if it is gone."""

    def reserve(self, url: str, size: int) -> Reservation:
        """Set `size` bytes aside.

        Raises:
            NoSpaceError: they do not fit now, or never will.
        """
