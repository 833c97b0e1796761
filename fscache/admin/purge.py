"""Purging: the plan of `fscache.objects.purge`, carried out on one root.

Promises, with any number of readers and writers at work:

- Nobody loses a file in use: an object is removed under the root's exclusive lock, with its own flock
  in hand, after one more look at its last access and at what was put or touched since the plan.
- A put that found the object there has freshened its access, and names it under the shared lock: it
  comes before, and the object is spared, or after, and the object is not found.
- Whoever has the object open without a lease keeps reading it; only its name goes.
- Writers wait for a few removals at most: the lock is given back after 20 ms. (A removal takes 0.1 ms,
  but ten on an ext4 that discards blocks at once.)

What key-values and tasks name is never offered to the plan: nobody could fetch it again.

The last access is known to the hour (`records.access`), so that hour is added to the grace time: what
somebody was given a minute ago may have an atime of an hour before. With a grace time of 0 there is
nothing to keep, and nothing is added.

Killed between an object and its URL entries, those dangle: a miss, and `admin verify` reports them.
"""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import dataclass, field, replace
from itertools import islice

from fscache.admin.look import LOOKED_AT, is_leased
from fscache.admin.removal import Remover
from fscache.fs.lock import guard
from fscache.objects import purge as plan
from fscache.objects.purge import Candidate, Policy, Purger, Room
from fscache.records import access
from fscache.records.root import translated
from fscache.records.segments import JournalGapError
from fscache.units import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.admin.keeper import Keeper
    from fscache.records.catalog import Catalog
    from fscache.records.root import Root

BATCH = 64
HOLD_SECONDS = 0.02
LOCK_SECONDS = 60.0


@dataclass(slots=True)
class Purged:
    """What a purge did, or would do.

    Attributes:
        used: Bytes of all objects before.
        taken: Objects removed.
        freed: Their bytes.
        spared: Objects that were spared, by reason, as far as the purge had to look.
        short: Bytes still over the limits, because all that is left is spared.
        exhausted: Whether all that is left is spared, and the low mark is not reached.
        complete: False if a record was lost meanwhile, and the rest has to be planned anew.
    """

    used: int
    taken: int = 0
    freed: int = 0
    spared: dict[str, int] = field(default_factory=dict)
    short: int = 0
    exhausted: bool = False
    complete: bool = True

    def where(self) -> str:
        """Return for people what all that is left comes to, where the purge is exhausted."""
        return f"{format_size(self.short)} over the limit" if self.short else "above the low mark"

    def why(self) -> str:
        """Return for people what was spared; empty where nothing was."""
        return ", ".join(
            # The young have no number: a purge stops at the first of them.
            "what was used lately" if reason == plan.YOUNG else f"{count} {reason}"
            for reason, count in self.spared.items()
        )


def room(root: Root, used: int, incoming: int = 0) -> Room:
    """Return what there is on the root's file system."""
    system = os.statvfs(root.path)
    return Room(
        used=used,
        free=system.f_bavail * system.f_frsize,
        total=system.f_blocks * system.f_frsize,
        incoming=incoming,
    )


@dataclass(frozen=True, slots=True)
class Purge:
    """One purge of one root.

    Attributes:
        keeper: The root.
        policy: When to take what.
        match: Only objects all of whose names (the address, where there is none) fit this pattern.
        incoming: Bytes for which room is to be made besides.
        each: Called with each object that goes, or would go, and a function from its address to
            a name for people.
        timeout: The longest wait for another purge, and for writers to leave, in seconds.
    """

    keeper: Keeper
    policy: Policy
    match: str | None = None
    incoming: int = 0
    each: Callable[[Candidate, Callable[[str], str]], None] | None = None
    timeout: float = LOCK_SECONDS

    def plan(self) -> Purged:
        """Remove nothing; say what would go.

        The first `LOOKED_AT` candidates are looked at; for those after them the catalog is believed,
        which `run` does for none.
        """
        with translated(self.keeper.root.path):
            return self.keeper.ask(self._plan)

    def run(self) -> Purged:
        """Remove what the policy takes.

        Raises:
            LockTimeoutError: somebody held a lock for longer than the timeout.
            RootPermissionError: this user may not purge here.
        """
        root = self.keeper.root
        with (
            translated(root.path),
            guard(f"{root.path}/locks/purge", timeout=self.timeout, mode=root.modes.partial),
        ):
            done = self._round()
            if done.complete:
                return done
            # The next opening reads the files; once is enough.
            more = self._round()
            more.taken += done.taken
            more.freed += done.freed
            more.used = done.used
            return more

    def _plan(self, catalog: Catalog) -> Purged:
        remover = Remover(self.keeper, catalog)
        purger, margins, result = self._begin(remover)

        left = LOOKED_AT

        def look(candidate: Candidate) -> Candidate | str:
            nonlocal left
            left -= 1
            if left < 0:
                pinned = remover.is_pinned(candidate.address)
                return candidate._replace(pinned=True) if pinned else candidate
            found = remover.look(candidate)
            if not isinstance(found, str) and is_leased(remover.path(found.address)):
                return plan.LEASED
            return found

        for candidate in plan.choose(purger, remover.candidates(self.match), look):
            if self.each is not None:
                self.each(candidate, remover.name)
        return _end(purger, margins, result)

    def _round(self) -> Purged:
        catalog = self.keeper.open()
        try:
            remover = Remover(self.keeper, catalog)
            purger, margins, result = self._begin(remover)
            chosen = plan.choose(purger, remover.candidates(self.match), remover.look)
            while result.complete and (batch := deque(islice(chosen, BATCH))):
                while result.complete and batch:
                    with self.keeper.root.exclusive(timeout=self.timeout):
                        result.complete = self._remove(batch, remover, purger)
            if remover.gone and not catalog.private:
                catalog.look_at(remover.gone)
            return _end(purger, margins, result)
        finally:
            catalog.close()

    def _remove(self, batch: deque[Candidate], remover: Remover, purger: Purger) -> bool:
        """Remove some of a batch, under the lock; False if records were lost."""
        try:
            remover.catch_up()
        except JournalGapError:
            for candidate in batch:
                purger.give_back(candidate)
            return False
        give_way = time.monotonic() + HOLD_SECONDS
        while batch:
            candidate = batch.popleft()
            reason = remover.remove(candidate)
            if reason is not None:
                purger.give_back(candidate)
                purger.spare(reason)
            elif self.each is not None:
                self.each(candidate, remover.name)
            if time.monotonic() > give_way:
                break
        return True

    def _begin(self, remover: Remover) -> tuple[Purger, tuple[int, int], Purged]:
        used = remover.used()
        root = self.keeper.root
        there = room(root, used, self.incoming)
        objects, disk = plan.needed(self.policy, there)
        objects_over, disk_over = plan.needed(replace(self.policy, low_water=1.0), there)
        grace = self.policy.grace and self.policy.grace + access.INTERVAL
        policy = replace(self.policy, grace=grace)
        purger = Purger(policy, root.now(), objects, disk)
        return purger, (objects - objects_over, disk - disk_over), Purged(used=used)


def _end(purger: Purger, margins: tuple[int, int], result: Purged) -> Purged:
    """Sum up; `margins` are the bytes between the limits and the low marks."""
    result.taken = purger.taken
    result.freed = purger.freed
    result.spared = purger.spared
    result.short = max(0, purger.objects_needed - margins[0], purger.disk_needed - margins[1])
    result.exhausted = purger.short
    return result
