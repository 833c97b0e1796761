"""Opening the catalog, however it is found: current, behind, missing, damaged, or not ours to write.

Promises: whoever reads or writes the cache never waits for this. Two processes may do it at once (one
works, the other waits). Who may not write here, or finds the disk full, gets a private copy that is
just as new. A file that cannot be used is set aside and made anew, and `say` is told why.
"""

from __future__ import annotations

import errno
import os

from fscache.fs import atomic
from fscache.fs.lock import guard
from fscache.records import schema
from fscache.records.catalog import Catalog
from fscache.records.fold import Folder, fold
from fscache.records.journal import BORN
from fscache.records.root import translate, translated
from fscache.records.segments import JournalGapError, is_born, journal_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from fscache.errors import StoreError
    from fscache.records.rebuild import Progress, Survey
    from fscache.records.root import Root
    from fscache.records.sources import Source

LOCK_SECONDS = 600.0  # a rebuild of a million objects takes minutes on a cold disk
_CANNOT_WRITE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Opener:
    """Opens the catalog of one root."""

    def __init__(
        self,
        root: Root,
        sources: Mapping[str, Source],
        *,
        say: Callable[[str], None],
        progress: Progress | None = None,
        timeout: float = LOCK_SECONDS,
    ) -> None:
        """Open the catalog of `root`, which exists.

        Args:
            root: The root.
            sources: Its kinds of entries.
            say: Told, in a sentence, why the catalog has to be made anew.
            progress: Told how far that is.
            timeout: The longest wait for another process that folds or rebuilds, in seconds.
        """
        self._root = root
        self._sources = sources
        self._say = say
        self._progress = progress
        self._timeout = timeout
        self._patience = min(timeout, schema.BUSY_SECONDS)
        self._path = f"{root.path}/catalog.sqlite"
        self._journal = f"{root.path}/journal"

    def open(self) -> Catalog:
        """Return the catalog, up to date.

        Raises:
            LockTimeoutError: another process was at it for longer than the timeout.
            StoreError: the root or the catalog cannot be read.
        """
        try:
            current = self._open_current()
            if current is not None:
                return current
            with self._lock():
                return self._refresh()
        except OSError as exc:
            if _is_ours(exc):
                raise
            if exc.errno not in _CANNOT_WRITE:
                raise translate(exc, self._root.path) from exc
        except schema.Error as exc:
            if not schema.cannot_write(exc):
                raise self.refused(exc) from exc
        with translated(self._root.path):
            return self._open_private()

    def rebuild(self) -> Survey:
        """Make the catalog anew from the files and return what was found.

        Raises:
            StoreFullError, RootPermissionError: it could not be written; the old one is untouched.
            LockTimeoutError: another process was at it for longer than the timeout.
        """
        try:
            with self._lock():
                return self._rebuild()
        except OSError as exc:
            if _is_ours(exc):
                raise
            raise translate(exc, self._path) from exc
        except schema.Error as exc:
            raise self.refused(exc) from exc

    def refused(self, error: schema.Error) -> StoreError:
        """Return our error for what SQLite said about the catalog."""
        if schema.is_busy(error):
            from fscache.errors import LockTimeoutError

            why = f"locked by another process for {self._patience:g} s"
            return LockTimeoutError(path=self._path, why=why)
        return translate(schema.as_os_error(error), self._path)

    def set_aside(self, why: str) -> None:
        """Move a catalog that turned out damaged out of the way; the next `open` makes it anew."""
        with self._lock():
            self._set_aside(why)

    def _lock(self) -> AbstractContextManager[None]:
        path = f"{self._root.path}/locks/catalog"
        return guard(path, timeout=self._timeout, mode=self._root.modes.partial)

    def _existing(self, *, writable: bool) -> Catalog:
        db = schema.open_existing(self._path, writable=writable, timeout=self._patience)
        return Catalog(db, self._root, self._sources)

    def _open_current(self) -> Catalog | None:
        """Return the catalog if there is nothing to do: no lock, nothing written."""
        try:
            catalog = self._existing(writable=os.access(self._path, os.W_OK))
        except (FileNotFoundError, schema.UnusableError):
            return None
        try:
            if catalog.is_current():
                return catalog
        except (JournalGapError, schema.Error):
            pass
        catalog.close()
        return None

    def _refresh(self) -> Catalog:
        """Fold, or make anew what cannot be folded; the lock is held."""
        try:
            catalog = self._existing(writable=True)
        except FileNotFoundError:
            return self._make_missing()
        except schema.UnusableError as exc:
            self._set_aside(str(exc))
            return self._make_missing()
        try:
            catalog.fold()
            catalog.retire()
        except JournalGapError as exc:
            catalog.close()
            self._say(f"{exc}: the catalog is made anew from the files")
            self._rebuild()
            return self._existing(writable=True)
        except BaseException as exc:
            catalog.close()
            if isinstance(exc, schema.Error) and schema.is_damage(exc):
                self._set_aside(str(exc))
                return self._make_missing()
            raise
        return catalog

    def _make_missing(self) -> Catalog:
        if is_born(self._journal):
            try:
                self._publish(self._from_journal)
            except JournalGapError as exc:
                self._say(f"{exc}: the catalog is made anew from the files")
            else:
                return self._existing(writable=True)
        self._rebuild()
        return self._existing(writable=True)

    def _rebuild(self) -> Survey:
        from fscache.records.rebuild import begin_journal

        begin_journal(self._root)
        # The walk may find what no record tells of: from here on the journal alone is not enough.
        atomic.remove(f"{self._journal}/{BORN}")
        return self._publish(self._from_files)

    def _publish(self, fill: Callable[[str], tuple[schema.Connection, Survey]]) -> Survey:
        root = self._root
        fd, temp = root.writer.create_temp()
        try:
            try:
                os.fchmod(fd, root.modes.object | root.modes.partial)
            finally:
                os.close(fd)
            db, found = fill(temp)
            db.close()
            # A transaction that was cut off left its undo log, which must not meet another file.
            atomic.remove(f"{self._path}-journal")
            atomic.move(temp, self._path)
        except BaseException:
            atomic.remove(f"{temp}-journal")
            atomic.remove(temp)
            raise
        return found

    def _from_journal(self, target: str) -> tuple[schema.Connection, Survey]:
        """Fold the whole journal: quicker than a walk, and nothing was there before it began."""
        from fscache.records.rebuild import Survey

        db = schema.create(target)
        try:
            schema.make_keys(db)
            db.execute("BEGIN IMMEDIATE")
            known = journal_id(self._journal)
            db.execute("INSERT OR REPLACE INTO meta VALUES ('journal', ?)", (known,))
            fold(Folder(db, self._root, self._sources), db, self._journal)
            db.execute("COMMIT")
            schema.finish(db)
        except BaseException:
            db.close()
            raise
        return db, Survey()

    def _from_files(self, target: str) -> tuple[schema.Connection, Survey]:
        from fscache.records.rebuild import rebuild

        old: str | None = self._path
        try:
            schema.open_existing(self._path, writable=False).close()
        except (FileNotFoundError, schema.UnusableError):
            old = None
        return rebuild(self._root, self._sources, target=target, old=old, progress=self._progress)

    def _set_aside(self, why: str) -> None:
        target = f"{self._root.path}/quarantine/catalog.sqlite.{os.urandom(4).hex()}"
        self._say(f"catalog.sqlite cannot be used ({why}): moved to {target} and made anew")
        self._root.writer.make_directories(os.path.dirname(target))
        atomic.remove(f"{self._path}-journal")
        atomic.move(self._path, target)

    def _open_private(self) -> Catalog:
        """Return a copy in memory (or the temporary directory), for who cannot write here."""
        try:
            known = schema.open_existing(self._path, writable=False)
        except (FileNotFoundError, schema.UnusableError):
            db = self._from_files("")[0]
            return Catalog(db, self._root, self._sources, private=True)
        db = schema.copy(known)
        catalog = Catalog(db, self._root, self._sources, private=True)
        try:
            catalog.fold()
        except JournalGapError:
            catalog.close()
            db = self._from_files("")[0]
            return Catalog(db, self._root, self._sources, private=True)
        return catalog


def _is_ours(exc: OSError) -> bool:
    """Whether an error is of our tree already; some of that are the system's kinds, too."""
    from fscache.errors import FscacheError  # only now: the tree costs more than a listing

    return isinstance(exc, FscacheError)
