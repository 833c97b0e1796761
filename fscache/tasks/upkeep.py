"""Upkeep of the record log, done in small parts after the calls that write.

- What dropped records held is given back.
- A snapshot of the index is written when much has been written since the last.
- Segments that are mostly dead are rewritten: their live records into the own segment, then the file
  is removed. Only what nobody writes to any more: finished segments, and those of killed processes.

Nobody waits for it: a part takes about a millisecond. After a drop `fscache.tasks.tidying` goes on with
it in a thread; nothing else needs one. Two processes that rewrite one segment at once do double work and
no harm; a lock file keeps them from it, but for a purge.
"""

from __future__ import annotations

import os
import threading
import time

from fscache.errors import CorruptObjectError, StoreError
from fscache.fs.lock import try_flock
from fscache.records.root import translated
from fscache.tasks import frames, snapshot
from fscache.tasks.bodies import drops
from fscache.tasks.segment import Segment
from fscache.telling import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from fscache.tasks.core import Core
    from fscache.tasks.keep import RootKeeper
    from fscache.tasks.log import FileLog

REAPED_AT_ONCE = 256
SNAPSHOT_FRAMES = 16_384
"""Frames since the last snapshot that are worth one; reading so many takes 0.1 s.

Or a sixteenth of all frames: at 100,000 records snapshots take 4 % of a writer's time, and opening
reads one and at most 19,000 frames, in 0.2 s."""
MIN_DEAD = 1 << 20
"""Dead bytes below which rewriting does not begin by itself."""
SMALL = 256 * 1024
MANY_SMALL = 32
"""Finished segments under SMALL bytes that are worth being put together."""
_PART_SECONDS = 0.001
_CHECK_FRAMES = 512
DISCARD_SECONDS = 30.0


