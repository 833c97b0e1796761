"""Changing how a root splits the addresses of its objects, in place, while it is in use.

1. FORMAT names the new split as one whose directories may be there (`left`), so that nobody takes
   them for strays.
2. Every object gets its second name, a hard link under the new split. Readers and writers go on.
3. Under the exclusive lock: what was put meanwhile gets its second name, too, and FORMAT says that the
   new split is the one, and the old one is `left`.
4. When asked (`remove_old`): the old names and their directories go, and FORMAT forgets them.

Killed at any step, the next run does what is missing. Until step 4 processes that opened the root
before step 3 keep finding and putting objects under the old split; what they put after it is given its
second name in step 4. The way back is the same, with the old split as the new one.
"""

from __future__ import annotations

import errno
import os

from fscache.errors import StoreError
from fscache.fs.atomic import remove
from fscache.fs.walk import remove_empty
from fscache.objects.layout import Split, is_hex, parse_address
from fscache.objects.walk import Walk
from fscache.records.journal import OBJECT, PUT
from fscache.records.root import Root, translated
from fscache.records.rootformat import Format
from fscache.records.segments import Follower, JournalGapError, ends, journal_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fscache.objects.walk import Found

    Progress = Callable[[str, int, int], None]

LOCK_SECONDS = 600.0
_AT_ONCE = 64  # directories that are cleared before writers may go on: some 5 ms


class Resplit:
    """One change of one root's split."""

    def __init__(self, root: Root, split: Split, *, progress: Progress | None = None) -> None:
        """Change the split of `root`, which exists, to `split`."""
        self._root = root
        self._top = f"{root.path}/objects"
        self._old = root.object_split
        self._new = split
        self._progress = progress
        self.linked = 0
        self.removed = 0

    def count(self) -> int:
        """Return how many objects lie under the present split; changes nothing."""
        return sum(len(batch) for batch in self._walk(self._old, (self._new,)).objects())

    def run(self) -> None:
        """Change the split; the old names stay.

        Raises:
            StoreError: the file system has no hard links, or the root cannot be written.
        """
        if self._old == self._new:
            return
        root = self._root
        with translated(root.path):
            self._require_links()
            self._write_format(self._old, {*root.left_splits, self._new})
            directory = f"{root.path}/journal"
            follower = Follower(directory, ends(directory), journal_id(directory))
            self._link_all("link")
            with root.exclusive(timeout=LOCK_SECONDS):
                try:
                    put = {each.address for each in follower.read() if each.op == PUT}
                except JournalGapError:
                    self._link_all("again")  # the journal cannot tell: look at everything once more
                else:
                    self._link_known(put)
                self._write_format(self._new, {*root.left_splits, self._old} - {self._new})

    def remove_old(self) -> None:
        """Remove the names under splits that the root had before."""
        root = Root(self._root.path, now=self._root.now, modes=self._root.modes)
        with translated(root.path):
            for split in root.left_splits:
                others = [root.object_split, *(each for each in root.left_splits if each != split)]
                for batch in self._walk(split, others).objects(self._show("remove")):
                    for found in batch:
                        self._remove(found, root.object_split)
                self._clear(split)
            self._write_format(root.object_split, ())

    def _remove(self, found: Found, split: Split) -> None:
        address, path, status = found.address, found.path, found.status
        with self._root.shared:
            if self._link(address, path, split):
                # Put by a process that does not know the new split yet.
                self._root.journal.append(PUT, OBJECT, address, address, status.st_size)
            os.unlink(path)
        self.removed += 1

    def _clear(self, split: Split) -> None:
        """Remove the directories of a split that are empty, also those that a killed run has left.

        Under the exclusive lock: a writer that has just made one must find it a moment later.
        """
        names = [name for name in os.listdir(self._top) if len(name) == split.parts[0]]
        names = [name for name in names if is_hex(name) and len(split.parts) > 1]
        for start in range(0, len(names), _AT_ONCE):
            with self._root.exclusive(timeout=LOCK_SECONDS):
                for name in names[start : start + _AT_ONCE]:
                    for directory, _, _ in os.walk(f"{self._top}/{name}", topdown=False):
                        _remove_if_empty(directory)

    def _link_all(self, phase: str) -> None:
        for batch in self._walk(self._old, (self._new, *self._root.left_splits)).objects(
            self._show(phase)
        ):
            for found in batch:
                self._link(found.address, found.path, self._new)

    def _link_known(self, addresses: Iterable[str]) -> None:
        for address in addresses:
            if address:
                path = f"{self._top}/{self._old.relative(*parse_address(address))}"
                self._link(address, path, self._new)

    def _link(self, address: str, path: str, split: Split) -> bool:
        target = f"{self._top}/{split.relative(*parse_address(address))}"
        try:
            linked = self._root.writer.publish(path, target, replace=False, keep=True)
        except FileNotFoundError:
            remove_empty(os.path.dirname(target), self._top)  # purged meanwhile
            return False
        self.linked += linked
        return linked

    def _require_links(self) -> None:
        fd, temp = self._root.writer.create_temp()
        os.close(fd)
        other = self._root.writer.temp_path()
        try:
            self._root.writer.publish(temp, other, replace=False, keep=True)
            if not os.path.exists(temp):
                why = "the file system has no hard links; migrate into a new root instead"
                raise StoreError(path=self._root.path, why=why)
        finally:
            remove(temp)
            remove(other)

    def _write_format(self, split: Split, left: Iterable[Split]) -> None:
        format_ = Format(split, self._root.entry_split, left)
        self._root.writer.write(f"{self._root.path}/FORMAT", format_.encode())

    def _walk(self, split: Split, others: Iterable[Split]) -> Walk:
        return Walk(self._top, split, left=others, stray=lambda _path: None)

    def _show(self, phase: str) -> Callable[[int, int], None] | None:
        progress = self._progress
        if progress is None:
            return None
        return lambda done, total: progress(phase, done, total)


def _remove_if_empty(path: str) -> None:
    try:
        os.rmdir(path)
    except OSError as exc:
        if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            raise
