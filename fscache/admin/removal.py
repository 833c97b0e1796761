"""Looking at what may be purged, and removing it: the disk's side of a purge."""

from __future__ import annotations

import os

from fscache.fs import atomic
from fscache.fs.lock import try_flock
from fscache.fs.walk import remove_empty
from fscache.objects import purge as plan
from fscache.objects.layout import parse_address
from fscache.objects.purge import Candidate
from fscache.records.journal import DELETE, OBJECT, PURGE, PUT, TOUCH
from fscache.records.listing import KINDS
from fscache.records.rows import bound, text_of
from fscache.records.segments import Follower
from fscache.urls.names import is_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from fscache.admin.keeper import Keeper
    from fscache.records.catalog import Catalog

_PAGE = 1000
# What entries of other kinds name is gathered once: asking for it object by object takes ten times as
# long as all the rest of a plan.
_KEPT = """
CREATE TEMP TABLE kept AS SELECT DISTINCT address FROM entries
WHERE kind IN ({kinds}) AND address IS NOT NULL
"""
_CANDIDATES = """
SELECT address, size, disk, accessed FROM objects AS o
WHERE (accessed, address) > (?, ?) AND NOT EXISTS (SELECT 1 FROM kept WHERE address = o.address)
"""
_NAMES = "SELECT address, name FROM entries WHERE address IN ({marks})"
_FITTING = """
AND NOT EXISTS (SELECT 1 FROM entries AS e WHERE e.address = o.address AND e.name NOT GLOB ?)
AND (o.address GLOB ? OR EXISTS (SELECT 1 FROM entries AS e WHERE e.address = o.address))
"""


