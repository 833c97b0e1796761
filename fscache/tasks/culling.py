"""Culling one database: what `fscache.tasks.cull` chooses is dropped, as limits are exceeded."""

from __future__ import annotations

from fscache.tasks.cull import Candidate, choose, excess
from fscache.tasks.living import SUBMITTED
from fscache.tasks.model import BUFFERS, INTS, NULL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from fscache.tasks.core import Core
    from fscache.tasks.cull import Limits

_AGE_INTERVAL = 60  # seconds
_SIZES = [INTS.index(field) for field in BUFFERS]


class Culler:
    """Culls one database; its lock is held whenever a method is called."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._next_age_check = 0

    def cull(self, limits: Limits, keep: str | None = None) -> int:
        """Drop the oldest completed records above the limits, but not `keep`; return how many."""
        core = self._core
        index = core.index
        count, size = excess(limits, self._completed, index.size)
        before = None if limits.age is None else int((core.now() - limits.age) * 1e6)
        if not (count or size or before is not None) or not self._completed:
            return 0
        kept = index.rows.get(keep, -1) if keep is not None else -1
        rows = choose(self._candidates(kept), count, size, before)
        core.drop(rows)
        return len(rows)

    def cull_if_due(self, msg_id: str) -> None:
        """Cull where a limit of the database is exceeded, ages once a minute; but not `msg_id`."""
        core = self._core
        limits = core.limits
        if limits.records is None and limits.size is None and limits.age is None:
            return
        now = int(core.now())
        aged = limits.age is not None and not 0 <= self._next_age_check - now <= _AGE_INTERVAL
        if aged:
            self._next_age_check = now + _AGE_INTERVAL
        elif not any(excess(limits, self._completed, core.index.size)):
            return
        self.cull(limits, msg_id)

    @property
    def _completed(self) -> int:
        # Pending ones do not count: where there are more of them than the limit, whatever completes
        # would be culled at once, before anybody has asked for it.
        index = self._core.index
        return len(index) - len(index.pending)

    def _candidates(self, kept: int) -> Iterator[Candidate]:
        index = self._core.index
        submitted = index.numbers[SUBMITTED]
        sizes = [index.numbers[position] for position in _SIZES]
        untimed = (row for row in index.live_rows() if submitted[row] == NULL)
        for rows in (index.timeline.oldest(), untimed):
            for row in rows:
                if row not in index.pending and row != kept:
                    size = sum(max(column[row], 0) for column in sizes)
                    instant = submitted[row]
                    yield Candidate(row, None if instant == NULL else instant, size)
