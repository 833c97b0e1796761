"""Reading every file below a directory of entries, and saying what is wrong with it. Changes nothing."""

from __future__ import annotations

import os

from fscache.fs.ahead import ahead
from fscache.fs.walk import branches
from fscache.records import cells
from fscache.records.entryfile import TOMBSTONE, name_hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fscache.objects.layout import Split

STRAY = "stray"
MISNAMED = "misnamed"
BAD_ENTRY = "bad entry"


class Audited:
    """One file: the entry's name if it is one, or what is wrong with it and why."""

    __slots__ = ("name", "path", "what", "why")

    def __init__(self, path: str, *, name: str = "", what: str = "", why: str = "") -> None:
        """Describe a file; `what` is empty for an entry that can be believed."""
        self.path = path
        self.name = name
        self.what = what
        self.why = why


def audit(top: str, kind: bytes | None, split: Split) -> Iterator[Audited]:
    """Yield every file below `top`; entries of another kind than `kind` are bad ones."""

    def judge(branch: Iterable[os.DirEntry[str]]) -> list[Audited]:
        judged = (_judge(item, top, kind, split) for item in branch)
        return [each for each in judged if each is not None]

    for batch in ahead(judge, branches(top)):
        yield from batch


def _judge(item: os.DirEntry[str], top: str, kind: bytes | None, split: Split) -> Audited | None:
    path = item.path
    place = split.address(path[len(top) + 1 :])
    if place is None or not item.is_file(follow_symlinks=False):
        return Audited(path, what=STRAY)
    try:
        found, owner, _payload = cells.decode(cells.read(path))
    except FileNotFoundError:
        return None  # removed meanwhile
    except (OSError, ValueError) as exc:
        return Audited(path, what=BAD_ENTRY, why=str(exc))
    if found == TOMBSTONE:
        return None
    if kind is not None and found != kind:
        return Audited(path, what=BAD_ENTRY, why=f"it is of kind {found!r}")
    if name_hash(owner) != place[0]:
        return Audited(path, what=MISNAMED, why=f"it belongs to {os.fsdecode(owner)}")
    return Audited(path, name=os.fsdecode(owner))
