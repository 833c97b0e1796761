"""Bringing files into a root: each becomes an object, verified, with the URLs it stands for.

For each file, in this order: its bytes appear under a temporary name (reflink, hard link or copy); they
are hashed there, and compared with what is known of them; the object takes its name and the entries are
written, under the shared lock; the log notes it. Killed at any point, the next run goes on with the
first file that the log does not know. The old store is only read, until `remove` is asked for.

A URL that the root knows already keeps what it stands for.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from fscache.fs import atomic, copies
from fscache.fs.bring import bring
from fscache.fs.walk import remove_empty
from fscache.migrate.checks import ADDRESS, GIT, checker
from fscache.migrate.item import Item, Passed
from fscache.objects.digest import address_of
from fscache.objects.layout import parse_address
from fscache.records.journal import OBJECT, PUT, URL, Journal
from fscache.urls.entry import URLEntry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from fscache.migrate.log import Log
    from fscache.objects.store import Stored
    from fscache.records.root import Root
    from fscache.urls.index import URLIndex


@dataclass(slots=True)
class Moved:
    """What a migration did.

    Attributes:
        files: Files that are objects of the root now.
        bytes: Their bytes.
        urls: URLs that stand for them.
        again: Files that an earlier run had brought over.
        how: Files by `reflink`, `link` or `copy`.
        removed: Files removed from the old store.
    """

    files: int = 0
    bytes: int = 0
    urls: int = 0
    again: int = 0
    how: dict[str, int] = field(default_factory=dict)
    removed: int = 0


class Transfer:
    """Brings the files of one old store into one root."""

    def __init__(
        self, root: Root, index: URLIndex, source: str, log: Log, *, by: str, link: bool = True
    ) -> None:
        """Bring files into `root`, which exists.

        Args:
            root: The root.
            index: Its URL entries.
            source: The old store, an absolute path.
            log: What was brought over before.
            by: Who migrates, `user@host`.
            link: Whether hard links may be made.
        """
        self._root = root
        self._index = index
        self._objects = root.objects()
        self._source = source
        self._log = log
        self._by = by
        self._link = link
        self._accessed = 0.0
        # Its records bear the files' own last access, so that old files stay old.
        self._journal = Journal(f"{root.path}/journal", root.writer, lambda: self._accessed)
        self.moved = Moved()

    def take(self, item: Item) -> Passed | None:
        """Bring one file over; return why not, where it, or a URL of it, stays.

        Raises:
            OSError: the root cannot be written, or the file not be read.
        """
        status = os.stat(item.path)
        name = os.path.relpath(item.path, self._source)
        known = self._log.address(name, status)
        if known is not None and self._is_here(known, item):
            self._count(status.st_size, len(item.urls), "")
            return None
        fd, temp, how = bring(self._root.writer, item.path, link=self._link)
        try:
            why, digest, sums = self._check(fd, item, status)
            if why:
                atomic.remove(temp)
                return Passed(item.path, why)
            urls = self._free(item.urls, digest)
            if item.urls and not urls:
                atomic.remove(temp)
                return Passed(item.path, "the root has other bytes for its URL")
            stored = self._adopt(fd, temp, digest, status, urls, sums, item.etag)
        except BaseException:
            atomic.remove(temp)
            raise
        finally:
            os.close(fd)
        self._log.add(name, status, stored.address)
        self._count(status.st_size, len(urls), how)
        taken = [url for url in item.urls if url not in urls]
        return Passed(item.path, f"the root has other bytes for {taken[0]}") if taken else None

    def address(self, item: Item) -> str | None:
        """Return the address of a file here, bringing it over where it is not; None where it stays.

        Raises:
            OSError: as `take`.
        """
        status = os.stat(item.path)
        name = os.path.relpath(item.path, self._source)
        known = self._log.address(name, status)
        if known is None or not self._is_here(known, item):
            if self.take(item) is not None:
                return None
            known = self._log.address(name, status)
        return known

    def remove(self, items: Iterable[Item]) -> None:
        """Remove from the old store what was brought over and is still there, unchanged."""
        for item in items:
            try:
                status = os.stat(item.path)
            except FileNotFoundError:
                continue
            address = self._log.address(os.path.relpath(item.path, self._source), status)
            if address is None or not self._is_here(address, item):
                continue
            for path in (*item.extra, item.path):
                atomic.remove(path)
                remove_empty(os.path.dirname(path), self._source)
            self.moved.removed += 1

    def _check(
        self, fd: int, item: Item, before: os.stat_result
    ) -> tuple[str, str, dict[str, str]]:
        """Hash what was brought; return why it is not to be taken, its digest, and its checksums."""
        hasher = self._objects.new_hasher()
        expected = dict(item.expected or {})
        try:
            running = {each: checker(each, before.st_size) for each in expected}
        except ValueError as exc:
            return f"no way to check it: {exc}", "", {}
        feeds = [hasher.update, *(each.update for each in running.values())]

        def take(view: memoryview) -> None:
            for feed in feeds:
                feed(view)

        copies.copy_bytes(copies.reader(fd), take)
        after = os.stat(item.path)
        if (after.st_ino, after.st_size, after.st_mtime_ns) != (
            *(before.st_ino, before.st_size, before.st_mtime_ns),
        ):
            return "it changed while it was read", "", {}
        sums = {}
        for algorithm, run in running.items():
            actual = run.hexdigest()
            if actual != expected[algorithm]:
                return f"damaged: its {algorithm} is {actual}", "", {}
            if algorithm not in (GIT, ADDRESS):
                sums[algorithm] = actual
        return "", hasher.hexdigest(), sums

    def _adopt(  # noqa: PLR0917 - all of one file's facts
        self,
        fd: int,
        temp: str,
        digest: str,
        status: os.stat_result,
        urls: list[str],
        sums: dict[str, str],
        etag: str | None,
    ) -> Stored:
        now = self._root.now()
        self._accessed = min(status.st_atime, now)
        with self._root.shared:
            stored = self._objects.adopt(fd, temp, digest)
            if stored.new:
                atomic.set_access_time(stored.path, stored.status, self._accessed)
            for url in urls:
                fetched_at = min(status.st_mtime, now)
                self._index.write(
                    URLEntry(
                        url,
                        stored.digest,
                        slot=stored.slot,
                        size=stored.size,
                        inode=stored.status.st_ino,
                        mtime_ns=stored.status.st_mtime_ns,
                        fetched_at=fetched_at,
                        checked_at=fetched_at,
                        staged_by=self._by,
                        etag=etag,
                        checksums=sums,
                    )
                )
                self._journal.append(PUT, URL, url, stored.address, stored.size, self._by)
            if not urls:
                self._journal.append(PUT, OBJECT, stored.address, stored.address, stored.size)
        return stored

    def _free(self, urls: Iterable[str], digest: str) -> list[str]:
        """Return the URLs that stand for nothing here yet, or for these very bytes."""
        free = []
        for url in urls:
            hit = self._index.find(url, touch=False)
            if hit is None or hit.entry.digest == digest:
                free.append(url)
        return free

    def _is_here(self, address: str, item: Item) -> bool:
        place = parse_address(address)
        if not os.path.exists(self._objects.locate(*place)):
            return False
        entries = [self._index.entry(url) for url in item.urls]
        return all(each and (address_of(each.digest), each.slot) == place for each in entries)

    def _count(self, size: int, urls: int, how: str) -> None:
        self.moved.files += 1
        self.moved.bytes += size
        self.moved.urls += urls
        if how:
            self.moved.how[how] = self.moved.how.get(how, 0) + 1
        else:
            self.moved.again += 1
