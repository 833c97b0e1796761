"""Folding the journal into the catalog: many records, one transaction.

Records of two processes have no order that could be relied on, and a record may be of a change that
was undone before we read of it. So the records say *what to look at*, and where they leave a doubt
(something was removed; one name stood for two objects; something was touched that the catalog does not
know) the file on disk decides. The catalog may for a while list what is gone; it never lacks what is
there and was recorded.

What nobody can fetch again is recorded first and named then, both under `root.shared`. So where the disk
does not have what a record says, its writer may be between the two: he is waited for, once a batch, and
the file is looked at again. Without it a purge could take the object that was about to be named.
"""

from __future__ import annotations

import os

from fscache.objects.layout import parse_address
from fscache.records.journal import DELETE, OBJECT, PURGE, PUT, TOUCH
from fscache.records.rows import (
    ADD_ENTRY,
    ADD_OBJECT,
    block_size,
    bound,
    entry_row,
    round_up,
    text_of,
)
from fscache.records.segments import Position, read, segments, unread
from fscache.records.sources import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fscache.records.root import Root
    from fscache.records.schema import Connection
    from fscache.records.segments import Record
    from fscache.records.sources import Source

RETIRE_AGE = 3600.0  # seconds of silence after which no process writes to a full segment any more
DEAD_AGE = 30 * 86400.0  # the same for a segment that is not full: of a host that is no more
BATCH_RECORDS = 100_000  # some 60 MB


class Batch:
    """What a run of records says, gathered by name and by object. Pure."""

    __slots__ = ("doubtful", "entries", "gone", "objects", "touched")

    def __init__(self) -> None:
        """Begin with nothing."""
        self.entries: dict[tuple[str, str], Record] = {}
        self.doubtful: dict[tuple[str, str], float] = {}  # → the last removal, 0 for other doubts
        self.objects: dict[str, list[float]] = {}  # → size, accessed, stored
        self.touched: dict[str, list[float]] = {}  # → hits, accessed
        self.gone: set[str] = set()

    def add(self, record: Record) -> None:
        """Take one more record, in any order."""
        key = (record.kind, record.name)
        address = record.address
        if record.op == PUT:
            if address:
                known = self.objects.get(address)
                if known is None:
                    self.objects[address] = [record.size, record.time, record.time]
                else:
                    known[1] = max(known[1], record.time)
                    known[2] = min(known[2], record.time)
            if record.kind != OBJECT:
                before = self.entries.get(key)
                if before is None:
                    self.entries[key] = record
                else:
                    if before.address != address:
                        self.doubtful.setdefault(key, 0.0)
                    if before.time <= record.time:
                        self.entries[key] = record
        elif record.op == TOUCH:
            hits = self.touched.setdefault(address, [0, 0.0])
            hits[0] += 1
            hits[1] = max(hits[1], record.time)
        elif record.op == DELETE:
            self.doubtful[key] = max(self.doubtful.get(key, 0.0), record.time)
        elif record.op == PURGE:
            self.gone.add(address)


