"""Frames that come out of order, as the logs of several processes are read one after the other.

- An update of a record that is not known yet waits for it: an orphan.
- A drop is remembered for a while, in case the log with what it drops is read only later.
"""

from __future__ import annotations

from fscache.tasks import frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fscache.tasks.index import Seen

REMEMBER_SECONDS = 60
"""For how long a drop of an unknown record, and an update of one, are remembered."""


class Limbo:
    """What has been read of records that are not known. In memory, young and old."""

    __slots__ = ("_bury", "_dropped", "_orphans", "_turned", "holds")

    def __init__(self, bury: Callable[[int, int], None]) -> None:
        """Remember nothing; `bury` is told the place and bytes of frames nobody needs."""
        self._bury = bury
        self._dropped: list[dict[str, int]] = [{}, {}]
        self._orphans: list[dict[str, list[Seen]]] = [{}, {}]
        self._turned = 0
        self.holds = False
        """Whether anything may be remembered; asked for at each new record, where a call would cost."""

    def remember_drop(self, ids: Iterable[str], stamp: int) -> None:
        """Note a drop that others made: what they dropped may be read only after it."""
        self._dropped[0].update(dict.fromkeys(ids, stamp))
        self.holds = True

    def is_dropped(self, msg_id: str, stamp: int) -> bool:
        """Whether a frame of this stamp came before a drop of its record."""
        young, old = self._dropped
        return stamp <= max(young.get(msg_id, -1), old.get(msg_id, -1))

    def add_orphan(self, seen: Seen) -> None:
        """Let an update wait for its record."""
        self._orphans[0].setdefault(seen[0].msg_id, []).append(seen)
        self.holds = True

    def take_orphans(self, msg_id: str) -> Iterator[Seen]:
        """Give up the updates that waited for a record."""
        for waiting in self._orphans:
            if waiting:
                yield from waiting.pop(msg_id, ())

    @property
    def has_orphans(self) -> bool:
        """Whether any update waits."""
        young, old = self._orphans
        return bool(young or old)

    def turn(self, now: int) -> None:
        """Forget what is old; `now` in microseconds."""
        if not 0 <= now - self._turned < REMEMBER_SECONDS * 1_000_000:
            self._turned = now
            self._dropped = [{}, self._dropped[0]]
            for seen in (each for waiting in self._orphans[1].values() for each in waiting):
                self._bury(seen[1], seen[2] + seen[3])
            self._orphans = [{}, self._orphans[0]]
            self.holds = bool(self._dropped[1] or self._orphans[1])

    def dropped_lately(self) -> list[tuple[str, int]]:
        """Return the drops that are still remembered, for a snapshot."""
        return [pair for each in self._dropped for pair in each.items()]

    def restore(self, dropped: Iterable[tuple[str, int]]) -> None:
        """Take the drops of a snapshot."""
        self._dropped[0] = dict(dropped)
        self.holds = True


def in_force(seen: list[Seen]) -> list[Seen]:
    """Return which frames of a record count, oldest first. Pure.

    A record that was dropped and added again has the frames of the last addition only. What was
    rewritten as a whole stands for everything up to its stamp, which is that of the last change.
    """
    bases = [each for each in seen if each[0].kind != frames.UPDATE]
    if not bases:
        return []  # rewritten into a segment that has not been read yet
    added = max(each[0].added or each[0].stamp for each in bases)
    base = max(
        (each for each in bases if (each[0].added or each[0].stamp) == added),
        key=lambda each: (each[0].stamp, each[0].kind),
    )
    updates = [
        each for each in seen if each[0].kind == frames.UPDATE and each[0].stamp > base[0].stamp
    ]
    return [base, *sorted(updates, key=lambda each: each[0].stamp)]
