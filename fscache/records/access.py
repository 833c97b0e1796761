"""Last access: the object's atime, set by us when it is asked for, at most once an hour and object.

Set explicitly, so it is right on `noatime` mounts, where the kernel sets none, and on those with
`relatime`, where it does once a day. Each time it is set the journal gets a record, from which the
catalog learns of it.

Who does not own an object cannot set its atime: the journal alone knows then, at most once an hour by
each process.

So the last access is known to the hour: what reads `accessed` as an age allows for `INTERVAL`.
"""

from __future__ import annotations

from fscache.fs.atomic import set_access_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os

    from fscache.records.root import Root

INTERVAL = 3600.0  # seconds; a write per file and hour at most: purge ages are counted in days
_REMEMBERED = 100_000  # objects of other users whose last touch is remembered; some 20 MB at most


class Accesses:
    """Records what is asked for in one root."""

    __slots__ = ("_others", "_root")

    def __init__(self, root: Root) -> None:
        """Record into `root`."""
        self._root = root
        self._others: dict[str, float] = {}

    def is_due(self, status: os.stat_result) -> bool:
        """Whether an object of this status, which is asked for now, has to be touched."""
        # A clock that was set back makes an atime of the future.
        return abs(self._root.now() - status.st_atime) > INTERVAL

    def touch(self, kind: str, name: str, address: str, path: str, status: os.stat_result) -> None:
        """Record that an object was asked for now, under the name of an entry of this kind."""
        now = self._root.now()
        if not set_access_time(path, status, now):
            # Another user's file: the journal must not grow at every hit.
            if abs(now - self._others.get(path, 0.0)) <= INTERVAL:
                return
            if len(self._others) >= _REMEMBERED:
                self._others.clear()
            self._others[path] = now
        self._root.journal.append("touch", kind, name, address, status.st_size)
