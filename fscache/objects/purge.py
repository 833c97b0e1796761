"""What a purge takes: the plan. Pure: state in, verdicts out; nothing here touches the disk.

Least recently used first. Two reasons to take an object: it was not asked for since `older_than`, or
room is needed. Three to spare it whatever the need: it is pinned, leased, or younger than the grace
time since its last access. (A fourth lies in whoever asks: what key-values and tasks name is never
offered.)

Limits have a high and a low mark. Nothing is taken for room before the high one is passed; then as much
as brings the root down to the low one, so that a full cache is not purged at every put.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

TAKE = "take"
PINNED = "pinned"
LEASED = "leased"
YOUNG = "young"
FORBIDDEN = "not ours to remove"
GONE = "gone already"
STOP = "stop"


class Candidate(NamedTuple):
    """An object that may be purged.

    Attributes:
        address: With its slot.
        size: Its bytes.
        disk: The bytes that removing it gives back to the file system.
        accessed: Its last access, seconds since the epoch.
        pinned: Whether an administrator keeps it.
    """

    address: str
    size: int
    disk: int
    accessed: float
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """When to take what; `None` means "not for this reason".

    Attributes:
        older_than: Take what was not asked for in so many seconds.
        max_size: The most bytes of objects.
        min_free: The least free bytes of the file system.
        low_water: Once a limit is passed, the share of what it allows to come down to.
        grace: Seconds since the last access below which nothing is taken.
    """

    older_than: float | None = None
    max_size: int | None = None
    min_free: int | None = None
    low_water: float = 1.0
    grace: float = 3600.0


@dataclass(frozen=True, slots=True)
class Room:
    """What there is.

    Attributes:
        used: Bytes of all objects.
        free: Free bytes of the file system.
        total: Bytes of the file system.
        incoming: Bytes that are about to be written.
    """

    used: int
    free: int
    total: int
    incoming: int = 0


def needed(policy: Policy, room: Room) -> tuple[int, int]:
    """Return how many bytes of objects, and of disk blocks, a purge has to free for its limits."""
    objects = disk = 0
    if policy.max_size is not None:
        used = room.used + room.incoming
        if used > policy.max_size:
            objects = used - int(policy.max_size * policy.low_water)
    if policy.min_free is not None:
        free = room.free - room.incoming
        if free < policy.min_free:
            taken = room.total - policy.min_free
            disk = room.total - int(taken * policy.low_water) - free
    return objects, disk


@dataclass(slots=True)
class Purger:
    """Decides about one candidate after the other, the least recently used first.

    Attributes:
        policy: When to take what.
        now: Seconds since the epoch.
        objects_needed: Bytes of objects still to be freed.
        disk_needed: Bytes of blocks still to be freed.
        taken: Objects taken.
        freed: Their bytes.
        spared: Objects spared, by reason.
    """

    policy: Policy
    now: float
    objects_needed: int
    disk_needed: int
    taken: int = 0
    freed: int = 0
    spared: dict[str, int] = field(default_factory=dict)

    def judge(self, candidate: Candidate) -> str:
        """Return TAKE, PINNED, or YOUNG or STOP, after which no later candidate will be taken."""
        age = self.now - candidate.accessed
        older_than = self.policy.older_than
        old = older_than is not None and age >= older_than
        if not old and not self.short:
            return STOP
        if age < self.policy.grace:
            return YOUNG
        return PINNED if candidate.pinned else TAKE

    @property
    def short(self) -> bool:
        """Whether room is still needed."""
        return self.objects_needed > 0 or self.disk_needed > 0

    def take(self, candidate: Candidate) -> None:
        """Count a candidate as taken."""
        self.taken += 1
        self.freed += candidate.size
        self.objects_needed -= candidate.size
        self.disk_needed -= candidate.disk

    def give_back(self, candidate: Candidate) -> None:
        """Count a candidate that was taken as spared after all; `spare` says why."""
        self.taken -= 1
        self.freed -= candidate.size
        self.objects_needed += candidate.size
        self.disk_needed += candidate.disk

    def spare(self, reason: str) -> None:
        """Count a candidate as spared."""
        self.spared[reason] = self.spared.get(reason, 0) + 1


def choose(
    purger: Purger,
    candidates: Iterable[Candidate],
    look: Callable[[Candidate], Candidate | str],
) -> Iterator[Candidate]:
    """Yield what is to be taken, counted in `purger`; stop asking when enough is taken.

    Args:
        purger: The policy and the count.
        candidates: By last access as it was last known, oldest first. Real ones are the same or later.
        look: Returns the candidate as it is now, or the reason why it cannot be taken.
    """
    for candidate in _by_real_access(candidates, look, purger):
        verdict = purger.judge(candidate)
        if verdict in (STOP, YOUNG):
            if verdict == YOUNG:
                purger.spare(YOUNG)
            return
        if verdict == TAKE:
            purger.take(candidate)
            yield candidate
        else:
            purger.spare(verdict)


def _by_real_access(
    candidates: Iterable[Candidate],
    look: Callable[[Candidate], Candidate | str],
    purger: Purger,
) -> Iterator[Candidate]:
    """Put candidates that were asked for since they were last looked at where they belong."""
    later: list[tuple[float, str, Candidate]] = []
    for candidate in candidates:
        while later and later[0][0] <= candidate.accessed:
            yield heapq.heappop(later)[2]
        # Nobody after this one was asked for earlier: looking at them all would be in vain.
        if purger.judge(candidate) in (STOP, YOUNG):
            yield from (heapq.heappop(later)[2] for _ in range(len(later)))
            yield candidate
            return
        found = look(candidate)
        if isinstance(found, str):
            purger.spare(found)
        elif found.accessed <= candidate.accessed:
            yield found
        else:
            heapq.heappush(later, (found.accessed, found.address, found))
    while later:
        yield heapq.heappop(later)[2]