class Remover:
    """Looks at candidates and removes them."""

    def __init__(self, keeper: Keeper, catalog: Catalog) -> None:
        """Take candidates from an open catalog."""
        self._sources = keeper.sources
        self._pins = keeper.pins
        self._catalog = catalog
        self._root = keeper.root
        self._objects = keeper.root.objects()
        self._follower = Follower(
            f"{keeper.root.path}/journal", catalog.positions(), catalog.journal_id
        )
        self.gone: list[str] = []  # what the catalog has and the disk has not
        self._used_since: set[str] = set()
        self._page: list[str] = []
        self._names: dict[str, str] = {}
        self._pins_seen = -1
        self._pinned: set[str] = set()
        self._read_pins()

    def used(self) -> int:
        """Return the bytes of all objects."""
        query = "SELECT COALESCE(SUM(size), 0) FROM objects"
        return int(self._catalog.db.execute(query).fetchone()[0])

    def candidates(self, match: str | None) -> Iterator[Candidate]:
        """Yield what nobody but URLs names, by last access as the catalog knows it."""
        db = self._catalog.db
        kept = [kind for kind in KINDS if kind != OBJECT and self._is_kept(kind)]
        db.execute("DROP TABLE IF EXISTS temp.kept")
        db.execute(_KEPT.format(kinds=", ".join("?" * len(kept))), kept)
        db.execute("CREATE UNIQUE INDEX temp.kept_address ON kept (address)")
        statement, values = _CANDIDATES, list[str | bytes]()
        if match is not None:
            statement, values = statement + _FITTING, [bound(match)] * 2
        statement += f"ORDER BY accessed, address LIMIT {_PAGE}"
        last: tuple[float, str] = (float("-inf"), "")
        # In pages, each read to its end: no statement stays open while objects are removed.
        while page := db.execute(statement, [*last, *values]).fetchall():
            self._page = [row[0] for row in page]
            for address, size, disk, accessed in page:
                yield Candidate(address, size, disk, accessed)
            last = (page[-1][3], page[-1][0])

    def _is_kept(self, kind: str) -> bool:
        """Whether there is something that entries of a kind keep from being purged."""
        # Looked for first: to import key-values and tasks takes half as long as a small plan.
        some = "SELECT 1 FROM entries WHERE kind = ? LIMIT 1"
        if self._catalog.db.execute(some, (kind,)).fetchone() is None:
            return False
        # A kind without a source is one that this program cannot ask: what it names is kept.
        return kind not in self._sources or not self._sources[kind].purgeable

    def name(self, address: str) -> str:
        """Return an entry that names an object, for people; empty if there is none."""
        if address not in self._names:
            # The names of a whole page at once: a third of the time of asking for each.
            if address in self._page:
                self._names = self._names_of(self._page)
            else:  # one that was put off from an earlier page
                self._names |= self._names_of([address])
        return self._names[address]

    def _names_of(self, addresses: list[str]) -> dict[str, str]:
        marks = ", ".join("?" * len(addresses))
        found = self._catalog.db.execute(_NAMES.format(marks=marks), addresses)
        names = {address: text_of(name) for address, name in found}
        return dict.fromkeys(addresses, "") | names

    def path(self, address: str) -> str:
        """Return where an object lies."""
        return self._objects.locate(*parse_address(address))

    def look(self, candidate: Candidate) -> Candidate | str:
        """Return a candidate as it is on the disk now."""
        try:
            status = os.stat(self.path(candidate.address))
        except FileNotFoundError:
            self.gone.append(candidate.address)
            return plan.GONE
        return Candidate(
            candidate.address,
            status.st_size,
            # Another name of the same bytes, of an older store that was migrated by links.
            0 if status.st_nlink > 1 else status.st_blocks * 512,
            max(candidate.accessed, status.st_atime),
            pinned=candidate.address in self._pinned,
        )

    def catch_up(self) -> None:
        """Read what was pinned, put and touched since the plan; the exclusive lock is held."""
        self._read_pins()
        for record in self._follower.read():
            if record.op in (PUT, TOUCH):
                self._used_since.add(record.address)

    def remove(self, candidate: Candidate) -> str | None:
        """Remove an object and the entries that name it; return why not, if it was spared."""
        address = candidate.address
        if address in self._used_since:
            return plan.YOUNG
        if address in self._pinned:
            return plan.PINNED
        path = self.path(address)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return plan.GONE
        except PermissionError:
            return plan.FORBIDDEN  # who may not read it cannot see its leases
        try:
            status = os.fstat(fd)
            if status.st_atime > candidate.accessed:
                return plan.YOUNG
            if not try_flock(fd):
                return plan.LEASED
            try:
                for name in (path, *self._other_names(address)):
                    atomic.remove(name)
                    remove_empty(os.path.dirname(name), self._objects.top)
            except PermissionError:
                return plan.FORBIDDEN
        finally:
            os.close(fd)
        self._root.journal.append(PURGE, OBJECT, address, address, status.st_size)
        self._forget(address)
        return None

    def _other_names(self, address: str) -> list[str]:
        """Return where an object lies besides, while a change of split is not cleared away."""
        place = parse_address(address)
        return [f"{self._objects.top}/{split.relative(*place)}" for split in self._root.left_splits]

    def _forget(self, address: str) -> None:
        names = self._catalog.db.execute(
            "SELECT kind, name FROM entries WHERE address = ?", (address,)
        ).fetchall()
        for kind, name in ((kind, text_of(name)) for kind, name in names):
            if self._sources[kind].remove(name, address):
                self._root.journal.append(DELETE, kind, name)

    def is_pinned(self, address: str) -> bool:
        """Whether an administrator keeps an object, or a URL that stands for it."""
        return address in self._pinned

    def _read_pins(self) -> None:
        try:
            seen = os.stat(f"{self._root.path}/pins").st_mtime_ns
        except FileNotFoundError:
            return
        if seen != self._pins_seen:
            self._pins_seen = seen
            self._pinned = self._pinned_addresses()

    def _pinned_addresses(self) -> set[str]:
        found = set()
        for name in self._pins.names():
            if is_url(name):
                named = self._sources["url"].look(name)
                if named is not None:
                    found.add(named.address)
            else:
                found.add(name)
        return found
