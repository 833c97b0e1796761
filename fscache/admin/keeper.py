"""One root, as its administrator has it in hand: the catalog, up to date, and the sources behind it."""

from __future__ import annotations

from fscache.admin.sources import sources
from fscache.records import schema
from fscache.records.opener import LOCK_SECONDS, Opener
from fscache.records.pins import Pins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from fscache.records.catalog import Catalog
    from fscache.records.rebuild import Progress, Survey
    from fscache.records.root import Root

    T = TypeVar("T")


class Keeper:
    """Opens the catalog of one root for whoever lists, sums, purges or verifies."""

    def __init__(
        self,
        root: Root,
        *,
        say: Callable[[str], None],
        progress: Progress | None = None,
        timeout: float = LOCK_SECONDS,
    ) -> None:
        """Keep `root`.

        Args:
            root: The root.
            say: Told in a sentence what was found wrong with the catalog and mended.
            progress: Told of long work: the phase, the steps done, and their number.
            timeout: The longest wait for another process that works on the catalog, in seconds.

        Raises:
            NotACacheError: there is no cache at the root's path.
        """
        if not root.exists:
            from fscache.errors import NotACacheError

            raise NotACacheError(path=root.path, why="there is no cache here")
        self.root = root
        self.sources = sources(root)
        self.say = say
        self.progress = progress
        self.pins = Pins(root)
        self._opener = Opener(root, self.sources, say=say, progress=progress, timeout=timeout)

    def open(self) -> Catalog:
        """Return the catalog, up to date; the caller closes it."""
        return self._opener.open()

    def ask(self, question: Callable[[Catalog], T]) -> T:
        """Return what `question` reads from the catalog, which is up to date.

        A catalog that turns out damaged is made anew, once.

        Raises:
            StoreError: it cannot be read.
        """
        for again in (True, False):
            catalog = self.open()
            try:
                return question(catalog)
            except schema.Error as exc:
                if catalog.private or not again or not schema.is_damage(exc):
                    raise self._opener.refused(exc) from exc
                catalog.close()
                self._opener.set_aside(str(exc))
            finally:
                catalog.close()
        raise AssertionError  # the second round returns or raises

    def reindex(self) -> Survey:
        """Make the catalog anew from the files; return what was found."""
        return self._opener.rebuild()
