"""Reading `objects/` from end to end: for reindex, verify and migrate; nothing that someone waits for.

Names tell directories from files by the split, which saves looking at each. What is neither is handed
to `stray`, except the directories of a split that the root had before (`left`).
"""

from __future__ import annotations

import os
import re
import stat
from operator import attrgetter

from fscache.fs.ahead import ahead
from fscache.fs.walk import pieces
from fscache.objects.layout import is_hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fscache.objects.layout import Split

_AT_ONCE = 128  # objects, about, that are read as one piece


class Found:
    """One object, as a walk found it."""

    __slots__ = ("address", "path", "status")

    def __init__(self, address: str, path: str, status: os.stat_result) -> None:
        """Describe an object; the address has its slot, as users write it."""
        self.address = address
        self.path = path
        self.status = status


class Walk:
    """Walks one root's objects."""

    def __init__(
        self,
        top: str,
        split: Split,
        *,
        left: Iterable[Split] = (),
        stray: Callable[[str], None],
    ) -> None:
        """Walk below `top`, which is split by `split`; `stray` may be called from several threads."""
        self._top = top
        self._left = [other.parts for other in left]
        self._stray = stray
        forms = [f"[0-9a-f]{{{part}}}" for part in split.parts]
        forms[-1] += "(-[1-9][0-9]?)?"
        # What a name at each depth looks like: by a compiled form, as each is asked about.
        self._forms = [re.compile(form, re.ASCII).fullmatch for form in forms]

    def objects(self, progress: Callable[[int, int], None] | None = None) -> Iterator[list[Found]]:
        """Yield every object, in batches, in the order of addresses."""
        parts = self.pieces()
        for done, batch in enumerate(ahead(self.piece, parts)):
            if progress:
                progress(done + 1, len(parts))
            yield batch

    def pieces(self) -> list[list[str]]:
        """Return the names at the top, in order, cut into what `piece` is to read at a time."""
        return pieces(self._top, _AT_ONCE)

    def piece(self, names: list[str]) -> list[Found]:
        """Return the objects below these names at the top, in the order of addresses."""
        found: list[Found] = []
        self._below(self._top, names, "", 0, found)
        found.sort(key=attrgetter("address"))
        return found

    # Into one list, not out of nested generators: those took a quarter of the time.
    def _below(
        self, path: str, names: list[str], digits: str, depth: int, found: list[Found]
    ) -> None:
        if depth == len(self._forms) - 1:
            self._leaves(path, names, digits, depth, found)
            return
        form = self._forms[depth]
        for name in names:
            below = f"{path}/{name}"
            if form(name):
                try:
                    inside = os.listdir(below)
                except FileNotFoundError:
                    continue  # purged meanwhile
                except NotADirectoryError:
                    pass
                else:
                    self._below(below, inside, digits + name, depth + 1, found)
                    continue
            if not self._was(name, depth):
                self._stray(below)

    def _leaves(
        self, path: str, names: list[str], digits: str, depth: int, found: list[Found]
    ) -> None:
        form = self._forms[depth]
        for name in names:
            below = f"{path}/{name}"
            try:
                status = os.lstat(below)
            except FileNotFoundError:
                continue
            if form(name) and stat.S_ISREG(status.st_mode):
                found.append(Found(digits + name, below, status))
            elif not self._was(name, depth):
                self._stray(below)

    def _was(self, name: str, depth: int) -> bool:
        """Whether a name is of a split that the root had before, and that nobody has cleared away."""
        stem = name.partition("-")[0]
        return is_hex(stem) and any(
            depth < len(parts) and len(stem) == parts[depth] for parts in self._left
        )
