"""What a root takes of its disk, in all its parts, without a walk."""

from __future__ import annotations

import os

from fscache.fs.walk import files
from fscache.records.usage import Usage, directories, usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fscache.admin.keeper import Keeper
    from fscache.records.catalog import Catalog
    from fscache.records.root import Root

_SAMPLE = 32  # directories whose blocks are looked at


class Disk:
    """Bytes on the disk by part of the root.

    Attributes:
        objects: Blocks of the objects.
        directories: Of the directories above them: their expected number times what some take.
        entries: Of the entries' own files: a block each, or as many as the value needs.
        tasks: Of the task records.
        derived: Of catalog and journal.
        partial: Of what is being written, or was when somebody died.
        quarantine: Of what was found bad.
    """

    __slots__ = (
        *("derived", "directories", "entries", "objects", "partial", "quarantine", "tasks"),
    )

    def __init__(
        self,
        *,
        objects: int,
        directories: int,
        entries: int,
        tasks: int,
        derived: int,
        partial: int,
        quarantine: int,
    ) -> None:
        """Take the bytes of every part."""
        self.objects = objects
        self.directories = directories
        self.entries = entries
        self.tasks = tasks
        self.derived = derived
        self.partial = partial
        self.quarantine = quarantine

    @property
    def total(self) -> int:
        """All together."""
        stored = self.objects + self.directories + self.entries
        return stored + self.tasks + self.derived + self.partial + self.quarantine


def measure(keeper: Keeper) -> tuple[Usage, Disk]:
    """Return what the catalog adds up to, and what that takes of the disk."""
    root = keeper.root

    def question(catalog: Catalog) -> tuple[Usage, list[str]]:
        sample = catalog.db.execute("SELECT address FROM objects LIMIT ?", (_SAMPLE,))
        return usage(catalog.db, root.now()), [address for (address,) in sample]

    sums, sample = keeper.ask(question)
    block = os.statvfs(root.path).f_frsize or 4096
    disk = Disk(
        objects=sums.objects.disk,
        directories=round(
            directories(root.object_split, sums.objects.count) * _directory(root, sample)
        ),
        entries=(sums.entries - sums.values.count) * block + sums.values.disk,
        tasks=_content(f"{root.path}/tasks"),
        derived=_blocks(f"{root.path}/catalog.sqlite") + _content(f"{root.path}/journal"),
        partial=_content(f"{root.path}/partial"),
        quarantine=_content(f"{root.path}/quarantine"),
    )
    return sums, disk


def _directory(root: Root, sample: list[str]) -> float:
    """Return the mean bytes of some directories: a block on ext4, none on XFS and tmpfs."""
    seen = set()
    for address in sample:
        path = os.path.dirname(f"{root.path}/objects/{root.object_split.relative(address[:20])}")
        if path != f"{root.path}/objects":
            seen.add(path)
    return sum(map(_blocks, seen)) / len(seen) if seen else 0.0


def _content(path: str) -> int:
    return sum(_blocks(file.path) for file in files(path))


def _blocks(path: str) -> int:
    try:
        return os.lstat(path).st_blocks * 512
    except OSError:
        return 0
