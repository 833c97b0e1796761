"""The working parts of a task database: log, index and reader, brought together.

All methods expect the caller (`fscache.tasks.database`) to hold `Core.lock`.
"""

from __future__ import annotations

import os
import threading
from typing import TypeVar

from fscache.errors import NoSuchTaskError
from fscache.tasks import bodies, frames
from fscache.tasks.fragments import OFFSET_BITS
from fscache.tasks.index import Index
from fscache.tasks.model import BUFFERS, INTS
from fscache.tasks.plans import BITS, OTHER_FIELDS
from fscache.tasks.reading import Reader
from fscache.tasks.writing import APPENDED, MOVED, make_frame
from fscache.telling import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from fscache.tasks.cull import Limits
    from fscache.tasks.frames import Frame
    from fscache.tasks.parts import Keeper, Log

T = TypeVar("T")
_GROWING = ("stdout", "stderr")
_MIN_GROWN = 64  # characters below which a text is written anew instead of what was added to it
# A record is rewritten when it has more frames than this, and one more for so many characters of a
# growing text: the bytes rewritten are then about as many as were appended.
_DEEP = 32
_CHARACTERS_A_FRAME = 256
_MAX_DEEP = 60_000
_EXACT_DROPS = 1000  # records above which a drop names all segments instead of each record's
_SIZES = [(field, INTS.index(field)) for field in BUFFERS]


