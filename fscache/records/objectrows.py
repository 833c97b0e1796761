"""The catalog's rows of all objects, read in this process and, where that pays, in a helper beside it.

Promises: every object once, and every stray once, whoever found it. The helper's rows are there to be
taken while this process reads something else (`ready`); nobody waits for it. What it has not done when
all the rest is (`rest`), or because it died, is done here, from the last piece backwards, so that the
two meet.

Not promised: the order of addresses, but nearly that: SQLite takes rows in order in half the time.
"""

from __future__ import annotations

from collections import deque

from fscache.fs import helper
from fscache.fs.ahead import ahead
from fscache.objects.layout import Split
from fscache.objects.walk import Walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

    from fscache.records.root import Root

    Row = tuple[str, int, int, float, float]  # address, size, bytes on the disk, accessed, stored
    Piece = tuple[list[Row], list[str]]  # and strays

LEAST = 64  # pieces, some 8,000 objects or 0.2 s, from which a helper pays for its start
_IN_HAND = 32  # pieces that the helper has: it need not wait while we are at something else


class ObjectRows:
    """Reads the objects of one root, once."""

    def __init__(self, root: Root) -> None:
        """Begin to read the objects of `root`; to be entered, which ends the helper."""
        self.strays: list[str] = []
        settings = (
            f"{root.path}/objects",
            str(root.object_split),
            [str(split) for split in root.left_splits],
        )
        self._read = reader(*settings)
        self._pieces = deque(_walk(*settings, self.strays.append).pieces())
        self._given: deque[list[str]] = deque()
        self._done = 0
        self._total = len(self._pieces)
        self._helper: helper.Helper | None = None
        if self._total >= LEAST and helper.available():
            try:
                self._helper = helper.Helper(__name__, reader.__name__, *settings)
            except OSError:
                return  # no memory, no process: it takes longer
            self._give()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._helper is not None:
            self._helper.close()

    def ready(self) -> Iterator[Row]:
        """Yield what the helper has read since it was last asked; does not wait."""
        if self._helper is None:
            return
        for result in self._helper.results():
            if not self._given:
                break  # done here meanwhile
            self._given.popleft()
            self._give()
            yield from self._taken(result)

    def rest(self, show: Callable[[str, int, int], None]) -> Iterator[Row]:
        """Yield all that remain, and show how many pieces are done."""
        for result in ahead(self._read, self._left()):
            yield from self._taken(result)
            yield from self.ready()
            show("objects", self._done, self._total)

    def _give(self) -> None:
        while self._helper and self._pieces and len(self._given) < _IN_HAND:
            self._given.append(self._pieces.popleft())
            self._helper.give(self._given[-1])

    def _left(self) -> Iterator[list[str]]:
        while self._pieces:
            yield self._pieces.popleft()
        while self._given:
            yield self._given.pop()

    def _taken(self, result: Piece) -> Iterable[Row]:
        rows, strays = result
        self.strays += strays
        self._done += 1
        return rows


def reader(top: str, split: str, left: list[str]) -> Callable[[list[str]], Piece]:
    """Return what reads one piece of a walk of `top`; the helper calls it by name."""

    def read(names: list[str]) -> Piece:
        strays: list[str] = []
        rows = []
        for found in _walk(top, split, left, strays.append).piece(names):
            status = found.status
            size, disk = status.st_size, status.st_blocks * 512
            rows.append((found.address, size, disk, status.st_atime, status.st_mtime))
        return rows, strays

    return read


def _walk(top: str, split: str, left: list[str], stray: Callable[[str], None]) -> Walk:
    return Walk(top, Split.parse(split), left=map(Split.parse, left), stray=stray)
