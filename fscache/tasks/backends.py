"""The ways to make a task database: in a root's files, in memory, or none at all."""

from __future__ import annotations

from fscache.tasks import snapshot
from fscache.tasks.core import Core
from fscache.tasks.cull import Limits
from fscache.tasks.database import TaskDatabase
from fscache.tasks.face import WORKERS
from fscache.tasks.keep import MemoryKeeper, RootKeeper
from fscache.tasks.log import FileLog
from fscache.tasks.memory import MemoryLog, MemoryUpkeep
from fscache.tasks.none import NoTasks
from fscache.tasks.upkeep import Upkeep
from fscache.tasks.wakeup import MemoryBell, root_bell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fscache.config import Config
    from fscache.records.root import Root
    from fscache.tasks.executor import Resolve

    LocalTasks = TaskDatabase | NoTasks


def as_configured(
    root: Root,
    config: Config,
    *,
    remove_objects: Callable[[Sequence[str]], object] | None = None,
    resolve: Resolve | None = None,
) -> LocalTasks:
    """Return the database that the settings `tasks` and `tasks_max_*` ask for."""
    if config.tasks == "none":
        return NoTasks(now=root.now, resolve=resolve)
    limits = Limits(
        records=config.tasks_max_records,
        size=config.tasks_max_size,
        age=config.tasks_max_age,
    )
    if config.tasks == "memory":
        return in_memory(root.now, limits, resolve=resolve)
    return in_files(root, limits, remove_objects=remove_objects, resolve=resolve)


def in_files(
    root: Root,
    limits: Limits | None = None,
    *,
    remove_objects: Callable[[Sequence[str]], object] | None = None,
    resolve: Resolve | None = None,
    workers: int = WORKERS,
) -> TaskDatabase:
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
    return TaskDatabase(core, upkeep, root_bell(root), resolve=resolve, workers=workers)


def in_memory(
    now: Callable[[], float],
    limits: Limits | None = None,
    *,
    resolve: Resolve | None = None,
    workers: int = WORKERS,
) -> TaskDatabase:
    """Return a database that is gone with the process; arguments as for `in_files`."""
    core = Core(MemoryLog(), MemoryKeeper(), now=now, limits=limits or Limits())
    return TaskDatabase(core, MemoryUpkeep(core), MemoryBell(), resolve=resolve, workers=workers)
