"""A URL's entry: which object it stands for, and what was known when it was verified.

The payload is lines of `field value`, so that an administrator can read it with `cat` and a hit can
read it without importing json (7 ms of a new process' 9). Unknown fields are kept out, not refused:
a later version may add some.
"""

from __future__ import annotations

from fscache.objects.digest import DIGEST_DIGITS
from fscache.objects.layout import MAX_SLOTS, is_hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from os import stat_result

_SUM = "sum."


class URLEntry:
    """The record of one URL."""

    __slots__ = (
        "checked_at",
        "checksums",
        "digest",
        "etag",
        "fetched_at",
        "fetched_from",
        "inode",
        "last_modified",
        "mtime_ns",
        "size",
        "slot",
        "staged_by",
        "url",
    )

    def __init__(
        self,
        url: str,
        digest: str,
        *,
        slot: int,
        size: int,
        inode: int,
        mtime_ns: int,
        fetched_at: float,
        checked_at: float,
        fetched_from: str = "",
        staged_by: str = "",
        etag: str | None = None,
        last_modified: str | None = None,
        checksums: dict[str, str] | None = None,
    ) -> None:
        """Describe a URL's object.

        Args:
            url: The name of the entry, without user information and fragment.
            digest: Of the object.
            slot: Of the object.
            size: Of the object in bytes; with `inode` and `mtime_ns` its identity when verified.
            inode: See `size`.
            mtime_ns: See `size`.
            fetched_at: When the bytes came, seconds since the epoch.
            checked_at: When the origin last said that they are current.
            fetched_from: Where they came from in the end, if not from `url`.
            staged_by: `user@host` that staged them.
            etag: The origin's, as sent.
            last_modified: The origin's, as sent.
            checksums: Verified checksums besides the digest, algorithm → hex.
        """
        self.url = url
        self.digest = digest
        self.slot = slot
        self.size = size
        self.inode = inode
        self.mtime_ns = mtime_ns
        self.fetched_at = fetched_at
        self.checked_at = checked_at
        self.fetched_from = fetched_from
        self.staged_by = staged_by
        self.etag = etag
        self.last_modified = last_modified
        self.checksums = checksums or {}

    def matches(self, status: stat_result) -> bool:
        """Whether a file is the very one that was verified: one `stat` instead of a hash."""
        return (
            status.st_ino == self.inode
            and status.st_size == self.size
            and status.st_mtime_ns == self.mtime_ns
        )

    def identify(self, status: stat_result) -> None:
        """Take a file's identity as the verified one."""
        self.inode = status.st_ino
        self.size = status.st_size
        self.mtime_ns = status.st_mtime_ns

    def encode(self) -> bytes:
        """Return the entry's payload."""
        # Cut, not rounded: a check half a millisecond ahead would be one in the future.
        text = (
            f"digest {self.digest}\nslot {self.slot}\nsize {self.size}\ninode {self.inode}\n"
            f"mtime_ns {self.mtime_ns}\nfetched_at {self.fetched_at:.3f}\n"
            f"checked_at {int(self.checked_at * 1000) / 1000:.3f}"
        )
        if self.fetched_from:
            text += f"\nfetched_from {_one_line(self.fetched_from)}"
        if self.staged_by:
            text += f"\nstaged_by {_one_line(self.staged_by)}"
        if self.etag:
            text += f"\netag {_one_line(self.etag)}"
        if self.last_modified:
            text += f"\nlast_modified {_one_line(self.last_modified)}"
        for name, value in self.checksums.items():
            text += f"\n{_SUM}{name} {value}"
        return text.encode("utf-8", "surrogateescape")

    @classmethod
    def decode(cls, name: bytes, payload: bytes) -> URLEntry:
        """Read an entry; raises ValueError where a field is missing or cannot be what it says."""
        fields = {}
        for line in payload.decode("utf-8", "surrogateescape").split("\n"):
            field, _, value = line.partition(" ")
            fields[field] = value
        try:
            digest, slot = fields["digest"], int(fields["slot"])
            # They become a path: nothing else may get out of an entry that somebody else wrote.
            if len(digest) != DIGEST_DIGITS or not is_hex(digest) or not 0 <= slot < MAX_SLOTS:
                raise ValueError("the entry names no object")
            return cls(
                name.decode("utf-8", "surrogateescape"),
                digest,
                slot=slot,
                size=int(fields["size"]),
                inode=int(fields["inode"]),
                mtime_ns=int(fields["mtime_ns"]),
                fetched_at=float(fields["fetched_at"]),
                checked_at=float(fields["checked_at"]),
                fetched_from=fields.get("fetched_from", ""),
                staged_by=fields.get("staged_by", ""),
                etag=fields.get("etag"),
                last_modified=fields.get("last_modified"),
                checksums={
                    field[len(_SUM) :]: value
                    for field, value in fields.items()
                    if field.startswith(_SUM)
                },
            )
        except KeyError as exc:
            raise ValueError(f"the entry has no {exc.args[0]}") from None


def _one_line(text: str) -> str:
    """Headers come from servers: a line break in one must not become a field of ours."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else "?" for char in text)
    return text[:2000]
