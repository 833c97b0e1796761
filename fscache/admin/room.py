"""Making room before a put: the purge that runs by itself where a limit is configured.

Asked before every object is written, so the answer "there is room" costs 2 µs: free space from one
`statvfs`, the bytes of all objects from a running sum that is brought up to date from the journal once
a second. Only where a limit would be passed is the catalog opened and a purge run, down to the low mark.

Promises: a put never fails for a limit that the purge could not keep, since all that is left is leased,
pinned or young: that is logged, and for a minute not tried again. Other puts of this process wait for
the purge; those of other processes for some seconds.

Not promised: exactness. The limits are passed by what is written at the same moment.
"""

from __future__ import annotations

import os
from _thread import allocate_lock

from fscache.telling import inform, warn
from fscache.units import parse_share

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.admin.keeper import Keeper
    from fscache.config import Config
    from fscache.objects.purge import Policy
    from fscache.records.root import Root
    from fscache.records.segments import Follower

_REFRESH = 1.0  # seconds
_REST = 60.0  # seconds after a purge that could not free enough
_LOCK_SECONDS = 60.0
_PATIENCE = 5.0  # seconds to wait for another process that purges or folds


class Limits:
    """What a root may hold; None for no limit."""

    __slots__ = ("grace", "low_water", "max_size", "min_free", "older_than")

    def __init__(
        self,
        *,
        max_size: int | None,
        min_free: str | None,
        low_water: float,
        grace: float,
        older_than: float | None = None,
    ) -> None:
        """Set the limits; see `fscache.config` and `Policy` for what they mean."""
        self.older_than = older_than
        self.max_size = max_size
        self.min_free = min_free
        self.low_water = low_water
        self.grace = grace

    def policy(self, total: int) -> Policy:
        """Return the policy on a file system of so many bytes."""
        from fscache.objects.purge import Policy

        return Policy(
            older_than=self.older_than,
            max_size=self.max_size,
            min_free=None if self.min_free is None else parse_share(self.min_free, total),
            low_water=self.low_water,
            grace=self.grace,
        )


def policy_for(
    root: Root,
    config: Config,
    *,
    older_than: float | None,
    max_size: int | None,
    min_free: str | None,
    low_water: float | None,
    grace: float | None,
) -> Policy | None:
    """Return the policy of a purge that is asked for; None where there is no reason to purge.

    Without a reason of its own (age, size, free space) it is that of the configuration, and its limits
    are come down from as far as it says; a reason given is met exactly.
    """
    by_itself = (older_than, max_size, min_free) == (None, None, None)
    if by_itself and config.max_size is None and config.min_free is None:
        return None
    if low_water is None:
        low_water = config.low_water if by_itself else 1.0
    system = os.statvfs(root.path)
    limits = Limits(
        max_size=config.max_size if by_itself else max_size,
        min_free=config.min_free if by_itself else min_free,
        low_water=low_water,
        grace=config.grace if grace is None else grace,
        older_than=older_than,
    )
    return limits.policy(system.f_blocks * system.f_frsize)


def room_maker(root: Root, config: Config) -> Callable[[int], None] | None:
    """Return what makes room in a root within the configured limits, None where there are none."""
    if config.max_size is None and config.min_free is None:
        return None
    limits = Limits(
        max_size=config.max_size,
        min_free=config.min_free,
        low_water=config.low_water,
        grace=config.grace,
    )
    return RoomMaker(root, limits).make


class RoomMaker:
    """Keeps one root within its limits."""

    def __init__(self, root: Root, limits: Limits) -> None:
        """Keep `root`, which exists when room is first asked for, within `limits`."""
        self._root = root
        self._limits = limits
        self._lock = allocate_lock()
        self._follower: Follower | None = None
        self._used = 0  # bytes of all objects: what was counted, and what this process put since
        self._counted = 0
        self._fresh_until = float("-inf")
        self._rest_until = float("-inf")

    def make(self, size: int) -> None:
        """Purge if `size` more bytes would pass a limit; never raises for what stands in the way."""
        try:
            if self._root.now() >= self._rest_until and self._short(size):
                self._purge_for(size)
        except Exception as exc:  # noqa: BLE001 - a put must not fail for the purge's troubles
            self._rest(f"purge failed: {exc}")
        self._used += size

    def _short(self, size: int, *, exact: bool = False) -> bool:
        limits = self._limits
        if limits.min_free is not None:
            system = os.statvfs(self._root.path)
            least = parse_share(limits.min_free, system.f_blocks * system.f_frsize)
            if system.f_bavail * system.f_frsize - size < least:
                return True
        if limits.max_size is None:
            return False
        if exact:
            self._count_anew()
        elif not 0 <= self._fresh_until - self._root.now() <= _REFRESH:
            self._catch_up()
        return self._used + size > limits.max_size

    def _catch_up(self) -> None:
        """Add what the journal has since; no catalog is opened for that."""
        from fscache.records.journal import PURGE, PUT
        from fscache.records.segments import JournalGapError

        if self._follower is None:
            self._count_anew()
            return
        try:
            # What this process added to the sum for itself is in the journal now, or will be.
            used = self._counted
            for record in self._follower.read():
                if record.op == PUT and record.address:
                    used += record.size
                elif record.op == PURGE:
                    used -= record.size
        except (JournalGapError, OSError):
            self._count_anew()
            return
        self._used = self._counted = used
        self._fresh_until = self._root.now() + _REFRESH

    def _count_anew(self) -> None:
        """Ask the catalog: a put of known bytes has been counted as new ones."""
        from fscache.records.segments import Follower

        catalog = self._keeper().open()
        try:
            query = "SELECT COALESCE(SUM(size), 0) FROM objects"
            self._used = self._counted = int(catalog.db.execute(query).fetchone()[0])
            self._follower = Follower(
                f"{self._root.path}/journal", catalog.positions(), catalog.journal_id
            )
        finally:
            catalog.close()
        self._fresh_until = self._root.now() + _REFRESH

    def _purge_for(self, size: int) -> None:
        # With a timeout: a child forked in the midst of a purge finds the lock held for ever.
        if not self._lock.acquire(timeout=_LOCK_SECONDS):
            return
        try:
            if self._root.now() >= self._rest_until and self._short(size, exact=True):
                self._purge(size)
        finally:
            self._lock.release()

    def _purge(self, size: int) -> None:
        from fscache.admin.purge import Purge
        from fscache.errors import LockTimeoutError
        from fscache.units import format_size

        system = os.statvfs(self._root.path)
        policy = self._limits.policy(system.f_blocks * system.f_frsize)
        try:
            done = Purge(self._keeper(), policy, incoming=size, timeout=_PATIENCE).run()
        except LockTimeoutError:
            return  # another process is purging; its work is ours
        self._used -= done.freed
        self._fresh_until = float("-inf")
        inform("purged %d objects, %s", done.taken, format_size(done.freed))
        if done.exhausted:
            why = f" (spared: {done.why()})" if done.spared else ""
            self._rest(f"{done.where()}, and nothing to purge{why}")

    def _rest(self, why: str) -> None:
        self._rest_until = self._root.now() + _REST
        warn("%s: %s", self._root.path, why)

    def _keeper(self) -> Keeper:
        from fscache.admin.keeper import Keeper

        return Keeper(self._root, say=warn, timeout=_PATIENCE)
