"""Reading the journal: from a position in each segment to what was appended since.

A reader keeps no lock and disturbs nobody. What it cannot read as a record it tells apart:

- the last piece of a segment may still be being written: it is left for the next time;
- a piece in the midst that is no record is a change that nobody can tell any more, as is a segment
  that was removed before it was read: `JournalGapError`, and the catalog is rebuilt from the files.
"""

from __future__ import annotations

import os
from stat import S_ISREG

from xxhash import xxh3_64_hexdigest

from fscache.records.entryfile import read_small
from fscache.records.journal import BORN, COMPLETE, parse_segment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_TAIL = 256 * 1024  # longer than any record: names are at most 64 KiB


class JournalGapError(Exception):
    """The journal does not tell of every change; the message says why. Never leaves this package."""


class Record:
    """One change, as it was appended."""

    __slots__ = ("address", "by", "kind", "name", "op", "size", "time")

    def __init__(  # noqa: PLR0917 - one caller, a hundred thousand times a fold
        self, op: str, kind: str, time: float, name: str, address: str, size: int, by: str
    ) -> None:
        """Describe a change; see `Journal.append` for the fields."""
        self.op = op
        self.kind = kind
        self.time = time
        self.name = name
        self.address = address
        self.size = size
        self.by = by

    def __repr__(self) -> str:
        return f"Record({self.op} {self.kind} {self.name} {self.address} {self.size})"


class Position:
    """How far one segment has been read."""

    __slots__ = ("inode", "offset")

    def __init__(self, inode: int, offset: int) -> None:
        """Stand at `offset` of the segment that is file `inode`."""
        self.inode = inode
        self.offset = offset

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Position)
            and other.inode == self.inode
            and other.offset == self.offset
        )

    def __hash__(self) -> int:
        return hash((self.inode, self.offset))


def journal_id(directory: str) -> str:
    """Return the id of a journal that is complete; empty if it is not."""
    return _small(f"{directory}/{COMPLETE}")


def is_born(directory: str) -> bool:
    """Whether the journal alone tells of every change since the root was made."""
    known = journal_id(directory)
    return bool(known) and _small(f"{directory}/{BORN}") == known


def _small(path: str) -> str:
    try:
        return read_small(path).decode("ascii", "replace")
    except OSError:
        return ""


def segments(directory: str) -> dict[str, os.stat_result]:
    """Return name and status of every segment, oldest of each chain first."""
    found = {}
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return {}
    for name in sorted(names):
        if parse_segment(name)[0]:
            try:
                status = os.lstat(f"{directory}/{name}")
            except FileNotFoundError:
                continue  # retired between the two calls
            if S_ISREG(status.st_mode):  # a directory of such a name stopped every command
                found[name] = status
    return found


def unread(
    positions: dict[str, Position], present: dict[str, os.stat_result]
) -> list[tuple[str, int]]:
    """Return what has grown since: segment and the offset to read from. Pure.

    Raises:
        JournalGapError: a segment is gone, shorter, or another file of the same name.
    """
    for name, position in positions.items():
        status = present.get(name)
        if status is None:
            raise JournalGapError(f"segment {name} is gone")
        if status.st_ino != position.inode or status.st_size < position.offset:
            raise JournalGapError(f"segment {name} is not the one that was read")
    grown = []
    for name, status in present.items():
        read_to = positions.get(name)
        offset = read_to.offset if read_to else 0
        if status.st_size > offset:
            grown.append((name, offset))
    return grown


def read(directory: str, name: str, offset: int) -> tuple[list[Record], int]:
    """Return the records of a segment from an offset on, and the offset behind them.

    Raises:
        JournalGapError: there are bytes that are no record.
    """
    with open(f"{directory}/{name}", "rb", buffering=0) as file:
        file.seek(offset)
        data = file.read()
    end = len(data)
    pieces = data.split(b"\n")
    if pieces[0]:
        raise JournalGapError(f"segment {name} does not begin a record at {offset}")
    records = []
    last = len(pieces) - 1
    for index in range(1, last + 1):
        record = decode(pieces[index])
        if record is not None:
            records.append(record)
        elif index == last:
            end -= len(pieces[index]) + 1
        else:
            raise JournalGapError(f"segment {name} has a damaged record")
    return records, offset + end


def decode(piece: bytes) -> Record | None:
    """Return the record of a line, None if it is none."""
    rest = piece[16:]
    if xxh3_64_hexdigest(rest).encode("ascii") != piece[:16]:
        return None
    words = rest.decode("utf-8", "surrogateescape").split(" ", 7)
    try:
        _, op, kind, time, address, size, by, name = words
        if "\\" in name:
            name = _unescape(name)
        return Record(
            op,
            kind,
            float(time),
            name,
            "" if address == "-" else address,
            int(size),
            "" if by == "-" else by,
        )
    except ValueError:
        return None  # of a later version: as unreadable as a damaged one


def ends(directory: str) -> dict[str, Position]:
    """Return a position at the end of every segment: for a reader that begins now."""
    found = {}
    for name, status in segments(directory).items():
        start = max(0, status.st_size - _TAIL)
        with open(f"{directory}/{name}", "rb", buffering=0) as file:
            file.seek(start)
            tail = file.read(status.st_size - start)
        last = tail.rfind(b"\n")
        # Behind the last record if it is whole, and before it while it is being written.
        whole = last >= 0 and decode(tail[last + 1 :]) is not None
        found[name] = Position(status.st_ino, start + (len(tail) if whole else max(last, 0)))
    return found


class Follower:
    """Reads what is appended from now on; several readers of one journal do not know each other."""

    __slots__ = ("_directory", "_id", "_positions")

    def __init__(self, directory: str, positions: dict[str, Position], journal_id: str) -> None:
        """Follow from `positions`, which belong to the journal of this id."""
        self._directory = directory
        self._positions = dict(positions)
        self._id = journal_id

    def read(self) -> Iterator[Record]:
        """Yield what was appended since the last call.

        Raises:
            JournalGapError: not every change can be told.
        """
        if journal_id(self._directory) != self._id or not self._id:
            raise JournalGapError("the journal is not complete")
        present = segments(self._directory)
        for name, offset in unread(self._positions, present):
            records, end = read(self._directory, name, offset)
            self._positions[name] = Position(present[name].st_ino, end)
            yield from records


def _unescape(name: str) -> str:
    pieces: Iterable[str] = name.split("\\\\")
    return "\\".join(piece.replace("\\n", "\n") for piece in pieces)
