"""Listing the files of a tree, without following links and without stopping at what vanishes.

A walk of 4+4+12 costs 1.1 s per 100,000 objects warm and 13 s cold, so nothing that someone waits
for walks `objects/`: that is what the catalog is for. Reindex, verify and migrate do.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def files(top: str) -> Iterator[os.DirEntry[str]]:
    """Yield every non-directory below `top`, in no particular order.

    Directories that vanish meanwhile (a purge) are skipped; those that may not be read raise.
    """
    pending = [top]
    while pending:
        try:
            scan = os.scandir(pending.pop())
        except FileNotFoundError:
            continue
        with scan:
            for entry in scan:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    yield entry


def branches(top: str) -> Iterator[Iterable[os.DirEntry[str]]]:
    """Yield what `files(top)` yields in parts, one for each directory at the top.

    Each part is read when it is iterated over, so that threads can share the work.
    """
    here = []
    try:
        scan = os.scandir(top)
    except FileNotFoundError:
        return
    with scan:
        for entry in scan:
            if entry.is_dir(follow_symlinks=False):
                yield files(entry.path)
            else:
                here.append(entry)
    if here:
        yield here


def pieces(top: str, at_once: int) -> list[list[str]]:
    """Return the names in `top`, in order, cut so that each piece has some `at_once` files below it.

    How many files there are is guessed from the first of the directories.
    """
    try:
        names = sorted(os.listdir(top))
    except FileNotFoundError:
        return []
    try:
        each = len(os.listdir(f"{top}/{names[0]}"))
    except (OSError, IndexError):
        each = 1
    size = max(1, at_once // max(1, each))
    return [names[start : start + size] for start in range(0, len(names), size)]


def remove_empty(path: str, top: str) -> None:
    """Remove the directory `path` and those above it, below `top`, as far as they are empty."""
    while path != top and path.startswith(top):
        try:
            os.rmdir(path)
        except OSError:
            return
        path = os.path.dirname(path)
