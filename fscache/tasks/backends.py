"""The ways to make a task database: in a root's files, in memory, or none at all."""

from __future__ import annotations

from fscache.tasks import snapshot
from fscache.tasks.core import Core
from fscache.tasks.cull import Limits
from fscache.tasks.face import WORKERS, Tasks
from fscache.tasks.keep import MemoryKeeper, RootKeeper
from fscache.tasks.log import FileLog
from fscache.tasks.memory import MemoryLog, MemoryUpkeep
from fscache.tasks.upkeep import Upkeep
from fscache.tasks.wakeup import Bell, MemoryBell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fscache.records.root import Root
    from fscache.tasks.executor import Resolve


def in_files(
    root: Root,
    limits: Limits | None = None,
    *,
    remove_objects: Callable[[Sequence[str]], None] | None = None,
    resolve: Resolve | None = None,
    workers: int = WORKERS,
) -> Tasks:
    """Return the database of a root; nothing is read or written before the first call.

    Args:
        root: The root.
        limits: When to cull; never by default.
        remove_objects: Removes those of these objects that nothing else names.
        resolve: See `Tasks`.
        workers: See `Tasks`.
    """
    log = FileLog(root)
    keeper = RootKeeper(root)
    core = Core(
        log,
        keeper,
        now=root.now,
        limits=limits or Limits(),
        load=lambda index: snapshot.load(index, log),
    )
    upkeep = Upkeep(core, log, keeper, remove_objects)
    bell = Bell(f"{root.path}/tasks/waiting", root.modes.partial)
    return Tasks(core, upkeep, bell, resolve=resolve, workers=workers)


def in_memory(
    now: Callable[[], float],
    limits: Limits | None = None,
    *,
    resolve: Resolve | None = None,
    workers: int = WORKERS,
) -> Tasks:
    """Return a database that is gone with the process; arguments as for `in_files`."""
    core = Core(MemoryLog(), MemoryKeeper(), now=now, limits=limits or Limits())
    return Tasks(core, MemoryUpkeep(core), MemoryBell(), resolve=resolve, workers=workers)
