"""Rows and columns: a record is a row, a column holds one thing of all rows. In memory.

Columns are arrays, for their size: 100,000 records as Python objects would take 300 MB. A row that is
given back is used again.
"""

from __future__ import annotations

from array import array
from itertools import islice
from operator import eq

from fscache.tasks.columns import TextColumn
from fscache.tasks.model import INTS, NULL, TEXTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

_GROWTH = 256  # rows
_NO_IDS = [None] * _GROWTH
_NULLS = array("q", [NULL] * _GROWTH).tobytes()
_NO_HEADS = array("i", [-1] * _GROWTH).tobytes()
_ZEROS = bytes(8 * _GROWTH)


class Rows:
    """The rows of one database."""

    def __init__(self) -> None:
        """Have none."""
        self.rows: dict[str, int] = {}
        self.ids: list[str | None] = []
        self.top = 0
        """Rows that have ever been used; those above it are empty."""
        self.numbers = [array("q") for _ in INTS]
        self.texts = [TextColumn() for _ in TEXTS]
        self.present = array("I")
        """A bit for each field that is not None."""
        self.added = array("q")
        self.last = array("q")
        """The stamp of the newest frame."""
        self.head = array("i")
        """The newest fragment."""
        self.depth = array("H")
        self.referring = bytearray()
        """Whether any frame of the row names objects."""
        self.free: list[int] = []
        self.in_order = True
        """Whether rows are numbered in the order in which their records were added."""

    def __len__(self) -> int:
        return len(self.rows)

    def live_rows(self) -> Sequence[int]:
        """Return all rows."""
        if self.top == len(self.rows):
            return range(self.top)
        return [row for row, msg_id in enumerate(self.ids) if msg_id is not None]

    def by_addition(self, rows: Iterable[int]) -> list[int]:
        """Return rows in the order in which their records were added.

        What several processes added in one microsecond is put in the order of the ids: whoever reads
        the segments, and in whatever order they came to be seen, finds the same.
        """
        added = self.added
        found = sorted(rows, key=added.__getitem__)
        stamps = list(map(added.__getitem__, found))
        if any(map(eq, stamps, islice(stamps, 1, None))):
            ids = self.ids
            found.sort(key=lambda row: (added[row], ids[row] or ""))
        return found

    def new_row(self, msg_id: str) -> int:
        """Return a row for a new record; all is None in it, but for what `added` says."""
        if self.free:
            row = self.free.pop()
            self.in_order = False
            self.ids[row] = msg_id
            for column in self.numbers:
                column[row] = NULL
            for texts in self.texts:
                texts.assign(row, None)
            self.present[row] = self.depth[row] = self.referring[row] = 0
        else:
            row = self.top
            if row == len(self.ids):
                self._grow()
            self.top += 1
            self.ids[row] = msg_id
        self.rows[msg_id] = row
        return row

    def _grow(self) -> None:
        """Make room for more rows, many at a time: adding one to each of twenty arrays takes 3 µs."""
        self.ids += _NO_IDS
        for column in self.numbers:
            column.frombytes(_NULLS)
        for texts in self.texts:
            texts.codes.frombytes(_ZEROS[: _GROWTH * texts.codes.itemsize])
        for column in (self.present, self.added, self.last, self.depth):
            column.frombytes(_ZEROS[: _GROWTH * column.itemsize])
        self.head.frombytes(_NO_HEADS)
        self.referring += _ZEROS[:_GROWTH]

    def restore_rows(
        self,
        header: dict[str, Any],
        columns: list[array[int]],
        referring: bytearray,
        ids: list[str | None],
    ) -> list[array[int]]:
        """Take what a snapshot has kept of the rows; return the columns that are left."""
        rest = iter(columns)
        self.numbers = [next(rest) for _ in INTS]
        for texts, known in zip(self.texts, header["texts"], strict=True):
            texts.restore(next(rest), known)
        self.present, self.added, self.last, self.head, self.depth = (next(rest) for _ in range(5))
        self.referring = referring
        self.ids = ids
        self.top = header["top"]
        self.rows = {msg_id: row for row, msg_id in enumerate(ids) if msg_id is not None}
        self.free = header["free"]
        self.in_order = header["in_order"]
        return list(rest)
