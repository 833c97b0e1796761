"""Reading a plain directory: files under their names or under hashes, flat or split in any way.

`<dir>/<hash>`, `<dir>/ab/cdef…` and `<dir>/<name>` are one format here: where all parts of a path are
hex digits, they are read together. What the hash is of is found out from the files themselves: if
those looked at first are named by a hash of their bytes, all that are named alike must be, or are
damaged; otherwise the names say nothing about the bytes (they may be hashes of URLs: give a list).
"""

from __future__ import annotations

from fscache.fs.walk import files
from fscache.migrate.checks import MATCHING, matching
from fscache.migrate.item import Item, Passed
from fscache.objects.layout import is_hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from fscache.migrate.item import Found
    from fscache.migrate.urls import URLList

_LOOKED_AT = 5


def read(top: str, urls: URLList) -> Iterator[Found]:
    """Yield every file below `top`."""
    algorithms: dict[int, str | None] = {}
    waiting: dict[int, list[str]] = {}
    for entry in files(top):
        if not entry.is_file(follow_symlinks=False):
            yield Passed(entry.path, "not a regular file")
            continue
        digits = _digits(entry.path[len(top) + 1 :])
        if len(digits) not in MATCHING:
            yield _item(top, entry.path, urls, None)
        elif len(digits) in algorithms:
            yield _item(top, entry.path, urls, algorithms[len(digits)])
        else:
            alike = waiting.setdefault(len(digits), [])
            alike.append(entry.path)
            if len(alike) == _LOOKED_AT:
                algorithms[len(digits)] = _named_by(top, waiting.pop(len(digits)))
                for path in alike:
                    yield _item(top, path, urls, algorithms[len(digits)])
    for alike in waiting.values():
        algorithm = _named_by(top, alike)
        for path in alike:
            yield _item(top, path, urls, algorithm)


def _named_by(top: str, paths: list[str]) -> str | None:
    """Return the algorithm that most of some files are named by, None if they are not."""
    votes = [matching(path, _digits(path[len(top) + 1 :])) for path in paths]
    best = max(set(votes), key=votes.count)
    return best if best is not None and votes.count(best) * 2 > len(votes) else None


def _item(top: str, path: str, urls: URLList, algorithm: str | None) -> Item:
    name = path[len(top) + 1 :]
    known = urls.of(name)
    expected = dict(known.expected)
    if algorithm is not None:
        expected[algorithm] = _digits(name)
    return Item(path, tuple(known.urls), expected)


def _digits(name: str) -> str:
    """Return the hex digits that a path consists of; empty if there is anything else in it."""
    digits = name.replace("/", "")
    return digits if is_hex(digits) else ""
