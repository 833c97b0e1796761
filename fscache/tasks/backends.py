"""The ways to make a task database: in a root's files, in memory, or none at all."""

from __future__ import annotations

from fscache.tasks import snapshot
from fscache.tasks.core import Core
from fscache.tasks.cull import Limits
from fscache.tasks.database import TaskDatabase
from fscache.tasks.keep import MemoryKeeper, RootKeeper
from fscache.tasks.log import FileLog
from fscache.tasks.memory import MemoryLog, MemoryUpkeep
from fscache.tasks.upkeep import Upkeep
from fscache.tasks.wakeup import Bell, MemoryBell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fscache.records.root import Root


def in_files(
    root: Root,
    limits: Limits | None = None,
    remove_objects: Callable[[Sequence[str]], None] | None = None,
) -> TaskDatabase:
    """Return the database of a root; nothing is read or written before the first call.

    Args:
        root: The root.
        limits: When to cull; never by default.
        remove_objects: Removes those of these objects that nothing else names.
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
    bell = Bell(f"{root.path}/tasks/waiting", root.modes.partial)
    return TaskDatabase(core, Upkeep(core, log, keeper, remove_objects), bell)


def in_memory(now: Callable[[], float], limits: Limits | None = None) -> TaskDatabase:
    """Return a database that is gone with the process."""
    core = Core(MemoryLog(), MemoryKeeper(), now=now, limits=limits or Limits())
    return TaskDatabase(core, MemoryUpkeep(core), MemoryBell())
