"""Making the directories of a root, by many users and processes at once, and names in them.

What is promised, whatever is killed whenever: a directory of a root that is shared with a group appears
with the group's modes, or not at all. With `durable` it is there after a loss of power, too.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fscache.fs.atomic import Modes


# A purge removes empty directories, perhaps the parent just made. But there are places where a directory
# is and none can be made in it (/proc, a mount point whose server has gone), so not for ever.
_TRIES = 10


class Directories:
    """Makes the directories of one root."""

    __slots__ = ("_beside", "_count", "_landmark", "_prefix", "durable", "modes", "temp_dir")

    def __init__(self, temp_dir: str, modes: Modes, *, durable: bool) -> None:
        """Make directories through `temp_dir`, which lies in their file system.

        Args:
            temp_dir: Where they lie until they may be seen.
            modes: Their permissions.
            durable: Make them survive a loss of power.
        """
        self.temp_dir = temp_dir
        self.modes = modes
        self.durable = durable
        self._landmark = self._beside = ""
        self._prefix = ""
        self._count = 0

    @property
    def landmark(self) -> str:
        """A file without which nothing new is made beside it.

        Its file system was unmounted, and what is written below the empty mount point would be found
        by nobody. Empty for none.
        """
        return self._landmark

    @landmark.setter
    def landmark(self, path: str) -> None:
        self._landmark, self._beside = path, parent_of(path)

    def temp_path(self) -> str:
        """Return a path in the temporary directory that nobody else, on any host, will use."""
        pid = os.getpid()
        # The pid is part of the check, not only of the name: after a fork both processes would
        # otherwise go on counting from the same state.
        if not self._prefix.endswith(f".{pid}."):
            self._prefix = f"{self.temp_dir}/t-{os.urandom(6).hex()}.{pid}."
            self._count = 0
        # Two threads may read the same count; O_EXCL in `create` catches that.
        self._count += 1
        return f"{self._prefix}{self._count:x}"

    def make_directories(self, path: str, *, noted: bool = False) -> None:
        """Make `path` and what is missing above it; others may be doing the same.

        Args:
            path: The directory.
            noted: The caller makes its name durable (not those above it).
        """
        for left in reversed(range(_TRIES)):
            try:
                self._make_directory(path)
                break
            except FileExistsError:
                break
            except FileNotFoundError:
                parent = parent_of(path)
                # Of threads that make a root together, one may have it made, and its landmark set, since
                # another one looked: then it is there, and nothing was unmounted.
                unmounted = self._beside in {path, parent} and not os.path.exists(self._landmark)
                if not left or parent == path or unmounted:
                    raise
                self.make_directories(parent)
        if self.durable and not noted:  # also where it is there: its maker may not have got so far
            sync_directory(parent_of(path))

    def make_missing(self, path: str, *, noted: bool = False) -> None:
        """Make a directory that was found to be missing; as `make_directories`.

        While a root has few objects, their directories lack both levels: made from above, that is one
        failing call less. Not the root itself, which may be unmounted; and where all is synced, each
        level would be for itself.
        """
        above = parent_of(path)
        if not self.durable and above != self._beside:
            self.make_directories(above)
        self.make_directories(path, noted=noted)

    def share(self, path: str) -> None:
        """Open a directory of ours to the group, where there is one; another user's stays."""
        gid, mode = self.modes.gid, self.modes.directory
        if gid is None or mode is None:
            return
        status = os.stat(path)
        if status.st_uid == os.geteuid() and (
            (status.st_gid, status.st_mode & 0o7777) != (gid, mode)
        ):
            os.chown(path, -1, gid)
            os.chmod(path, mode)

    def _make_directory(self, path: str) -> None:
        if self._beside and parent_of(path) == self._beside:
            os.stat(self.landmark)
        if self.modes.gid is None:
            os.mkdir(path)
            return
        if not os.path.isdir(self.temp_dir):  # the root is being made
            os.mkdir(path)
            self.share(path)
            return
        os.stat(os.path.dirname(path))  # FileNotFoundError before anything is made
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        # It gets its name when the whole group may write to it: who is killed in between would
        # otherwise leave a directory that only its owner can repair. Renaming a directory replaces
        # an empty one, and no other.
        temp = self.temp_path()
        os.mkdir(temp)
        try:
            self.share(temp)
            os.rename(temp, path)
        except OSError as exc:
            os.rmdir(temp)
            if exc.errno != errno.ENOTEMPTY:
                raise


def parent_of(path: str) -> str:
    """Return the directory of a path of ours, which has no empty parts: `os.path.dirname` at a third."""
    cut = path.rfind("/")
    return path[:cut] if cut > 0 else path[: cut + 1]


def sync_directory(path: str) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
