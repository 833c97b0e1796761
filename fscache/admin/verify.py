"""Verifying a root that is in use: every file is where it belongs, and holds what it should.

The tree is walked in any case; which objects are hashed again is chosen: all, a sample, or those whose
last verification is too long ago. What is purged or put meanwhile is neither missing nor orphaned.

Promises: nothing is changed but the times of verification in the catalog. Repairing is `repair`'s.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from fscache.admin import findings
from fscache.admin.findings import Finding, Verified
from fscache.objects.digest import address_of, new_hasher
from fscache.objects.layout import format_address, parse_address
from fscache.objects.verify import hash_file
from fscache.objects.walk import Walk
from fscache.records.audit import audit
from fscache.records.rows import text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from fscache.admin.keeper import Keeper
    from fscache.objects.walk import Found
    from fscache.records.catalog import Catalog

LEFTOVER_AGE = 7 * 86400.0
_NOTED = 1000  # verifications that are written to the catalog at once


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects to hash; all by default.

    Attributes:
        share: A random share of them, 0 to 1.
        older_than: Only those not verified for so many seconds.
    """

    share: float = 1.0
    older_than: float | None = None


class Throttle:
    """Takes the bytes that are hashed, and sleeps where they come faster than `rate` a second."""

    def __init__(
        self,
        rate: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Allow `rate` bytes a second on average."""
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._due = clock()

    def update(self, data: bytes | memoryview, /) -> None:
        """Wait until these bytes may have come."""
        now = self._clock()
        # Time that was not used is not saved up for a burst.
        self._due = max(self._due, now) + len(data) / self._rate
        if self._due > now:
            self._sleep(self._due - now)

    def hexdigest(self) -> str:
        """Return nothing: the protocol of digests has it."""
        return ""


class Verifier:
    """Verifies one root."""

    def __init__(
        self,
        keeper: Keeper,
        *,
        selection: Selection,
        random: Random,
        throttle: Throttle | None = None,
    ) -> None:
        """Verify the root of `keeper`, hashing what is selected."""
        self._keeper = keeper
        self._root = keeper.root
        self._selection = selection
        self._random = random
        self._also = () if throttle is None else (throttle,)
        self._started = keeper.root.now()
        self._good: list[str] = []
        self.done = Verified()

    def run(self) -> Iterator[Finding]:
        """Yield what is wrong, as it is found; `done` counts."""
        catalog = self._keeper.open()
        try:
            for finding in self._all(catalog):
                self.done.found += 1
                yield finding
            self._note(catalog)
        finally:
            catalog.close()

    def _all(self, catalog: Catalog) -> Iterator[Finding]:
        yield from self._objects(catalog)
        yield from self._entries()
        yield from self._tasks()
        yield from self._partials()

    def _objects(self, catalog: Catalog) -> Iterator[Finding]:
        strays: list[str] = []
        unknown: list[Found] = []
        root = self._root
        walk = Walk(
            f"{root.path}/objects", root.object_split, left=root.left_splits, stray=strays.append
        )
        for batch in walk.objects(self._show):
            for found in batch:
                self.done.objects += 1
                row = catalog.db.execute(
                    "SELECT verified FROM objects WHERE address = ?", (found.address,)
                ).fetchone()
                finding = self._object(catalog, found, row[0] if row else 0.0)
                if finding is not None:
                    yield finding
                elif row is None:
                    unknown.append(found)
        yield from (Finding(findings.STRAY, path) for path in sorted(strays))
        yield from self._orphans(unknown)

    def _object(self, catalog: Catalog, found: Found, verified: float) -> Finding | None:
        named = catalog.db.execute(
            "SELECT name, size FROM entries WHERE address = ?", (found.address,)
        ).fetchall()
        names = tuple(sorted(text_of(name) for name, _ in named))
        size = found.status.st_size
        wrong = [expected for _, expected in named if expected != size]
        if wrong:
            detail = f"{size} bytes instead of {wrong[0]}"
            return Finding(findings.TRUNCATED, found.path, names, detail)
        if not self._selected(verified):
            return None
        try:
            digest, status = hash_file(found.path, new_hasher, self._also)
        except FileNotFoundError:
            return None  # purged meanwhile
        except OSError as exc:
            return Finding(findings.UNREADABLE, found.path, names, exc.strerror or str(exc))
        self.done.hashed += 1
        self.done.bytes += status.st_size
        address, _slot = parse_address(found.address)
        if address_of(digest) == address:
            self._good.append(found.address)
            if len(self._good) >= _NOTED:
                self._note(catalog)
            return None
        detail = f"its digest is {digest}"
        known = catalog.db.execute(
            "SELECT 1 FROM objects WHERE address = ? AND size = ?",
            (format_address(address_of(digest), 0), status.st_size),
        ).fetchone()
        what = findings.FLIPPED if known is None else findings.MISNAMED
        return Finding(what, found.path, names, detail)

    def _selected(self, verified: float) -> bool:
        selection = self._selection
        if selection.older_than is not None and self._started - verified < selection.older_than:
            return False
        return selection.share >= 1.0 or self._random.random() < selection.share

    def _orphans(self, unknown: list[Found]) -> Iterator[Finding]:
        """Yield those that are not in the catalog now either, when it has read what was put since."""
        if not unknown:
            return
        fresh = self._keeper.open()
        try:
            for found in unknown:
                row = fresh.db.execute(
                    "SELECT 1 FROM objects WHERE address = ?", (found.address,)
                ).fetchone()
                # A put takes its name first and is recorded then: what is this new is under way.
                if row is None and found.status.st_ctime < self._started - 1.0:
                    yield Finding(findings.ORPHANED, found.path)
        finally:
            fresh.close()

    def _entries(self) -> Iterator[Finding]:
        root = self._root
        places: list[tuple[str, str, bytes | None]] = [("url", f"{root.path}/urls", b"url")]
        with os.scandir(f"{root.path}/kv") as stores:
            places += [("kv", store.path, None) for store in stores]
        for kind, top, letters in places:
            for file in audit(top, letters, root.entry_split):
                self.done.entries += 1
                if file.what:
                    yield Finding(file.what, file.path, detail=file.why)
                    continue
                name = file.name if kind == "url" else f"{os.path.basename(top)}/{file.name}"
                finding = self._dangling(kind, name, file.path)
                if finding is not None:
                    yield finding

    def _dangling(self, kind: str, name: str, path: str) -> Finding | None:
        look = self._keeper.sources[kind].look
        objects = self._root.objects()
        address = ""
        for _again in range(2):  # it may be fetched anew between the two looks
            named = look(name)
            if named is None:
                if not os.path.exists(path):
                    return None  # forgotten meanwhile
                return Finding(findings.BAD_ENTRY, path, (name,), "its fields cannot be read")
            address = named.address
            if not address or os.path.exists(objects.locate(*parse_address(address))):
                return None
        return Finding(findings.DANGLING, path, (name,), f"object {address} is not there")

    def _tasks(self) -> Iterator[Finding]:
        objects = self._root.objects()
        source = self._keeper.sources["task"]
        for named in source.scan():
            self.done.entries += 1
            path = objects.locate(*parse_address(named.address))
            # Looked for again: the record may have been dropped meanwhile, its object with it.
            if not os.path.exists(path) and source.look(named.name) is not None:
                detail = f"object {named.address}, which a task's record names, is not there"
                yield Finding(findings.DANGLING, path, (named.name,), detail)

    def _partials(self) -> Iterator[Finding]:
        directory = f"{self._root.path}/partial"
        for name in sorted(os.listdir(directory)):
            path = f"{directory}/{name}"
            try:
                age = self._started - os.stat(path, follow_symlinks=False).st_mtime
            except FileNotFoundError:
                continue
            if age > LEFTOVER_AGE:
                yield Finding(findings.LEFTOVER, path, detail=f"{age / 86400:.0f} days old")

    def _note(self, catalog: Catalog) -> None:
        """Write down which objects are good: they need not be verified again soon."""
        rows = [(self._started, address) for address in self._good]
        self._good.clear()
        if rows and not catalog.private:
            catalog.write(
                lambda: catalog.db.executemany(
                    "UPDATE objects SET verified = ? WHERE address = ?", rows
                )
            )

    def _show(self, done: int, total: int) -> None:
        if self._keeper.progress:
            self._keeper.progress("verify", done, total)
