"""From a record's frames back to its keys and values."""

from __future__ import annotations

from collections import OrderedDict

from fscache.errors import CorruptObjectError, NoSuchTaskError
from fscache.tasks import bodies, frames, values
from fscache.tasks.buffers import Buffers
from fscache.tasks.columns import ELSEWHERE_CODE
from fscache.tasks.model import BUFFERS, DATES, EMPTY, INTS, NULL, TEXTS, to_datetime
from fscache.tasks.plans import BITS, OTHER_FIELDS
from fscache.tasks.writing import APPENDED, MOVED
from fscache.telling import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from fscache.tasks.frames import Frame
    from fscache.tasks.index import Index
    from fscache.tasks.model import Record
    from fscache.tasks.parts import Keeper

_DATE_COLUMNS = [(field, INTS.index(field)) for field in DATES]
_TEXT_COLUMNS = list(enumerate(TEXTS))
_COLUMNS = frozenset(("msg_id", *DATES, *TEXTS))
_ALL = 0xFFFFFFFF
_IN_JSON = _ALL & ~sum(BITS[field] for field in _COLUMNS)
"""The fields that only a frame's JSON has."""
_MEMORIZED = 16  # records
_LONG_CHAIN = 8  # frames


class Reader:
    """Reads the records of one index."""

    def __init__(
        self,
        index: Index,
        read: Callable[[int, int], bytes],
        keeper: Keeper,
        again: Callable[[str, str], object],
    ) -> None:
        """Read records.

        Args:
            index: Says where they are.
            read: Returns bytes of the log at a place; raises FileNotFoundError where it is gone.
            keeper: Has what was too long for the log.
            again: Returns the value of a record's key as it is now, wherever the record has moved;
                raises NoSuchTaskError.
        """
        self._index = index
        self._read = read
        self._keeper = keeper
        self._again = again
        self._passed_over: set[int] = set()
        self._memory: OrderedDict[int, tuple[tuple[int, int], bytes, Record]] = OrderedDict()

    def frame(self, where: int, meta: int) -> Frame:
        """Return the frame at a place, without its blob part.

        Raises:
            FileNotFoundError: its segment is gone.
            CorruptObjectError: its bytes are damaged.
        """
        try:
            return frames.decode(self._read(where, meta))
        except frames.BadFrameError as exc:
            raise _corrupt(where, exc) from exc

    def record(self, row: int, keys: Sequence[str] | None = None) -> Record:
        """Return a record, or these keys of it. The caller may change what it is given."""
        index = self._index
        if keys is not None:
            if self.in_columns(row, keys):
                return {key: self._column(row, key) for key in keys}
            found = self.values(row, _mask(keys))
            return {
                key: self._column(row, key) if self.in_columns(row, (key,)) else found.get(key)
                for key in keys
            }
        record: Record = EMPTY | self.values(row)
        record["msg_id"] = index.ids[row]
        for field, position in _DATE_COLUMNS:
            instant = index.numbers[position][row]
            record[field] = None if instant == NULL else to_datetime(instant)
        for position, field in _TEXT_COLUMNS:
            column = index.texts[position]
            if column.codes[row] != ELSEWHERE_CODE:
                record[field] = column.get(row)
        return record

    def in_columns(self, row: int, keys: Sequence[str]) -> bool:
        """Whether the index alone has these keys of a record."""
        index = self._index
        present = index.present[row]
        for key in keys:
            if key in _COLUMNS:
                if key in TEXTS:
                    column = index.texts[TEXTS.index(key)]
                    if column.codes[row] == ELSEWHERE_CODE:
                        return False
            elif key not in BITS or present & BITS[key]:
                return False
        return True

    def columns(self, rows: Sequence[int], keys: Sequence[str]) -> list[list[object]] | None:
        """Return these keys of many records, key by key; None where the index does not have them."""
        index = self._index
        found: list[list[object]] = []
        for key in keys:
            if key == "msg_id":
                found.append([index.ids[row] for row in rows])
            elif key in DATES:
                column = index.numbers[INTS.index(key)]
                found.append([
                    None if (instant := column[row]) == NULL else to_datetime(instant)
                    for row in rows
                ])  # fmt: skip
            elif key in TEXTS:
                texts = index.texts[TEXTS.index(key)]
                if texts.has_elsewhere:
                    return None
                found.append([texts.get(row) for row in rows])
            else:
                return None
        return found

    def _column(self, row: int, key: str) -> object:
        index = self._index
        if key == "msg_id":
            return index.ids[row]
        if key in TEXTS:
            return index.texts[TEXTS.index(key)].get(row)
        if key in DATES:
            instant = index.numbers[INTS.index(key)][row]
            return None if instant == NULL else to_datetime(instant)
        return None

    def values(self, row: int, fields: int = _ALL) -> Record:
        """Return what of a record is not in columns: all of it, or at least these fields.

        Only frames that say something of them are read: an update that gave the task to an engine
        is a third of all frames, and is in columns.
        """
        index = self._index
        if self._memory:
            known = self._memory.get(row)
            if known is not None and known[0] == self._state(row):
                self._memory.move_to_end(row)
                plain: Any = values.decode(known[1])
                return {**plain, **known[2]}
        everything = fields == _ALL
        if everything:
            fields = _IN_JSON
            for position, field in _TEXT_COLUMNS:
                column = index.texts[position]
                if column.has_elsewhere and column.codes[row] == ELSEWHERE_CODE:
                    fields |= BITS[field]
        found: Record = {}
        if not fields & index.present[row]:
            return found
        chain = index.fragments.saying(index.head[row], fields)
        for place in chain:
            self._add(found, index.ids[row], place)
        if everything and len(chain) > _LONG_CHAIN:
            self._remember(row, found)
        return found

    def _state(self, row: int) -> tuple[int, int]:
        # The stamp too: a dropped record's row and fragments are used again.
        return self._index.head[row], self._index.last[row]

    def text(self, row: int, key: str) -> str:
        """Return a text of a record that grows; what was found is remembered for the next time."""
        found = self.values(row)
        if row not in self._memory or self._memory[row][0] != self._state(row):
            self._remember(row, found)
        text = found.get(key)
        return text if isinstance(text, str) else ""

    def _remember(self, row: int, found: Record) -> None:
        """Keep a record's values in memory, for as long as no frame is added to it.

        A task that prints asks for its record, and adds a frame to it, at each line: reading all its
        frames each time would be quadratic.
        """
        fixed: Record = {
            key: value
            for key, value in found.items()
            if value.__class__ is str or value.__class__ is Buffers
        }
        plain = {key: value for key, value in found.items() if key not in fixed}
        self._memory[row] = (self._state(row), values.encode(plain), fixed)
        self._memory.move_to_end(row)
        if len(self._memory) > _MEMORIZED:
            self._memory.popitem(last=False)

    def replace_texts(self, row: int, texts: Record) -> None:
        """Take up that a remembered record's newest frame changes these texts and nothing else."""
        known = self._memory.get(row)
        if known is not None:
            self._memory[row] = (self._state(row), known[1], {**known[2], **texts})

    def _add(self, found: Record, msg_id: str | None, place: tuple[int, int, int]) -> None:
        """Add what a frame says to what those before it said."""
        where, meta, _ = place
        try:
            json, head, at = frames.body_of(self._read(where, meta))
        except frames.BadFrameError as exc:
            raise _corrupt(where, exc) from exc
        if not json:
            return
        try:
            body = bodies.read(json, str(msg_id), frames.texts_of(head, at))
            if MOVED in body:
                for key, (address, slot, _) in body.pop(MOVED).items():
                    body[key] = values.decode(self._keeper.read(address, slot))
        except ValueError as exc:
            self._pass_over(where, msg_id, exc)
            return
        offset = 0
        for key in BUFFERS:
            parts = body.get(key)
            if parts:
                body[key] = self._buffers(parts, offset, place, (str(msg_id), key))
                offset += sum(part for part in parts if part.__class__ is int)
        if APPENDED in body:
            for key, (length, text) in body.pop(APPENDED).items():
                before = found.get(key)
                body[key] = (before[:length] if isinstance(before, str) else "") + text
        found.update(body)

    def _pass_over(self, where: int, msg_id: str | None, exc: ValueError) -> None:
        """Warn once of a frame without a body; an error would keep all records from who asks for all."""
        if where not in self._passed_over:
            self._passed_over.add(where)
            warn("task log at %#x: passed over what is said of task %r: %s", where, msg_id, exc)

    def _buffers(
        self,
        parts: list[Any],
        offset: int,
        place: tuple[int, int, int],
        name: tuple[str, str],
    ) -> Buffers:
        """Return the buffers of a record's key.

        Args:
            parts: As the frame has them: bytes in its blob part, or address, slot and bytes.
            offset: Where in the blob part they begin.
            place: The frame's.
            name: The record's id and the key.
        """
        sizes = [part if isinstance(part, int) else part[2] for part in parts]

        def load(number: int) -> bytes:
            part = parts[number]
            if not isinstance(part, int):
                return self._keeper.read(part[0], part[1])
            if not part:
                return b""
            start = offset + sum(each for each in parts[:number] if isinstance(each, int))
            try:
                return self._blob(place)[start : start + part]
            except FileNotFoundError:
                fresh = self._again(*name)
                if isinstance(fresh, Buffers) and list(fresh.sizes) == sizes:
                    return fresh[number]
                raise NoSuchTaskError(name[0]) from None

        places = [None if isinstance(part, int) else (part[0], part[1]) for part in parts]
        return Buffers(sizes, load, self._keeper, places, name[0])

    def _blob(self, place: tuple[int, int, int]) -> bytes:
        where, meta, blob = place
        data = self._read(where, meta + blob)
        checksum = frames.blob_checksum(data[frames.PREFIX.size : meta])
        if len(data) != meta + blob or checksum != frames.checksum(data[meta:]):
            raise CorruptObjectError(path=f"task log at {where:#x}", why="damaged buffers")
        return data[meta:]


def _mask(keys: Sequence[str]) -> int:
    """Return the bits of fields."""
    found = 0
    for key in keys:
        found |= BITS.get(key, OTHER_FIELDS)
    return found


def _corrupt(where: int, exc: ValueError) -> CorruptObjectError:
    return CorruptObjectError(path=f"task log at {where:#x}", why=str(exc))
