"""What may lie on a disk after a loss of power: a model of a file system that promises little.

From the system calls of a run, every image is made that the disk may show if the power fails after
any one of them:

- bytes that were not synced are there, or are not;
- of the changes of a directory's names those before its last sync are there, of those after it any
  first few; each directory for itself.

Real file systems order more than that. What is right here is right on them.
"""

from __future__ import annotations

import itertools
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.support.strace import Call

_DESCRIPTOR = re.compile(r"\d+<([^>]*?)>(\(deleted\))?")
_QUOTED = re.compile(r'"([^"]*)"')
_RESULT = re.compile(r"= (-?\d+)[^=]*$")


@dataclass(eq=False)
class Inode:
    """A file's bytes: how many there are, and how many of them are synced."""

    length: int = 0
    synced: int = 0


@dataclass
class Directory:
    """A directory's names, as changes in their order; the first `synced` of them are durable."""

    changes: list[tuple[str, Inode | str | None]] = field(default_factory=list)
    """Name → a file, another directory (its path), or nothing any more."""
    synced: int = 0

    def now(self, count: int | None = None) -> dict[str, Inode | str]:
        """Return the names after the first `count` changes."""
        names: dict[str, Inode | str] = {}
        for name, thing in self.changes[:count]:
            if thing is None:
                names.pop(name, None)
            else:
                names[name] = thing
        return names


class Disk:
    """The file system below one directory."""

    def __init__(self, top: str) -> None:
        """Take what lies there now as durable."""
        self.top = top
        self.directories: dict[str, Directory] = {}
        inodes: dict[int, Inode] = {}
        for path, names, files in os.walk(top):
            changes: list[tuple[str, Inode | str | None]] = [(n, f"{path}/{n}") for n in names]
            for name in files:
                status = os.lstat(f"{path}/{name}")
                known = inodes.setdefault(status.st_ino, Inode(status.st_size, status.st_size))
                changes.append((name, known))
            self.directories[path] = Directory(changes, len(changes))

    def apply(self, call: Call) -> bool:
        """Take a system call; False if it changed nothing that matters here."""
        result = _RESULT.search(call.text)
        if result is None or int(result.group(1)) < 0:
            return False
        descriptor = _DESCRIPTOR.match(call.text)
        paths = _QUOTED.findall(call.text)
        if call.name in {"write", "pwrite64", "ftruncate", "fsync", "fdatasync"} and descriptor:
            return self._change_file(call, descriptor.group(1), int(result.group(1)))
        if call.name.startswith("open") and "O_CREAT" in call.text:
            if self._find(paths[0]) is not None:
                return False
            return self._name(paths[0], Inode())
        if call.name.startswith("mkdir"):
            self.directories[paths[0]] = Directory()
            return self._name(paths[0], paths[0])
        if call.name.startswith("link"):
            return self._name(paths[1], self._find(paths[0]))
        if call.name.startswith("rename"):
            moved = self._find(paths[0])
            return self._name(paths[1], moved) and self._name(paths[0], None)
        if call.name.startswith(("unlink", "rmdir")):
            return self._name(paths[0], None)
        return False

    def images(self) -> Iterator[dict[str, bool]]:
        """Yield what the disk may show now: path → whether its bytes are whole."""
        changed = [path for path, each in self.directories.items() if self._open(path, each)]
        choices = [
            range(self.directories[path].synced, len(self.directories[path].changes) + 1)
            for path in changed
        ]
        for counts in itertools.product(*choices):
            chosen = dict(zip(changed, counts, strict=True))
            for tails_lost in (True, False):
                yield dict(self._walk(self.top, chosen, tails_lost=tails_lost))

    def _open(self, path: str, directory: Directory) -> bool:
        # What temporary names come and go is of no consequence, and of many.
        return directory.synced < len(directory.changes) and not path.endswith("/partial")

    def _walk(
        self, path: str, chosen: dict[str, int], *, tails_lost: bool
    ) -> Iterator[tuple[str, bool]]:
        for name, thing in self.directories[path].now(chosen.get(path)).items():
            if isinstance(thing, str):
                yield from self._walk(thing, chosen, tails_lost=tails_lost)
            else:
                yield f"{path}/{name}", not tails_lost or thing.synced == thing.length

    def _change_file(self, call: Call, path: str, result: int) -> bool:
        if path in self.directories:
            self.directories[path].synced = len(self.directories[path].changes)
            return True
        inode = self._find(path)
        if not isinstance(inode, Inode):
            return False
        if "sync" in call.name:
            inode.synced = inode.length
        elif call.name == "ftruncate":
            inode.length = inode.synced = 0
        else:
            inode.length += result
        return True

    def _find(self, path: str) -> Inode | str | None:
        directory, name = os.path.split(path)
        return (
            self.directories[directory].now().get(name) if directory in self.directories else None
        )

    def _name(self, path: str, thing: Inode | str | None) -> bool:
        directory, name = os.path.split(path)
        if directory not in self.directories:
            return False
        self.directories[directory].changes.append((name, thing))
        return True


@dataclass(frozen=True)
class Losses:
    """What a loss of power may do to a writer's work."""

    images: int
    torn: frozenset[str]
    """Final names that may stand for bytes that are not whole."""
    lost: frozenset[str]
    """What must be there once the writer is done, and may not be."""
    back: frozenset[str]
    """What must be gone by then, and may not be."""


def losses(
    disk: Disk, calls: Sequence[Call], *, there: Sequence[str] = (), gone: Sequence[str] = ()
) -> Losses:
    """Judge a run.

    Args:
        disk: As it was before.
        calls: Of the run, in their order.
        there: Paths that the run has promised when it ends.
        gone: Paths that it has promised to be gone.
    """
    count = 0
    torn: set[str] = set()
    lost: set[str] = set()
    back: set[str] = set()
    for index, call in enumerate(calls):
        if not disk.apply(call) and index + 1 < len(calls):
            continue
        for image in disk.images():
            count += 1
            torn |= {path for path, whole in image.items() if not whole and _is_final(path)}
            if index + 1 == len(calls):
                lost |= {path for path in there if path not in image}
                back |= {path for path in gone if path in image}
    return Losses(count, frozenset(torn), frozenset(lost), frozenset(back))


def _is_final(path: str) -> bool:
    return not any(f"/{name}/" in path for name in ("partial", "journal", "locks"))
