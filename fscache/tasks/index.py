"""The index: of every record, what queries ask for most, and where the rest of it lies. In memory.

100,000 records of three frames take about 40 MB. The index is derived from the frames alone, and takes
them in any order: what two processes wrote at the same time is put in the order of its stamps (see
`fscache.tasks.order`). How it lies in memory is told in `fscache.tasks.rows`, how records leave it in
`fscache.tasks.living`.
"""

from __future__ import annotations

from fscache.tasks.fragments import OFFSET_BITS, Fragments
from fscache.tasks.frames import POSITIONS, UPDATE, WHOLE
from fscache.tasks.living import WATCHED, Living
from fscache.tasks.model import FIELDS, INTS, NULL
from fscache.tasks.order import Limbo, in_force

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Collection, Iterable, Sequence
    from typing import Any

    from fscache.tasks.frames import Frame

    Load = Callable[[int, int], Frame | None]
    Seen = tuple[Frame, int, int, int]

_MAX_DEPTH = 0xFFFF


class Index(Living):
    """All records of one database."""

    def __init__(self, load: Load, bury: Callable[[int, int], None]) -> None:
        """Make an empty index.

        Args:
            load: Reads the frame at a place, given its meta bytes, or gives None where it is gone;
                for the rare frames that come out of order, and to learn which objects were named by
                a frame that is given up.
            bury: Is told the place and bytes of every frame that nobody needs any more.
        """
        super().__init__()
        self._load = load
        self.fragments = Fragments(bury)
        self._unnaming: dict[int, str] = {}
        self.references: dict[bytes, int] = {}
        self.extras: set[str] = set()
        self.newest_stamp = 0
        self._newest_added = NULL
        self.limbo = Limbo(bury)

    def known_fields(self) -> Collection[str]:
        """Return the keys that a record may have."""
        return {*FIELDS, *self.extras} if self.extras else FIELDS

    # -- frames in --------------------------------------------------------------------------------

    def apply(self, frame: Frame, where: int, meta: int, blob: int) -> None:
        """Take up a frame of `meta` + `blob` bytes that lies at `where` in the log."""
        stamp = frame.stamp
        if stamp > self.newest_stamp:  # noqa: PLR1730 - a call of max costs ten times this
            self.newest_stamp = stamp
        row = self.rows.get(frame.msg_id)
        if row is None:
            self._apply_unknown(frame, where, meta, blob)
        elif frame.kind == UPDATE and stamp > self.last[row]:
            self._link(row, frame, where, meta, blob)
        elif frame.kind == WHOLE and stamp >= self.last[row] and frame.added == self.added[row]:
            self._release(row)
            self._clear(row, frame.number_mask)
            self._link(row, frame, where, meta, blob)
        else:
            self._merge(row, (frame, where, meta, blob))

    def drop(self, ids: Iterable[str], stamp: int) -> None:
        """Drop the records of `ids`, each given once, that were added before `stamp`: others did so."""
        known, added = self.rows, self.added
        self.vacate(
            [row for msg_id in ids if (row := known.get(msg_id)) is not None and added[row] < stamp]
        )
        self.newest_stamp = max(self.newest_stamp, stamp)

    def drop_rows(self, rows: Sequence[int], stamp: int) -> None:
        """Drop records, each given once, and remember to tell others which objects they named."""
        if 1 in self.referring:
            names = self.ids
            for row in rows:
                if self.referring[row]:
                    self._unnaming[row] = names[row] or ""
        self.vacate(rows)
        self.newest_stamp = max(self.newest_stamp, stamp)

    @property
    def owes(self) -> bool:
        """Whether others are still to be told which objects the records named that were dropped here."""
        return bool(self._unnaming)

    def reap(self, limit: int) -> list[tuple[str, bytes]]:
        """Give back what up to `limit` dropped records held.

        Returns:
            The objects that those of them named that this process has dropped, each with the id.
        """
        unnamed: list[tuple[str, bytes]] = []
        self.tidy(2 * limit)
        for _ in range(min(limit, len(self.unreaped))):
            row = self.unreaped.pop()
            msg_id = self._unnaming.pop(row, None)
            named = self._release(row)
            if msg_id is not None:
                unnamed += [(msg_id, reference) for reference in named]
            self.head[row] = -1
            self.free.append(row)
        return unnamed

    def named_by(self, row: int) -> set[bytes]:
        """Return the objects that a record names."""
        if not self.referring[row]:
            return set()
        return {each for frame, *_ in self._frames_of(row) for each in frame.references}

    def drop_lost(self, segments: Collection[int]) -> None:
        """Drop the records with a frame in one of these segments, which are gone."""
        lost = [
            msg_id
            for msg_id, row in self.rows.items()
            if any(
                where >> OFFSET_BITS in segments
                for where, _, _ in self.fragments.chain(self.head[row])
            )
        ]
        self.drop(lost, self.newest_stamp + 1)

    # -- snapshots --------------------------------------------------------------------------------

    def restore(
        self,
        header: dict[str, Any],
        columns: list[array[int]],
        referring: bytearray,
        ids: list[str | None],
    ) -> None:
        """Take what a snapshot has kept; see `fscache.tasks.snapshot`."""
        self.fragments.restore(self.restore_rows(header, columns, referring, ids))
        self.extras = set(header["extras"])
        self.size = header["size"]
        self.newest_stamp = header["newest"]
        self._newest_added = max(self.added, default=NULL)
        self.limbo.restore(header["dropped"])
        self.revive()

    # -- inside -----------------------------------------------------------------------------------

    def _apply_unknown(self, frame: Frame, where: int, meta: int, blob: int) -> None:
        msg_id = frame.msg_id
        limbo = self.limbo
        if limbo.holds and limbo.is_dropped(msg_id, frame.stamp):
            self.fragments.bury(where, meta + blob)
            return
        if frame.kind == UPDATE:
            limbo.add_orphan((frame, where, meta, blob))
            return
        row = self.new_row(msg_id)
        self.added[row] = added = frame.added or frame.stamp
        if added <= self._newest_added:  # where they are equal, the ids decide
            self.in_order = False
        else:
            self._newest_added = added
        self.pending.add(row)
        self._link(row, frame, where, meta, blob)
        if limbo.holds:
            for seen in limbo.take_orphans(msg_id):
                self.apply(*seen)

    def _link(self, row: int, frame: Frame, where: int, meta: int, blob: int) -> None:
        """Make a frame the newest of a row."""
        fields, number_mask, text_mask = frame.fields, frame.number_mask, frame.text_mask
        self.head[row] = self.fragments.add(where, meta, blob, self.head[row], fields)
        self.last[row] = frame.stamp
        depth = self.depth[row]
        if depth < _MAX_DEPTH:
            self.depth[row] = depth + 1
        self.present[row] = (self.present[row] | fields) & ~frame.nulls
        if number_mask:
            columns = self.numbers
            numbers = frame.numbers
            for at, position in enumerate(POSITIONS[number_mask]):  # zip takes 0.1 µs longer
                value = numbers[at]
                column = columns[position]
                if not WATCHED[position]:
                    column[row] = value
                elif value != (old := column[row]):
                    column[row] = value
                    self.changed(row, position, old, value)
        if text_mask:
            texts = self.texts
            given = frame.texts
            for at, position in enumerate(POSITIONS[text_mask]):
                text = given[at]
                held = texts[position]
                code = held.code_of(text)
                if code is None:
                    held.assign(row, text)
                else:
                    held.codes[row] = code  # as `assign` does it, without a call
        if frame.references:
            self.referring[row] = 1
            for reference in frame.references:
                self.references[reference] = self.references.get(reference, 0) + 1

    def _clear(self, row: int, number_mask: int) -> None:
        """Set all of a row to None; but not the numbers of a mask, which are about to be set."""
        for position in range(len(INTS)):
            if not number_mask >> position & 1:
                self.set_number(row, position, NULL)
        for texts in self.texts:
            texts.assign(row, None)
        self.present[row] = self.depth[row] = self.referring[row] = 0

    def _release(self, row: int) -> list[bytes]:
        """Give up a row's frames; return the objects they named."""
        head = self.head[row]
        named: list[bytes] = []
        if self.referring[row]:
            for frame, *_ in self._frames_of(row):
                self._dereference(frame)
                named += frame.references
        self.fragments.release(head)
        self.head[row] = -1
        return named

    def _dereference(self, frame: Frame) -> None:
        for reference in frame.references:
            left = self.references.get(reference, 0) - 1
            if left > 0:
                self.references[reference] = left
            else:
                self.references.pop(reference, None)

    def _merge(self, row: int, new: Seen) -> None:
        """Take up a frame that is not newer than what the row has."""
        known = self._frames_of(row)
        alive = in_force([*known, new])
        if alive and all(each[1] != new[1] for each in known):
            self._relink(row, known, new, alive)

    def _frames_of(self, row: int) -> list[Seen]:
        chain = self.fragments.chain(self.head[row])
        return [
            (frame, where, meta, blob)
            for where, meta, blob in chain
            if (frame := self._load(where, meta)) is not None
        ]

    def _relink(self, row: int, known: list[Seen], new: Seen, alive: list[Seen]) -> None:
        """Make a row from `alive` alone, which are some of its `known` frames and `new`."""
        self.fragments.free_chain(self.head[row])
        self.head[row] = -1
        self._clear(row, 0)
        places = {where for _, where, _, _ in alive}
        for _, where, meta, blob in [*known, new]:
            if where not in places:
                self.fragments.bury(where, meta + blob)
        self.added[row] = alive[0][0].added or alive[0][0].stamp
        for each in alive:
            self._link(row, *each)
        for frame, *_ in known:  # only now: what is in force must not be found unused in between
            self._dereference(frame)
