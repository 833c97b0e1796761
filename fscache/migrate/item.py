"""What a reader finds in a foreign store: files, with all that is known of them."""

from __future__ import annotations

from dataclasses import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Item:
    """A file that can be brought into a root.

    Attributes:
        path: The file with the bytes.
        urls: What it stands for; none where the tool keeps no URL.
        expected: Checksums that its bytes must have, algorithm → hex; `git` is git's own for blobs,
            `address` our own. One that does not fit means that the file is damaged.
        etag: The origin's validator, as a header has it.
        extra: Further files of the old store that mean nothing without this one, removed with it.
    """

    path: str
    urls: tuple[str, ...] = ()
    expected: Mapping[str, str] | None = None
    etag: str | None = None
    extra: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Passed:
    """A file that stays where it is, and why."""

    path: str
    why: str


Found = Item | Passed
