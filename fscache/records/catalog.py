"""The catalog, open: every object and entry of a root in one SQLite file.

It learns of changes by folding the journal (`fold`), when someone asks. It never lacks what is there
and was recorded; what it lists may be gone meanwhile. Its last accesses are those that the journal
tells of: every touch of ours appends a record. What the kernel adds on mounts with `relatime` is not
in it; whoever shows or purges an object looks at the object again.
"""

from __future__ import annotations

from fscache.records.fold import Folder, fold, read_positions, retirable
from fscache.records.journal import BORN
from fscache.records.segments import JournalGapError, journal_id, segments, unread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fscache.records.root import Root
    from fscache.records.schema import Connection
    from fscache.records.segments import Position
    from fscache.records.sources import Source


class Catalog:
    """An open catalog."""

    __slots__ = ("_directory", "_folder", "db", "private", "root")

    def __init__(
        self, db: Connection, root: Root, sources: Mapping[str, Source], *, private: bool = False
    ) -> None:
        """Wrap an open file; `private` is a copy that nobody else sees."""
        self.db = db
        self.root = root
        self.private = private
        self._directory = f"{root.path}/journal"
        self._folder = Folder(db, root, sources)

    @property
    def journal_id(self) -> str:
        """The id of the journal that it follows; empty if it follows none."""
        row = self.db.execute("SELECT value FROM meta WHERE key = 'journal'").fetchone()
        return str(row[0]) if row else ""

    def positions(self) -> dict[str, Position]:
        """How far it has read the journal."""
        return read_positions(self.db)

    def is_current(self) -> bool:
        """Whether there is nothing to fold.

        Raises:
            JournalGapError: the journal does not tell of every change.
        """
        known = self.journal_id
        if not known or journal_id(self._directory) != known:
            raise JournalGapError("the journal is not complete")
        return not unread(self.positions(), segments(self._directory))

    def fold(self) -> None:
        """Fold in what the journal has; raises JournalGapError as `is_current`."""
        if not self.is_current():
            self.write(lambda: fold(self._folder, self.db, self._directory))

    def retire(self) -> None:
        """Remove segments that are folded and that nobody writes to any more."""
        old = retirable(self.positions(), segments(self._directory), self.root.now())
        if not old:
            return
        self._remove(BORN)
        self.write(
            lambda: self.db.executemany(
                "DELETE FROM segments WHERE name = ?", [(name,) for name in old]
            )
        )
        for name in old:
            self._remove(name)

    def look_at(self, addresses: Iterable[str], entries: Iterable[tuple[str, str]] = ()) -> None:
        """Make the rows of these objects, and of entries by kind and name, what the disk says."""

        def look() -> None:
            for address in addresses:
                self._folder.look_at(address)
            for kind, name in entries:
                self._folder.look_at_entry(kind, name)

        self.write(look)

    def write(self, change: Callable[[], object]) -> None:
        """Make one change to the tables, whole or not at all."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            change()
            self.db.execute("COMMIT")
        except BaseException:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    def _remove(self, name: str) -> None:
        from fscache.fs.atomic import remove

        remove(f"{self._directory}/{name}")
