"""The rows of a new catalog, read piece by piece in this process and, where that pays, in a helper too.

Promises: every file once, whoever read it, and the same rows. The helper's are there to be taken while
this process is at something else (`ready`); nobody waits for it. What it has not done when all the rest
is (`rest`), or because it died, is done here, from the last piece backwards, so that the two meet.

Not promised: an order; but rows come nearly in that of the pieces, which SQLite takes in half the time.
"""

from __future__ import annotations

import importlib
from collections import deque

from fscache.fs import helper
from fscache.fs.ahead import ahead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any, Self

    Rows = list[tuple[Any, ...]]
    Read = tuple[Rows, list[str]]  # the rows of a piece, and what made none
    Result = tuple[int, Rows, list[str]]  # the same, and of which share the piece was

LEAST = 64  # pieces, some 8,000 files or 0.2 s, from which a helper pays for its start
_IN_HAND = 32  # pieces that the helper has: it need not wait while we are at something else


class Share:
    """One kind of files, as far as they can be read in pieces."""

    __slots__ = ("left", "name", "pieces", "recipe")

    def __init__(
        self,
        name: str,
        recipe: tuple[str, str, tuple[Any, ...]],
        pieces: Sequence[Any],
        left: Callable[[list[str]], Iterable[tuple[Any, ...]]],
    ) -> None:
        """Describe it.

        Args:
            name: What to call it while it is read.
            recipe: Module, function and arguments, all as `fs.helper` takes them: called in either
                process, the function returns what reads one piece, which returns `Read`.
            pieces: The pieces.
            left: Called in this process with the paths that made no row; returns the rows they make.
        """
        self.name = name
        self.recipe = recipe
        self.pieces = pieces
        self.left = left


class Shared:
    """Reads all shares, once."""

    def __init__(self, shares: Sequence[Share]) -> None:
        """Begin to read; to be entered, which ends the helper."""
        self._shares = shares
        recipes = [share.recipe for share in shares]
        self._read = reader(recipes)
        self._pieces = deque(
            (index, piece) for index, share in enumerate(shares) for piece in share.pieces
        )
        self._given: deque[tuple[int, Any]] = deque()
        self._done = [0] * len(shares)
        self._helper: helper.Helper | None = None
        if len(self._pieces) >= LEAST and helper.spare():
            try:
                self._helper = helper.Helper(__name__, reader.__name__, recipes)
            except OSError:
                return  # no memory, no process: it takes longer
            self._give()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._helper is not None:
            self._helper.close()

    def ready(self) -> Iterator[tuple[Share, Rows]]:
        """Yield what the helper has read since it was last asked; does not wait."""
        if self._helper is None:
            return
        for result in self._helper.results():
            if not self._given:
                break  # done here meanwhile
            self._given.popleft()
            self._give()
            yield self._taken(result)

    def rest(self, show: Callable[[str, int, int], None]) -> Iterator[tuple[Share, Rows]]:
        """Yield all that remain, and show how many pieces of each share are done."""
        for result in ahead(self._read, self._left()):
            yield self._taken(result)
            yield from self.ready()
            share = self._shares[result[0]]
            show(share.name, self._done[result[0]], len(share.pieces))

    def _give(self) -> None:
        while self._helper and self._pieces and len(self._given) < _IN_HAND:
            self._given.append(self._pieces.popleft())
            self._helper.give(self._given[-1])

    def _left(self) -> Iterator[tuple[int, Any]]:
        while self._pieces:
            yield self._pieces.popleft()
        while self._given:
            yield self._given.pop()

    def _taken(self, result: Result) -> tuple[Share, Rows]:
        index, rows, left = result
        share = self._shares[index]
        self._done[index] += 1
        rows += share.left(left)
        return share, rows


def reader(
    recipes: Sequence[tuple[str, str, tuple[Any, ...]]],
) -> Callable[[tuple[int, Any]], Result]:
    """Return what reads a piece of any share; the helper calls this by name."""
    made: list[Callable[[Any], Read]] = [
        getattr(importlib.import_module(module), function)(*arguments)
        for module, function, arguments in recipes
    ]

    def read(piece: tuple[int, Any]) -> Result:
        index, what = piece
        return (index, *made[index](what))

    return read
