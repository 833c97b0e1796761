"""The rows of all objects of a root, read in pieces (`records.piecework`)."""

from __future__ import annotations

from fscache.objects.layout import Split
from fscache.objects.walk import Walk
from fscache.records.piecework import Share

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fscache.records.piecework import Read
    from fscache.records.root import Root


def share(root: Root, strays: list[str]) -> Share:
    """Return how the objects of a root are read; what is no object goes to `strays`."""
    settings = (
        f"{root.path}/objects",
        str(root.object_split),
        [str(split) for split in root.left_splits],
    )

    def left(paths: list[str]) -> Iterable[tuple[object, ...]]:
        strays.extend(paths)
        return ()

    pieces = _walk(*settings, strays.append).pieces()
    return Share("objects", (__name__, reader.__name__, settings), pieces, left)


def reader(top: str, split: str, left: list[str]) -> Callable[[list[str]], Read]:
    """Return what reads one piece of a walk of `top`."""

    def read(names: list[str]) -> Read:
        strays: list[str] = []
        rows: list[tuple[object, ...]] = []
        for found in _walk(top, split, left, strays.append).piece(names):
            status = found.status
            size, disk = status.st_size, status.st_blocks * 512
            rows.append((found.address, size, disk, status.st_atime, status.st_mtime))
        return rows, strays

    return read


def _walk(top: str, split: str, left: list[str], stray: Callable[[str], None]) -> Walk:
    return Walk(top, Split.parse(split), left=map(Split.parse, left), stray=stray)
