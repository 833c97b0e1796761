"""A root's shared lock, made when it is first asked for: opening a root and a hit need none."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fscache.fs.atomic import Writer
    from fscache.fs.lock import SharedLock


class Gate:
    """Makes a root's lock when it is first asked for.

    It knows nothing of the Root whose stores hold it: that would be a circle, and the descriptors of a
    cache that nobody uses any more would wait for the garbage collector.
    """

    __slots__ = ("_lock", "_path", "_writer")

    def __init__(self, path: str, writer: Writer) -> None:
        """Guard the root at `path`, whose lock files are made as `writer` makes files."""
        self._path = path
        self._writer = writer
        self._lock: SharedLock | None = None

    def __call__(self) -> SharedLock:
        """Return the lock."""
        if self._lock is None:
            from fscache.fs.lock import SharedLock

            writer = self._writer
            self._lock = SharedLock(
                f"{self._path}/locks", writer.modes.partial, writer.make_directories
            )
        return self._lock