class Upkeep:
    """Looks after one database in files."""

    def __init__(
        self,
        core: Core,
        log: FileLog,
        keeper: RootKeeper,
        remove_objects: Callable[[Sequence[str]], object] | None,
    ) -> None:
        """Look after a database.

        Args:
            core: The database; its lock is held whenever a method is called.
            log: Its log.
            keeper: Where its large buffers are.
            remove_objects: Removes those of these objects that nobody else names; where there is
                none, they are left to a purge.
        """
        self._core = core
        self._log = log
        self._keeper = keeper
        self._remove_objects = remove_objects
        self._job: Generator[None] | None = None
        self._compacting = False
        self._snapshot_was_last = False
        self._discard_at = 0.0
        self._discarding: threading.Thread | None = None
        self._hurry = threading.Event()

    def step(self) -> None:
        """Do a part of what there is to do."""
        core = self._core
        if core.index.unreaped:
            core.give_up(core.index.reap(REAPED_AT_ONCE))
            if not core.index.unreaped:
                core.changes += _CHECK_FRAMES
        if self._compacting:
            return
        if self._job is not None:
            self._advance()
        elif core.changes >= _CHECK_FRAMES:
            core.changes = 0
            self._job = self._next_job()
            self._discard_soon()

    @property
    def is_due(self) -> bool:
        """Whether there is anything to do."""
        core = self._core
        return bool(core.index.unreaped or self._job is not None or core.changes >= _CHECK_FRAMES)

    def finish(self) -> None:
        """Do at once what an orderly end leaves: no objects of nobody, a snapshot if it is due."""
        core = self._core
        while core.index.owes:  # or the catalog would keep them as named until the next reindex
            core.give_up(core.index.reap(REAPED_AT_ONCE))
        if self._snapshot_due() and self._log.has_written:
            for _ in self._snapshot():
                pass
        self.discard()

    def compact(self) -> Generator[None]:
        """Rewrite every segment that holds anything dead, in parts; until its end no other job begins."""
        core = self._core
        core.refresh()
        if self._job is not None:
            self._job.close()
            self._job = None
        self._compacting = True
        try:
            while core.index.unreaped:
                core.give_up(core.index.reap(REAPED_AT_ONCE))
                yield
            with translated(self._log.directory):
                yield from self._compact(everything=True)
        finally:
            self._compacting = False

    def discard(self) -> None:
        """Have the objects removed that no record names any more; the lock need not be held."""
        discarding, self._discarding = self._discarding, None
        # It may be this very thread that collects a database as garbage, and so ends it.
        if discarding is not None and discarding is not threading.current_thread():
            self._hurry.set()
            discarding.join()
            self._hurry.clear()
        if self._remove_objects is not None and self._keeper.discarded:
            _quietly(self._remove_objects, self._keeper.take_discarded())

    def forked(self) -> None:
        """Leave what is under way to the parent process."""
        self._job = None
        self._compacting = False
        self._discarding = None
        self._hurry = threading.Event()

    # -- inside ---------------------------------------------------------------------------------

    def _advance(self) -> None:
        job = self._job
        if job is None:
            return
        try:
            next(job)
        except StopIteration:
            self._job = None
            self._core.changes += _CHECK_FRAMES  # perhaps there is more
        except (OSError, StoreError) as exc:
            # The call whose upkeep this is has done its work; the disk may be full, or not ours.
            self._job = None
            warn("upkeep of the task log is put off: %s", exc)

    def _next_job(self) -> Generator[None] | None:
        # In turn, where both are due: neither must wait for ever for the other.
        if self._snapshot_due() and not (self._snapshot_was_last and self._victims()):
            self._snapshot_was_last = True
            return self._snapshot()
        self._snapshot_was_last = False
        if self._core.index.unreaped:
            return None  # more becomes dead at every step, and drops would have to be said again
        return self._compact() if self._victims() else None

    def _snapshot_due(self) -> bool:
        index = self._core.index
        due = max(SNAPSHOT_FRAMES, len(index.fragments) // 16)
        return self._core.since_snapshot >= due and not index.limbo.has_orphans

    def _snapshot(self) -> Generator[None]:
        self._core.since_snapshot = 0
        yield from snapshot.write(self._core.index, self._log)

    def _victims(self, *, everything: bool = False) -> list[Segment]:
        """Return the segments worth rewriting."""
        log = self._log
        found = []
        small = []
        for segment in log.known():
            if segment.damaged:
                continue
            size = segment.end
            if everything:
                worth = segment.dead > 0
            else:
                worth = segment.dead * 2 > size
                if size < SMALL and not worth:
                    small.append(segment)
            if worth and (log.is_own(segment.number) or log.is_abandoned(segment)):
                found.append(segment)
        if not everything and sum(segment.dead for segment in found) < MIN_DEAD:
            found = []
        if len(small) > MANY_SMALL:
            found += [each for each in small if log.is_abandoned(each)]
        # Drops last: with the other segments gone that they tell of, most need not be said again.
        return sorted(found, key=lambda each: each.drops)

    def _compact(self, *, everything: bool = False) -> Generator[None]:
        root = self._log.root
        if not self._victims(everything=everything):
            return  # perhaps there is no root yet
        fd = os.open(
            f"{root.path}/locks/tasks", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, root.modes.partial
        )
        try:
            if not try_flock(fd) and not everything:
                return  # everything is asked for by a purge: who has the lock may be idle for hours
            for segment in self._victims(everything=everything):
                if self._log.is_own(segment.number):
                    self._log.finish()
                try:
                    yield from self._rewrite(segment)
                except FileNotFoundError:
                    continue  # somebody else was faster
                except CorruptObjectError as exc:
                    segment.damaged = True
                    warn("%s is kept as it is: %s", segment.path, exc)
        finally:
            os.close(fd)

    def _rewrite(self, segment: Segment) -> Iterator[None]:
        """Write what is live in a segment into the own one, and remove it."""
        core = self._core
        index = core.index
        until = time.monotonic() + _PART_SECONDS
        if segment.live > 0 or segment.drops:
            copy = Segment(segment.number, segment.name, segment.path)
            for frame, where, _, _ in copy.replay(settled=True):
                if frame.kind == frames.DROP:
                    self._copy_drop(frame, segment)
                else:
                    row = index.rows.get(frame.msg_id)
                    if row is not None and any(
                        where == place for place, _, _ in index.fragments.chain(index.head[row])
                    ):
                        core.rewrite(row)
                if time.monotonic() > until:
                    yield
                    until = time.monotonic() + _PART_SECONDS
        self._log.remove(segment)
        yield

    def _copy_drop(self, frame: frames.Frame, segment: Segment) -> None:
        """Say a drop again, for as long as the dropped records' frames are anywhere."""
        known = {each.name for each in self._log.known()} - {segment.name}
        groups = []
        for names, ids in drops(frame):
            left = [name for name in names if name in known]
            if left:
                groups.append((left, ids))
        if groups:
            self._core.copy_drop(groups, frame.stamp)

    def _discard_soon(self) -> None:
        """Have objects that no record names removed, in a thread: the catalog is slow to open.

        Not again within half a minute; then the thread waits for it, as perhaps nobody calls any more.
        """
        if self._remove_objects is None or not self._keeper.discarded:
            return
        if self._discarding is not None and self._discarding.is_alive():
            return
        now = time.monotonic()
        wait = max(0.0, self._discard_at - now)
        self._discard_at = now + wait + DISCARD_SECONDS
        self._discarding = threading.Thread(
            target=self._discard_later, args=(wait,), name="fscache-task-objects", daemon=True
        )
        self._discarding.start()

    def _discard_later(self, wait: float) -> None:
        while self._remove_objects is not None and self._keeper.discarded:
            self._hurry.wait(wait)
            _quietly(self._remove_objects, self._keeper.take_discarded())
            wait = DISCARD_SECONDS


def _quietly(remove_objects: Callable[[Sequence[str]], object], addresses: Sequence[str]) -> None:
    try:
        remove_objects(addresses)
    except Exception as exc:  # noqa: BLE001 - a thread's end: a purge will take them
        warn("objects of dropped tasks are left to a purge: %s", exc)
