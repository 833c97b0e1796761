"""Which records there are, and what is asked of all of them: what is pending, when each was submitted.

Part of the index (`fscache.tasks.index`). Here records leave it, many at once: a controller that is told
to purge everything has 100,000 dropped in one call, and nobody is answered before it returns. What costs
time for each is left to `Index.reap`, in small parts; the rest costs as much as the fewer of those that
go and those that stay.
"""

from __future__ import annotations

from array import array

from fscache.tasks.model import BUFFERS, INTS, NULL
from fscache.tasks.rows import Rows
from fscache.tasks.timeline import Timeline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

SUBMITTED, COMPLETED = INTS.index("submitted"), INTS.index("completed")
FIRST_SIZE = INTS.index(BUFFERS[0])
WATCHED = tuple(field in ("submitted", "completed", *BUFFERS) for field in INTS)
"""By position, the numbers that something depends on."""


class Living(Rows):
    """The records of one database that have not been dropped."""

    def __init__(self) -> None:
        """Have none."""
        super().__init__()
        self.pending: set[int] = set()
        self.timeline = Timeline(self.numbers[SUBMITTED], self.added)
        self.size = 0
        """Bytes of all buffers."""
        self.unreaped: list[int] = []
        """Rows of records that were dropped and still hold what they held."""
        self._litter: tuple[list[str | None], dict[str, int]] = ([], {})

    def set_number(self, row: int, position: int, value: int) -> None:
        """Set a number of a row, and what depends on it."""
        column = self.numbers[position]
        old = column[row]
        if value != old:
            column[row] = value
            if WATCHED[position]:
                self.changed(row, position, old, value)

    def changed(self, row: int, position: int, old: int, value: int) -> None:
        """Take up that a number that is watched was `old`, and is `value`."""
        if position == SUBMITTED:
            self.timeline.change(row, old)
        elif position == COMPLETED:
            if value == NULL:
                self.pending.add(row)
            else:
                self.pending.discard(row)
        else:
            if value > 0:  # NULL is below; calls of max would cost three times this
                self.size += value
            if old > 0:
                self.size -= old

    def vacate(self, rows: Sequence[int]) -> None:
        """Forget the records of rows, each given once; what the rows hold is left to be reaped."""
        if 2 * len(rows) > len(self.rows):
            left = set(range(self.top))
            left.difference_update(rows)
            ids = self.ids
            self._keep({row for row in left if ids[row] is not None})
        else:
            known, names, submitted = self.rows, self.ids, self.numbers[SUBMITTED]
            self.size -= self._size_of(rows)
            timed = 0
            for row in rows:
                del known[names[row]]  # type: ignore[arg-type]  # a row in use has an id
                names[row] = None
                if submitted[row] != NULL:
                    submitted[row] = NULL
                    timed += 1
            self.pending.difference_update(rows)
            self.timeline.forget(timed)
        self.unreaped += rows

    def tidy(self, limit: int) -> None:
        """Give back up to `limit` of the ids that have gone: 100,000 at once would take 20 ms."""
        ids, rows = self._litter
        del ids[-limit:]
        for _ in range(min(limit, len(rows))):
            rows.popitem()

    def revive(self) -> None:
        """Make out anew what follows from the columns: they come from a snapshot."""
        completed = self.numbers[COMPLETED]
        self.pending = {row for row in self.rows.values() if completed[row] == NULL}
        self.timeline = Timeline(self.numbers[SUBMITTED], self.added)
        self.timeline.rebuild()
        free = set(self.free)
        if len(free) + len(self.rows) < self.top:
            ids = self.ids
            self.unreaped = [row for row in range(self.top) if ids[row] is None and row not in free]

    # -- inside ---------------------------------------------------------------------------------

    def _keep(self, left: set[int]) -> None:
        """Forget all records but those of some rows."""
        ids, submitted = self.ids, self.numbers[SUBMITTED]
        instants = [(row, submitted[row]) for row in left]
        submitted[:] = array("q", [NULL]) * len(submitted)
        for row, instant in instants:
            submitted[row] = instant
        self._litter = ids, self.rows
        self.ids = [None] * len(ids)
        self.rows = {}
        for row in left:
            self.ids[row] = msg_id = ids[row]
            self.rows[msg_id] = row  # type: ignore[index]
        self.size = self._size_of(left)
        self.pending &= left
        self.timeline.rebuild(left)

    def _size_of(self, rows: Sequence[int] | set[int]) -> int:
        first, second = (self.numbers[position] for position in (FIRST_SIZE, FIRST_SIZE + 1))
        return sum(max(first[row], 0) + max(second[row], 0) for row in rows)