class Core:
    """Log, index and reader of one database."""

    def __init__(
        self,
        log: Log,
        keeper: Keeper,
        *,
        now: Callable[[], float],
        limits: Limits,
        load: Callable[[Index], object] | None = None,
    ) -> None:
        """Bring them together; `load` fills the empty index from a snapshot, before the first look."""
        self.log = log
        self.keeper = keeper
        self.now = now
        self.limits = limits
        self.index = Index(self._load, log.bury)
        self.reader = Reader(self.index, log.read, keeper, self._value_of)
        self.lock = threading.RLock()
        self.changes = 0
        """Frames written since upkeep last looked."""
        self.since_snapshot = 0
        """Frames taken up since the last snapshot of the index."""
        self._load_snapshot = load

    # -- what others have written ---------------------------------------------------------------

    def refresh(self) -> None:
        """Take up what other processes have written."""
        if self.log.is_quiet():
            return
        index = self.index
        if self._load_snapshot is not None:
            load, self._load_snapshot = self._load_snapshot, None
            load(index)
        for seen in self.log.poll():
            self.since_snapshot += 1
            frame = seen[0]
            if frame.kind == frames.DROP:
                self._take_drop(*seen)
            elif frame.kind <= frames.WHOLE:
                if frame.fields & OTHER_FIELDS:
                    self._learn(bodies.other_keys(frame))
                index.apply(*seen)
        index.limbo.turn(int(self.now() * 1e6))
        lost = self.log.lost()
        if lost:
            index.drop_lost(lost)
            lost.clear()

    def _take_drop(self, frame: Frame, where: int, meta: int, blob: int) -> None:
        """Take up that others have dropped records."""
        index = self.index
        self.log.bury_drop(where, meta + blob)
        missed = []
        groups = bodies.drops(frame)
        if not groups:
            warn("task log at %#x: skipped what says that nothing was dropped", where)
        own = self.log.own_name
        for names, ids in groups:
            index.limbo.remember_drop(ids, frame.stamp)
            if own is not None and own not in names:
                rows = map(index.rows.get, ids)
                missed += [row for row in rows if row is not None and self._is_news(row, names)]
        if missed:
            # They were rewritten into our segment while the other dropped them. The other's frame
            # goes when the segments go that it names, and ours must not outlive it: say it again.
            self._append_drop(missed, frame.stamp)
        for _, ids in groups:
            index.drop(dict.fromkeys(ids), frame.stamp)

    def _is_news(self, row: int, names: Iterable[str]) -> bool:
        chain = self.index.fragments.chain(self.index.head[row])
        own = {
            where >> OFFSET_BITS for where, _, _ in chain if self.log.is_own(where >> OFFSET_BITS)
        }
        return not set(self.log.names(own)) <= set(names)

    # -- reading --------------------------------------------------------------------------------

    def row(self, msg_id: str) -> int:
        """Return the row of an id; raises NoSuchTaskError."""
        row = self.index.rows.get(msg_id) if isinstance(msg_id, str) else None
        if row is None:
            raise NoSuchTaskError(str(msg_id))
        return row

    def still(self, read: Callable[[], T]) -> T:
        """Read; once more where a record was rewritten by another process just now."""
        try:
            return read()
        except FileNotFoundError:
            self.refresh()
            return read()

    def _value_of(self, msg_id: str, key: str) -> object:
        with self.lock:  # a buffer is read when its owner wants it, in any thread
            self.refresh()
            return self.reader.record(self.row(msg_id), (key,))[key]

    def _load(self, where: int, meta: int) -> Frame | None:
        try:
            return self.reader.frame(where, meta)
        except FileNotFoundError:
            return None

    def is_own(self, row: int) -> bool:
        """Whether all that is kept of a record was written by this user, or by root."""
        index = self.index
        owners = {self.log.owner(where) for where, *_ in index.fragments.chain(index.head[row])}
        for reference in index.named_by(row):
            owners.add(self.keeper.owner(*frames.unpack_reference(reference)))
        return owners <= {os.getuid(), 0}

    # -- writing --------------------------------------------------------------------------------

    def write(
        self,
        kind: int,
        msg_id: str,
        record: Mapping[str, Any],
        *,
        appended: Mapping[str, tuple[int, str]] | None = None,
        stamp: int = 0,
        added: int = 0,
    ) -> None:
        """Append a frame and take it up; see `make_frame`."""
        if not stamp:
            stamp = self._stamp()
        keeper = self.keeper
        try:
            frame = make_frame(kind, stamp, msg_id, record, keeper, appended, added)
            data, meta = frames.encode(frame)
            where = self.log.append(data, stamp)
        finally:
            if keeper.busy:
                keeper.end()
        if frame.fields & OTHER_FIELDS:
            self._learn(record)
        self.index.apply(frame, where, meta, len(frame.blob))
        self.changes += 1
        self.since_snapshot += 1

    def update(self, msg_id: str, record: Mapping[str, Any]) -> None:
        """Change some keys of a record."""
        index = self.index
        row = index.rows[msg_id]
        if "buffers" in record or "result_buffers" in record:
            for field, position in _SIZES:
                if field in record and index.numbers[position][row] > 0:
                    self.rewrite(row, record)  # or the buffers that are replaced would be kept on
                    return
        length = 0
        if "stdout" in record or "stderr" in record:
            length = self._update_texts(row, msg_id, record)
        else:
            self.write(frames.UPDATE, msg_id, record)
        depth = index.depth[row]
        if depth > _DEEP and depth > min(_DEEP + length // _CHARACTERS_A_FRAME, _MAX_DEEP):
            self.rewrite(row)

    def _update_texts(self, row: int, msg_id: str, record: Mapping[str, Any]) -> int:
        """Write an update of texts that grow: only what was added; return the length before it."""
        appended: dict[str, tuple[int, str]] = {}
        for field in _GROWING:
            value = record.get(field)
            if isinstance(value, str) and len(value) > _MIN_GROWN and self._has(row, field):
                before = self.reader.text(row, field)
                if before and value.startswith(before):
                    appended[field] = (len(before), value[len(before) :])
        rest = {key: value for key, value in record.items() if key not in appended}
        self.write(frames.UPDATE, msg_id, rest, appended=appended)
        if appended and not rest:
            self.reader.replace_texts(row, dict(record))
        return sum(start for start, _ in appended.values())

    def rewrite(self, row: int, changes: Mapping[str, Any] | None = None) -> None:
        """Write a record as a whole, with some keys changed, and give up its frames."""
        index = self.index
        self.refresh()  # a frame of another process that is not in it would be lost
        msg_id = index.ids[row]
        if msg_id is None:
            return
        record = {key: value for key, value in self.reader.record(row).items() if value is not None}
        before = set()
        stamp = index.last[row]
        if changes:
            before = index.named_by(row)
            record.update(changes)
            stamp = self._stamp()
        self.write(frames.WHOLE, msg_id, record, stamp=stamp, added=index.added[row])
        self.give_up((msg_id, each) for each in before - index.named_by(row))

    def give_up(self, unnamed: Iterable[tuple[str, bytes]]) -> None:
        """Note that records, by their ids, no longer name objects."""
        for msg_id, reference in unnamed:
            address, slot = frames.unpack_reference(reference)
            self.keeper.unname(msg_id, address, slot)
            if reference not in self.index.references:
                self.keeper.discard(address, slot)

    def drop(self, rows: Sequence[int]) -> None:
        """Drop records."""
        if not rows:
            return
        stamp = self._stamp()
        self._append_drop(rows, stamp)
        self.index.drop_rows(rows, stamp)

    def copy_drop(self, groups: Sequence[tuple[list[str], list[str]]], stamp: int) -> None:
        """Say again what has been dropped, and from which segments."""
        frame = frames.Frame(frames.DROP, stamp, "", json=bodies.encode_drops(groups))
        data, meta = frames.encode(frame)
        self.log.bury_drop(self.log.append(data, stamp), meta)

    def _append_drop(self, rows: Sequence[int], stamp: int) -> None:
        index = self.index
        ids = index.ids
        groups: dict[frozenset[int] | None, list[str]] = {}
        if len(rows) > _EXACT_DROPS:
            groups[None] = list(map(ids.__getitem__, rows))  # type: ignore[arg-type]  # all have one
        else:
            for row in rows:
                msg_id = ids[row]
                if msg_id is not None:
                    chain = index.fragments.chain(index.head[row])
                    places = frozenset(where >> OFFSET_BITS for where, _, _ in chain)
                    groups.setdefault(places, []).append(msg_id)
        self.copy_drop([(self.log.names(places), ids) for places, ids in groups.items()], stamp)
        self.changes += 1

    def _stamp(self) -> int:
        # Later than whatever anybody has seen, also where the clocks of two hosts differ.
        stamp = int(self.now() * 1e6)
        newest = self.index.newest_stamp
        return stamp if stamp > newest else newest + 1

    def _has(self, row: int, field: str) -> bool:
        return bool(self.index.present[row] & BITS[field])

    def _learn(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in BITS and name not in (APPENDED, MOVED):
                self.index.extras.add(name)
