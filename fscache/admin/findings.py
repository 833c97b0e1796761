"""What verify can find wrong with a root, and in which words it says so."""

from __future__ import annotations

from dataclasses import dataclass

from fscache.records import audit

BAD_ENTRY = audit.BAD_ENTRY
MISNAMED = audit.MISNAMED
STRAY = audit.STRAY
FLIPPED = "flipped"
TRUNCATED = "truncated"
UNREADABLE = "unreadable"
ORPHANED = "orphaned"
DANGLING = "dangling"
LEFTOVER = "leftover"

MEANINGS = {
    FLIPPED: "an object whose bytes are not those of its digest",
    TRUNCATED: "an object that is shorter or longer than its entry says",
    MISNAMED: "a whole object, or entry, under the name of another",
    UNREADABLE: "an object that this user, or the disk, cannot read",
    STRAY: "a file that is no object or entry, where only those belong",
    ORPHANED: "an object that neither an entry nor the catalog knows",
    DANGLING: "an entry whose object is not there",
    BAD_ENTRY: "an entry that cannot be believed",
    LEFTOVER: "a partial file that nobody has written to for a week",
}


@dataclass(slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        what: One of `MEANINGS`.
        path: The file.
        names: The entries that are affected.
        detail: What exactly, for people.
        repaired: What was done about it; empty if nothing was, or could be.
    """

    what: str
    path: str
    names: tuple[str, ...] = ()
    detail: str = ""
    repaired: str = ""


@dataclass(slots=True)
class Verified:
    """What a verification looked at.

    Attributes:
        objects: Objects seen.
        hashed: Objects whose bytes were hashed again.
        bytes: Their bytes.
        entries: Entries read.
        found: Things found wrong.
        repaired: Those of them that were repaired.
    """

    objects: int = 0
    hashed: int = 0
    bytes: int = 0
    entries: int = 0
    found: int = 0
    repaired: int = 0