class Folder:
    """Writes batches into one catalog; the caller holds the transaction."""

    def __init__(self, db: Connection, root: Root, sources: Mapping[str, Source]) -> None:
        """Fold into `db`, asking `sources` and the objects of `root` in doubt."""
        self._db = db
        self._root = root
        self._waited = False
        self._objects = root.objects()
        self._sources = sources
        self._block = block_size(root)

    def apply(self, batch: Batch) -> None:
        """Bring one batch into the tables."""
        self._waited = False
        doubtful = {**batch.doubtful, **self._renamed(batch)}
        self._db.executemany(
            ADD_ENTRY,
            (
                entry_row(kind, _named(record), self._block)
                for (kind, name), record in batch.entries.items()
                if (kind, name) not in doubtful
            ),
        )
        self._db.executemany(
            ADD_OBJECT,
            (
                (
                    *(address, int(size), round_up(int(size), self._block)),
                    *(accessed, stored, 0, accessed),
                )
                for address, (size, accessed, stored) in batch.objects.items()
            ),
        )
        for (kind, name), removed in doubtful.items():
            self._settle(kind, name, removed, batch.entries.get((kind, name)))
        self._touch(batch)
        for address in batch.gone:
            self.look_at(address)

    def look_at(self, address: str) -> bool:
        """Make the row of one object what the disk says; whether the object is there."""
        try:
            status = os.stat(self._objects.locate(*parse_address(address)), follow_symlinks=False)
        except (OSError, ValueError):
            self._db.execute("DELETE FROM objects WHERE address = ?", (address,))
            # An entry without its object is a miss: `admin verify` reports it, no list shows it.
            self._db.execute("DELETE FROM entries WHERE address = ?", (address,))
            return False
        self._db.execute(
            ADD_OBJECT,
            (
                *(address, status.st_size, status.st_blocks * 512),
                *(status.st_atime, status.st_mtime, 0, 0.0),
            ),
        )
        return True

    def look_at_entry(self, kind: str, name: str) -> None:
        """Make the row of one entry what the disk says."""
        self._settle(kind, name, 0.0, None)

    def add_named(self, kind: str, named: Named) -> None:
        """Write the row of one entry as it is on disk."""
        self._delete(kind, named.name)
        self._db.execute(ADD_ENTRY, entry_row(kind, named, self._block))

    def _renamed(self, batch: Batch) -> dict[tuple[str, str], float]:
        """Return the names that stand for another object than the catalog says."""
        self._db.execute("CREATE TEMP TABLE IF NOT EXISTS incoming (kind, name, address)")
        self._db.execute("DELETE FROM incoming")
        self._db.executemany(
            "INSERT INTO incoming VALUES (?, ?, ?)",
            (
                (kind, bound(name), record.address or None)
                for (kind, name), record in batch.entries.items()
            ),
        )
        rows = self._db.execute(
            "SELECT kind, name FROM incoming JOIN entries USING (kind, name)"
            " WHERE entries.address IS NOT incoming.address"
        )
        found = ((kind, text_of(name)) for kind, name in rows)
        return {key: 0.0 for key in found if key not in batch.doubtful}

    def _settle(self, kind: str, name: str, removed: float, record: Record | None) -> None:
        source = self._sources.get(kind)
        if source is not None:
            named = source.look(name)
            if record is not None and not self._waited and not _is_made(record, named):
                self._root.wait_for_writers()
                self._waited = True
                named = source.look(name)
        elif record is not None and record.time >= removed:
            named = _named(record)
        else:
            named = None
        if named is None:
            self._delete(kind, name)
            return
        self.add_named(kind, named)
        if named.address:
            self._add_missing([named.address])

    def _delete(self, kind: str, name: str) -> None:
        self._db.execute("DELETE FROM entries WHERE kind = ? AND name = ?", (kind, bound(name)))

    def _touch(self, batch: Batch) -> None:
        self._db.executemany(
            "UPDATE objects SET hits = hits + ?, accessed = max(accessed, ?) WHERE address = ?",
            ((hits, accessed, address) for address, (hits, accessed) in batch.touched.items()),
        )
        self._add_missing(batch.touched)

    def _add_missing(self, addresses: Iterable[str]) -> None:
        """Look on disk for objects that the catalog does not know."""
        for address in addresses:
            known = self._db.execute("SELECT 1 FROM objects WHERE address = ?", (address,))
            if known.fetchone() is None:
                self.look_at(address)


def read_positions(db: Connection) -> dict[str, Position]:
    """Return how far the catalog has read each segment."""
    rows = db.execute("SELECT name, inode, offset FROM segments")
    return {name: Position(inode, offset) for name, inode, offset in rows}


def write_positions(db: Connection, positions: Mapping[str, Position]) -> None:
    """Record how far each segment has been read."""
    db.executemany(
        "INSERT OR REPLACE INTO segments VALUES (?, ?, ?)",
        ((name, place.inode, place.offset) for name, place in positions.items()),
    )


def fold(folder: Folder, db: Connection, directory: str) -> int:
    """Fold what was appended since; return the number of records. In the caller's transaction.

    Raises:
        JournalGapError: the journal does not tell of every change.
    """
    present = segments(directory)
    batch = Batch()
    done: dict[str, Position] = {}
    count = pending = 0
    # All segments together, as far as memory goes: what one host put and another removed is then
    # seen in one batch and looked at.
    for name, offset in unread(read_positions(db), present):
        records, end = read(directory, name, offset)
        for record in records:
            batch.add(record)
        done[name] = Position(present[name].st_ino, end)
        count += len(records)
        pending += len(records)
        if pending >= BATCH_RECORDS:
            folder.apply(batch)
            batch, pending = Batch(), 0
    folder.apply(batch)
    write_positions(db, done)
    return count


def retirable(
    positions: Mapping[str, Position], present: Mapping[str, os.stat_result], now: float
) -> list[str]:
    """Return the segments that are read to their ends and that nobody writes to any more. Pure."""
    last = {name.rpartition(".")[0]: name for name in present}  # the dict is in order
    found = []
    for name, status in present.items():
        place = positions.get(name)
        age = DEAD_AGE if last[name.rpartition(".")[0]] == name else RETIRE_AGE
        if place and place.offset == status.st_size and now - status.st_mtime > age:
            found.append(name)
    return found


def _is_made(record: Record, named: Named | None) -> bool:
    return not record.address or (named is not None and named.address == record.address)


def _named(record: Record) -> Named:
    return Named(
        record.name,
        address=record.address,
        size=record.size,
        stored=record.time,
        by=record.by,
    )
