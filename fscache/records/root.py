"""The root: one directory that holds one cache, with its FORMAT, permissions and locks.

Promises:

- Opening a root for reading writes nothing, and takes two system calls.
- A directory that is not empty and has no FORMAT is somebody else's: nothing is written into it.
- A root of a newer format is refused by name, not misread.
- A root is made as a whole: FORMAT is written last, so a half-made one is finished by the next.
"""

from __future__ import annotations

import errno
import os

from fscache.fs import atomic
from fscache.objects.layout import ENTRY_SPLIT, OBJECT_SPLIT
from fscache.objects.store import ObjectStore
from fscache.records.entries import EntryStore
from fscache.records.entryfile import name_hash
from fscache.records.gate import Gate
from fscache.records.rootformat import DIRECTORIES, Format, read_format, refuse_dangling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from fscache.errors import StoreError
    from fscache.fs.group import Group
    from fscache.fs.lock import SharedLock
    from fscache.objects.layout import Split
    from fscache.records.journal import Journal

# https://bford.info/cachedir/: backup programs leave the directory out
_CACHEDIR_TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n# A cache of fscache.\n"


class Root:
    """One cache's directory."""

    __slots__ = (
        "_early",
        "_gate",
        "_grouped",
        "_journal",
        "_objects",
        "_quick",
        "_ready",
        "entry_split",
        "left_splits",
        "make_room",
        "modes",
        "now",
        "object_split",
        "path",
        "writer",
    )

    def __init__(
        self,
        path: str,
        *,
        now: Callable[[], float],
        modes: atomic.Modes | None = None,
        durable: bool = False,
        object_split: Split = OBJECT_SPLIT,
    ) -> None:
        """Open the root at `path`; it is made when something is first written.

        Args:
            path: Absolute path.
            now: The clock, seconds since the epoch.
            modes: Permissions of what is written.
            durable: Sync every file before it gets its name.
            object_split: How a new root splits its addresses; an existing one says so itself.

        Raises:
            FormatError: its format is newer than this program.
            NotACacheError: it is a directory with other things in it.
        """
        self.path = path
        self.now = now
        self.modes = modes or atomic.Modes()
        self.writer = atomic.Writer(f"{path}/partial", self.modes, durable=durable)
        self.object_split = object_split
        self.entry_split = ENTRY_SPLIT
        # Splits that the objects had before: their directories are there until somebody clears them.
        self.left_splits: tuple[Split, ...] = ()
        self._grouped: atomic.Writer | None = None
        self._quick: atomic.Writer | None = None
        self._objects: dict[atomic.Writer, ObjectStore] = {}
        # Handed out before anybody had made the root: its FORMAT may name another split.
        self._early: dict[tuple[object, ...], EntryStore] = {}
        # Called with the bytes of an object about to be written; set by who knows the limits.
        self.make_room: Callable[[int], None] | None = None
        self._gate = Gate(self.path, self.writer)
        self._journal: Journal | None = None
        self._ready = self._read_format()

    @property
    def exists(self) -> bool:
        """Whether the root has been made, by anybody."""
        return self._ready or self._read_format()

    def objects(self, writer: atomic.Writer | None = None) -> ObjectStore:
        """Return the root's object store, which writes by `writer`: by the root's own by default."""
        by = writer or self.writer
        store = self._objects.get(by)
        if store is None:
            store = self._objects[by] = ObjectStore(
                f"{self.path}/objects",
                by,
                now=self.now,
                guard=self._gate,
                split=self.object_split,
            )
        return store

    def entries(
        self,
        directory: str,
        kind: bytes,
        *,
        read_only: bool = False,
        writer: atomic.Writer | None = None,
        hash_name: Callable[[bytes], str] = name_hash,
    ) -> EntryStore:
        """Return a store of entries below `directory`, a path within the root; see `objects`."""
        by = writer or self.writer
        key = (directory, kind, read_only, by, hash_name)
        store = self._early.get(key)
        if store is None:
            store = EntryStore(
                f"{self.path}/{directory}",
                kind,
                by,
                quarantine=None if read_only else f"{self.path}/quarantine",
                split=self.entry_split,
                hash_name=hash_name,
            )
            if not self._ready:
                self._early[key] = store
        return store

    @property
    def quick_writer(self) -> atomic.Writer:
        """Writes what can be had again, and so is never synced."""
        if not self.writer.durable:
            return self.writer
        if self._quick is None:
            self._quick = self._another_writer(durable=False)
        return self._quick

    @property
    def grouped_writer(self) -> atomic.Writer:
        """Writes what nobody can fetch again (key-values): durable, where asked, many at a time."""
        if self._grouped is None:
            self._grouped = self.writer
            if self.writer.durable:
                from fscache.fs.group import Group

                self._grouped = self._another_writer(durable=True, group=Group())
        return self._grouped

    def _another_writer(self, *, durable: bool, group: Group | None = None) -> atomic.Writer:
        writer = atomic.Writer(self.writer.temp_dir, self.modes, durable=durable, group=group)
        writer.landmark = self.writer.landmark
        return writer

    @property
    def shared(self) -> SharedLock:
        """The lock under which nothing is purged, migrated or split anew."""
        return self._gate()

    @property
    def journal(self) -> Journal:
        """Where every change is noted: `root.journal.append(op, kind, name, address, size)`."""
        if self._journal is None:
            from fscache.records.journal import Journal

            self._journal = Journal(f"{self.path}/journal", self.writer, self.now)
        return self._journal

    def exclusive(self, *, timeout: float) -> AbstractContextManager[None]:
        """Keep every holder of `shared` out; raises LockTimeoutError."""
        from fscache.fs.lock import exclusive

        return exclusive(f"{self.path}/locks", timeout=timeout, mode=self.modes.partial)

    def wait_for_writers(self) -> None:
        """Return when all who were inside `shared` have left: what they recorded, they have made.

        Raises:
            LockTimeoutError: one of them stays inside.
        """
        from fscache.errors import RootPermissionError

        try:
            with translated(self.path), self.exclusive(timeout=_WRITERS):
                pass
        except RootPermissionError:
            pass  # who may not write here purges nothing either, and can do without

    def ensure(self) -> None:
        """Make the root if it is not there; call before the first write."""
        if self._ready or self._read_format():
            return
        refuse_dangling(self.path)
        for name in DIRECTORIES:
            self.writer.make_directories(f"{self.path}/{name}")
        # All others appear with their modes; these two may come from one who was killed, or from
        # the user who made an empty directory and then said which group it is for.
        for path in (self.path, self.writer.temp_dir):
            self.writer.share(path)
        with self.shared:
            pass  # makes the lock files, as above: later, a killed maker's might lock others out
        if not os.path.exists(f"{self.path}/CACHEDIR.TAG"):
            self.writer.write(f"{self.path}/CACHEDIR.TAG", _CACHEDIR_TAG)
        # From here on the journal tells of every change: there was nothing before (records.journal).
        # `born` first: were it missing, only time would be lost.
        journal_id = os.urandom(8).hex().encode("ascii")
        for name in ("born", "complete"):
            self.writer.write(f"{self.path}/journal/{name}", journal_id, replace=False)
        format_ = Format(self.object_split, self.entry_split)
        if not self.writer.write(f"{self.path}/FORMAT", format_.encode(), replace=False):
            self._read_format()  # somebody made it meanwhile, perhaps with another split
        self._is_made()

    def _read_format(self) -> bool:
        with translated(self.path):
            found = read_format(self.path)
        if found is None:
            return False
        self.object_split, self.entry_split = found.objects, found.entries
        self.left_splits = found.left
        self._is_made()
        return True

    def _is_made(self) -> None:
        self._ready = True
        for objects in self._objects.values():
            objects.split = self.object_split
        for entries in self._early.values():
            entries.split = self.entry_split
        self._early.clear()
        for writer in (self.writer, self._grouped, self._quick):
            if writer is not None:
                writer.landmark = f"{self.path}/FORMAT"


_WRITERS = 30.0  # seconds; a put stays inside for microseconds, a multiput for a second at most
_PERMISSION = (errno.EACCES, errno.EPERM, errno.EROFS)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def translate(exc: OSError, path: str) -> StoreError:
    """Return our error for what the operating system said about a root."""
    from fscache import errors

    why = exc.strerror or str(exc)
    if exc.errno in _PERMISSION:
        return errors.RootPermissionError(path=path, why=why)
    if exc.errno in _FULL:
        return errors.StoreFullError(path=path, why=why)
    return errors.StoreError(path=exc.filename or path, why=why)


class translated:  # noqa: N801 - reads as a statement: `with translated(path):`
    """Translate an OSError of the block; a class, as contextlib costs a cold hit 3 ms."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, value: BaseException | None, traceback: object) -> None:
        if isinstance(value, OSError):
            from fscache.errors import FscacheError

            if not isinstance(value, FscacheError):
                raise translate(value, self._path) from value
