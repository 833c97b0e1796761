"""One migration, from an old store into a root: read, brought over, and removed there when asked."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from fscache.errors import NotACacheError, StoreError
from fscache.migrate import beside
from fscache.migrate.item import Passed
from fscache.migrate.log import Log
from fscache.migrate.readers import READERS
from fscache.migrate.transfer import Moved, Transfer
from fscache.records.root import Root, translated
from fscache.urls.index import URLIndex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fscache.migrate.beside import Besides
    from fscache.migrate.item import Found, Item
    from fscache.migrate.urls import URLList

_OWN = "fscache"


@dataclass(slots=True)
class Migrated:
    """What a migration did.

    Attributes:
        moved: With files and their URLs.
        besides: With key-values, task records and pins.
        passed: Things that stay where they are.
    """

    moved: Moved = field(default_factory=Moved)
    besides: Besides = field(default_factory=beside.Besides)
    passed: int = 0


class Migration:
    """One old store, to be brought into one root."""

    def __init__(self, root: Root, source: str, form: str, urls: URLList) -> None:
        """Bring the directory `source`, of a format of `READERS`, into `root`.

        Raises:
            StoreError: one of them lies in the other.
            FormatError: the source is a root of a newer version.
            NotACacheError: it is said to be a root of ours, and is none.
        """
        here, there = (f"{os.path.realpath(path)}/" for path in (root.path, source))
        if here.startswith(there) or there.startswith(here):
            raise StoreError(path=source, why=f"it is not apart from the cache at {root.path}")
        self._root = root
        self._source = source
        self._own = Root(source, now=root.now) if form == _OWN else None
        if self._own is not None and not self._own.exists:
            raise NotACacheError(path=source, why="there is no cache here")
        self._form = form
        self._urls = urls

    def found(self) -> Iterator[Found]:
        """Yield what files there are; changes nothing."""
        return READERS[self._form](self._source, self._urls)

    def besides(self) -> Besides:
        """Return what there is besides; changes nothing."""
        return beside.Besides() if self._own is None else beside.count(self._own)

    def run(
        self, *, by: str, link: bool, remove: bool, report: Callable[[Passed], None]
    ) -> Migrated:
        """Bring everything over that is not here yet.

        Args:
            by: Who migrates, `user@host`.
            link: Whether hard links may be made.
            remove: Remove from the old store what was brought over.
            report: Told of what stays.

        Raises:
            StoreError: the root cannot be written, or the old store not be read.
        """
        root = self._root
        items: list[Item] = []
        with translated(root.path):
            root.ensure()
            with Log(root, self._source) as log:
                transfer = Transfer(root, URLIndex(root), self._source, log, by=by, link=link)
                others = self._own and beside.Beside(root, self._own, transfer, log)
                done = Migrated(transfer.moved, others.done if others else beside.Besides())

                def stays(what: Passed) -> None:
                    done.passed += 1
                    report(what)

                if others:
                    others.pin(by=by)
                for each in self.found():
                    why = each if isinstance(each, Passed) else transfer.take(each)
                    if why is not None:
                        stays(why)
                    elif remove and not isinstance(each, Passed):
                        items.append(each)
                if others:
                    for what in others.take():
                        stays(what)
                if remove:
                    needed = others.remove() if others else frozenset[str]()
                    transfer.remove(each for each in items if each.path not in needed)
        return done
