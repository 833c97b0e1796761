"""Entries: named, replaceable records, each a file (`entryfile`) under the hash of its name.

Of two names with one hash the second lies in the next slot.

Promises: a reader sees a whole old or a whole new entry, or none. A torn, corrupt or misnamed file is
a miss, with its reason logged and the file moved to `quarantine/`; never a crash, never wrong bytes.

Deleting an entry that another one follows in the slots leaves a tombstone (kind `del`) in its place,
which only the same name may use again: look-ups stop at the first free slot. A bad entry that
another follows leaves a tombstone of no name, which nothing uses again.

Not promised: an order between two writers of one name; the last rename wins. Read-modify-write is
the caller's, under a lock (`fs.stripes`, `fs.lock.guard`), and so are changes in place (`inplace`).
"""

from __future__ import annotations

import errno
import os

from fscache.fs import atomic
from fscache.objects.layout import ENTRY_SPLIT, MAX_SLOTS
from fscache.records import cells, inplace
from fscache.records.entryfile import (
    FIRST_READ,
    MAGIC,
    READ,
    TOMBSTONE,
    BadEntryError,
    Place,
    StuckError,
    encode,
    name_hash,
    read_small,
    slot_path,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fscache.objects.layout import Split
    from fscache.records.scanning import Scanned

_NO_FILE = (errno.EISDIR, errno.ELOOP, errno.ENXIO)


class EntryStore:
    """The entries of one kind below one directory."""

    __slots__ = (
        "_celled",
        "_hash",
        "_head",
        "_kind",
        "_quarantine",
        "_writer",
        "split",
        "top",
    )

    def __init__(
        self,
        top: str,
        kind: bytes,
        writer: atomic.Writer,
        *,
        quarantine: str | None,
        split: Split = ENTRY_SPLIT,
        hash_name: Callable[[bytes], str] = name_hash,
    ) -> None:
        """Keep entries below `top`.

        Args:
            top: The directory.
            kind: Three letters.
            writer: Writes the files.
            quarantine: Where bad entries go; None leaves them, for a root that is only read.
            split: How names' hashes become paths.
            hash_name: A parameter so that tests can make collisions.
        """
        if len(kind) != 3:
            raise ValueError("an entry's kind has three letters")
        self.top = top
        self._kind = kind
        self._celled = kind in cells.KINDS
        self._head = (cells.MAGIC if self._celled else MAGIC) + kind + b" "
        self.split = split
        """How names' hashes become paths."""
        self._writer = writer
        self._quarantine = quarantine
        self._hash = hash_name

    def read(self, name: bytes) -> bytes | None:
        """Return the payload of the entry of this name, None if there is none."""
        data = _first_look(self.path(name))
        if data is None:
            return None
        payload = cells.payload_of(data, self._head, name)
        if payload is not None:
            return payload
        found = self._find(name)
        return found[1] if found is not None and found[0] == self._kind else None

    def is_absent(self, name: bytes) -> bool:
        """Whether there is surely no entry of this name; a third of what `read` costs to say so."""
        return not os.access(self.path(name), os.F_OK)

    def path(self, name: bytes) -> str:
        """Return where an entry of this name lies, if it lies in the first slot."""
        return f"{self.top}/{self.split.relative(self._hash(name))}"

    def find(self, name: bytes) -> tuple[bytes, str, os.stat_result] | None:
        """Return payload, path and status of the entry of this name, None if there is none."""
        base = self.path(name)
        statuses: list[os.stat_result] = []
        data = _first_look(base, statuses)
        if data is None:
            return None
        payload = cells.payload_of(data, self._head, name)
        if payload is not None:
            return payload, base, statuses[-1]
        found = self._find(name, statuses)
        if found is None or found[0] != self._kind:
            return None
        return found[1], slot_path(base, found[2]), statuses[-1]

    def write(
        self,
        name: bytes,
        payload: bytes,
        *,
        known: Place | None = None,
        mtime_ns: int | None = None,
        in_place: bool = False,
    ) -> Place:
        """Create or replace the entry of this name.

        Args:
            name: The name.
            payload: What it stands for.
            known: Where the caller last saw this name: saves reading what lies there.
            mtime_ns: The file's mtime, where that is to say more than "now".
            in_place: The caller holds the lock of this name, so its file may be written to.

        Returns:
            Where it lies now.
        """
        if not self._celled:
            return self._write(name, encode(self._kind, name, payload), known, mtime_ns)
        group = self._writer.group
        in_place = in_place and (group is not None or not self._writer.durable)
        # Opening what is not there costs a put of a new key a fifth, asking for it first a fiftieth.
        if in_place and (known or not self.is_absent(name)):
            path = self.path(name) if known is None else known.path
            status = inplace.replace(path, self._kind, name, payload, mtime_ns, group=group)
            if status is not None:
                return Place.of(path, status)
        data = cells.encode(self._kind, name, payload)
        return self._write(name, data, known, mtime_ns)

    def delete(self, name: bytes) -> bool:
        """Remove the entry of this name; False if there was none."""
        found = self._find(name)
        if found is None or found[0] == TOMBSTONE:
            return False
        base = self.path(name)
        slot = found[2]
        if os.path.lexists(slot_path(base, slot + 1)):
            self._write(name, encode(TOMBSTONE, name, b""), None, None)
            return True
        return self._writer.remove(slot_path(base, slot))

    def load(self, path: str) -> tuple[bytes, bytes] | None:
        """Return name and payload of the entry in a file, None where that is no entry."""
        try:
            found = self._load(path, None)
        except StuckError:
            return None
        if found is None or found[0] != self._kind or found[1] is None:
            return None
        return found[1], found[2]

    def scan(self) -> Iterator[Scanned]:
        """Yield name, payload and directory entry of every entry, in no particular order."""
        from fscache.records.scanning import scan

        return scan(self.top, self._head, self.path, self.load)

    def _write(self, name: bytes, data: bytes, known: Place | None, mtime_ns: int | None) -> Place:
        base, writer = self.path(name), self._writer
        temp, status = writer.stage(data, mtime_ns, sealed=not self._celled)
        group = writer.group if self._celled else None
        file = None if group is None else group.known(temp, status, cells.FIRST_TURN)
        try:
            if known is not None and known.is_current():
                writer.publish(temp, known.path, replace=True, known=file)
                return Place.of(known.path, status)
            # Most names that nobody knows are new ones: taking the first slot and reading what is
            # there only where that fails saves them the look (4 µs of 30).
            path, taken = base, False
            # A new name must not replace what a colliding name has put there meanwhile.
            while not writer.publish(temp, path, replace=taken, known=file):
                path, taken = self._slot_for(base, name)
        except BaseException:
            atomic.remove(temp)
            raise
        return Place.of(path, status, new=not taken)

    def _slot_for(self, base: str, name: bytes) -> tuple[str, bool]:
        for slot in range(MAX_SLOTS):
            path = slot_path(base, slot)
            try:
                found = self._load(path, name)
            except StuckError:
                return path, True  # what cannot be believed may be replaced
            if found is None:
                return path, False
            if found[1] == name:
                return path, True
        raise OSError(errno.ENOSPC, "every slot of this name's hash is taken", base)

    def _find(
        self, name: bytes, statuses: list[os.stat_result] | None = None
    ) -> tuple[bytes, bytes, int] | None:
        """Return kind, payload and slot of the entry of this name; `statuses` as for `read_small`."""
        base = self.path(name)
        for slot in range(MAX_SLOTS):
            try:
                found = self._load(slot_path(base, slot), name, statuses)
            except StuckError:
                continue
            if found is None:
                return None
            kind, owner, payload = found
            if owner == name:
                return kind, payload, slot
        return None

    def _load(
        self, path: str, name: bytes | None, statuses: list[os.stat_result] | None = None
    ) -> tuple[bytes, bytes | None, bytes] | None:
        """Return kind, name and payload of the entry in a file, None where there is none.

        A bad entry is moved out of the way; raises StuckError where that is not possible.
        """
        try:
            data = (cells.read if self._celled else read_small)(path, statuses)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            if exc.errno not in _NO_FILE:
                raise
            self._set_aside(path, None, "not a file")
            return None
        try:
            kind, owner, payload = cells.decode(data)
            if kind == TOMBSTONE and not owner:
                return kind, None, payload  # not b"": that is a name, too
            if owner != name and self._hash(owner) != self._address_of(path):
                raise BadEntryError("the entry lies under another name's hash")
            if kind not in (self._kind, TOMBSTONE):
                raise BadEntryError("the entry is of another kind")
        except ValueError as exc:
            if self._set_aside(path, data, str(exc)):
                return None
            return self._load(path, name, statuses)
        return kind, owner, payload

    def _address_of(self, path: str) -> str | None:
        found = self.split.address(path[len(self.top) + 1 :])
        return found[0] if found else None

    def _set_aside(self, path: str, data: bytes | None, why: str) -> bool:
        from fscache.records.aside import set_aside

        return set_aside(path, data, why, quarantine=self._quarantine, writer=self._writer)


def _first_look(path: str, statuses: list[os.stat_result] | None = None) -> bytes | None:
    """Return what a file holds, None where there is none: in as few steps as can be.

    Args:
        path: The file.
        statuses: As for `read_small`, which looks again at what is empty or cut off here.
    """
    try:
        fd = os.open(path, READ)
        try:
            if statuses is None:
                return os.read(fd, FIRST_READ)
            status = os.fstat(fd)
            statuses.append(status)
            return os.read(fd, status.st_size)
        finally:
            os.close(fd)
    except FileNotFoundError:
        return None
    except OSError:
        return b""
