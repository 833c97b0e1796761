"""Reading `objects/` from end to end: for reindex, verify and migrate; nothing that someone waits for.

Names tell directories from files by the split, which saves looking at each. What is neither is handed
to `stray`, except the directories of a split that the root had before (`left`).
"""

from __future__ import annotations

import os
import re
import stat

from fscache.fs.ahead import ahead
from fscache.objects.layout import is_hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fscache.objects.layout import Split

_BRANCHES = 64  # directories that one thread reads at a time


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
        self._parts = split.parts
        self._left = [other.parts for other in left]
        form = f"[0-9a-f]{{{split.parts[-1]}}}(-[1-9][0-9]?)?"
        self._leaf = re.compile(form, re.ASCII).fullmatch
        self._stray = stray

    def objects(self, progress: Callable[[int, int], None] | None = None) -> Iterator[list[Found]]:
        """Yield every object, in batches, in the order of addresses."""
        try:
            names = sorted(os.listdir(self._top))
        except FileNotFoundError:
            return
        parts = [names[start : start + _BRANCHES] for start in range(0, len(names), _BRANCHES)]
        for done, batch in enumerate(ahead(self._part, parts)):
            if progress:
                progress(done + 1, len(parts))
            yield batch

    def _part(self, names: list[str]) -> list[Found]:
        found: list[Found] = []
        self._below(self._top, names, "", 0, found)
        found.sort(key=lambda each: each.address)
        return found

    # Into one list, not out of nested generators: those took a quarter of the time.
    def _below(
        self, path: str, names: Iterable[str], digits: str, depth: int, found: list[Found]
    ) -> None:
        last = len(self._parts) - 1
        if depth == last:
            self._leaves(path, names, digits, depth, found)
            return
        for name in names:
            below = f"{path}/{name}"
            inside = self._inside(below, name, depth)
            if inside and depth + 1 == last:
                self._leaves(below, inside, digits + name, depth + 1, found)
            elif inside:
                self._below(below, inside, digits + name, depth + 1, found)

    def _inside(self, path: str, name: str, depth: int) -> list[str]:
        if len(name) != self._parts[depth] or not is_hex(name):
            if not self._was(name, depth):
                self._stray(path)
            return []
        try:
            return os.listdir(path)
        except FileNotFoundError:
            return []  # purged meanwhile
        except NotADirectoryError:
            if not self._was(name, depth):
                self._stray(path)
            return []

    def _leaves(
        self, path: str, names: Iterable[str], digits: str, depth: int, found: list[Found]
    ) -> None:
        for name in names:
            below = f"{path}/{name}"
            try:
                status = os.stat(below, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if self._leaf(name) and stat.S_ISREG(status.st_mode):
                found.append(Found(digits + name, below, status))
            elif not self._was(name, depth):
                self._stray(below)

    def _was(self, name: str, depth: int) -> bool:
        """Whether a name is of a split that the root had before, and that nobody has cleared away."""
        stem = name.partition("-")[0]
        return is_hex(stem) and any(
            depth < len(parts) and len(stem) == parts[depth] for parts in self._left
        )
