"""The objects of one root: immutable bytes, each under its address, written once.

Promises:

- A path returned by `put*`, `adopt` or `path` is a whole, read-only object.
- Bytes that are already there are compared, not trusted to be the same because the digest is: XXH3
  can be made to collide. Different bytes of one address take the next slot (`…-1`).
- Putting bytes that are there freshens the object's access time, so that a purge under way, which
  looks again before it removes, spares it.

Not promised here: that an object stays. Whoever needs it holds a lease or names it in an entry under
the shared lock.
"""

from __future__ import annotations

import errno
import os
import stat

from fscache.fs import atomic, copies
from fscache.objects import digest as digests
from fscache.objects.layout import MAX_SLOTS, OBJECT_SPLIT, format_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from fscache.objects.digest import NewHasher
    from fscache.objects.layout import Split

_CHUNK = 256 * 1024  # measured fastest on ext4 among 64 KiB … 1 MiB


class Stored:
    """One object as it lies in the store."""

    __slots__ = ("digest", "new", "path", "slot", "status")

    def __init__(
        self, digest: str, slot: int, path: str, status: os.stat_result, *, new: bool
    ) -> None:
        """Describe an object; `new` says that it was not there before."""
        self.digest = digest
        self.slot = slot
        self.path = path
        self.status = status
        self.new = new

    @property
    def address(self) -> str:
        """The address as users write it, with its slot."""
        return format_address(digests.address_of(self.digest), self.slot)

    @property
    def size(self) -> int:
        """Bytes."""
        return self.status.st_size


class ObjectStore:
    """Puts and finds objects below `<root>/objects`."""

    __slots__ = ("_guard", "_now", "_writer", "new_hasher", "split", "top")

    def __init__(
        self,
        top: str,
        writer: atomic.Writer,
        *,
        now: Callable[[], float],
        guard: Callable[[], AbstractContextManager[None]],
        split: Split = OBJECT_SPLIT,
        new_hasher: NewHasher = digests.new_hasher,
    ) -> None:
        """Keep objects below `top`.

        Args:
            top: The directory.
            writer: Writes the files.
            now: The clock, seconds since the epoch.
            guard: Keeps purges out between finding or naming an object and returning it.
            split: How addresses become paths.
            new_hasher: Makes the running digest; a parameter so that tests can make collisions.
        """
        self.top = top
        self.split = split
        self.new_hasher = new_hasher
        self._writer = writer
        self._now = now
        self._guard = guard

    def locate(self, address: str, slot: int = 0) -> str:
        """Return where an object of this address would lie; no look at the disk."""
        return f"{self.top}/{self.split.relative(address, slot)}"

    def put_bytes(self, data: bytes) -> Stored:
        """Store `data`."""
        hasher = self.new_hasher()
        hasher.update(data)
        digest = hasher.hexdigest()
        with self._guard():
            present = self._find_same(digest, len(data), lambda path: _file_equals(path, data))
        if present is not None:
            return present
        fd, temp = self._writer.create_temp()
        try:
            atomic.write_all(fd, data)
            return self.adopt(fd, temp, digest)
        except BaseException:
            atomic.remove(temp)
            raise
        finally:
            os.close(fd)

    def put_stream(self, readinto: Callable[[memoryview], int | None]) -> Stored:
        """Store what `readinto` gives until it gives 0 bytes, in constant memory."""
        hasher = self.new_hasher()
        fd, temp = self._writer.create_temp()

        def take(view: memoryview) -> None:
            atomic.write_all(fd, view)
            hasher.update(view)

        try:
            copies.copy_bytes(readinto, take)
            return self.adopt(fd, temp, hasher.hexdigest())
        except BaseException:
            atomic.remove(temp)
            raise
        finally:
            os.close(fd)

    def adopt(self, fd: int, temp: str, digest: str, *, keep: bool = False) -> Stored:
        """Make a finished temporary file an object; the temporary name is gone afterwards.

        Args:
            fd: The file, open; its bytes are those of `digest`. The caller closes it.
            temp: Its path, in the file system of the store.
            digest: Its digest, computed from the bytes as they were written.
            keep: Leave the temporary name for the caller to remove, where the file system can.

        Raises:
            FileNotFoundError: the file has lost its name; what has it now is not touched.
        """
        self._writer.seal(fd)
        status = os.fstat(fd)
        if not status.st_nlink:
            raise FileNotFoundError(errno.ENOENT, "the file has lost its name", temp)
        address = digests.address_of(digest)
        with self._guard():
            for slot in range(MAX_SLOTS):
                path = self.locate(address, slot)
                if self._writer.publish(temp, path, replace=False, keep=keep):
                    return Stored(digest, slot, path, status, new=True)
                same = self._same(
                    digest, slot, status.st_size, lambda there: _files_equal(there, fd)
                )
                if same is not None:
                    if not keep:
                        atomic.remove(temp)
                    return same
        raise OSError(errno.ENOSPC, "every slot of this address is taken", self.locate(address))

    def find(self, digest: str, slot: int = 0) -> Stored | None:
        """Return the object of a digest and slot, if it is there. Nothing is hashed."""
        path = self.locate(digests.address_of(digest), slot)
        try:
            status = os.stat(path)
        except FileNotFoundError:
            return None
        return Stored(digest, slot, path, status, new=False)

    def slots(self, address: str) -> list[str]:
        """Return the paths of all objects with this address."""
        paths = []
        for slot in range(MAX_SLOTS):
            path = self.locate(address, slot)
            if os.path.exists(path):
                paths.append(path)
            elif slot:
                break
        return paths

    def quarantine(self, path: str, directory: str) -> str:
        """Move a bad object out of readers' way; return where it is now."""
        name = os.path.relpath(path, self.top).replace("/", "")
        target = f"{directory}/{name}.{os.urandom(4).hex()}"
        try:
            atomic.move(path, target)
        except FileNotFoundError:
            if os.path.isdir(directory):
                return target  # somebody else was faster
            self._writer.make_directories(directory)
            atomic.move(path, target)
        return target

    def _find_same(self, digest: str, size: int, equal: Callable[[str], bool]) -> Stored | None:
        address = digests.address_of(digest)
        for slot in range(MAX_SLOTS):
            if not os.path.lexists(self.locate(address, slot)):
                return None
            same = self._same(digest, slot, size, equal)
            if same is not None:
                return same
        return None

    def _same(
        self, digest: str, slot: int, size: int, equal: Callable[[str], bool]
    ) -> Stored | None:
        path = self.locate(digests.address_of(digest), slot)
        try:
            status = os.lstat(path)
            # A link's bytes are not ours to promise, and a pipe would be waited for for ever.
            if status.st_size != size or not stat.S_ISREG(status.st_mode) or not equal(path):
                return None
        except FileNotFoundError:
            return None  # purged between two looks; the caller's own bytes take a slot
        atomic.set_access_time(path, status, self._now())
        self._writer.settle(path)
        return Stored(digest, slot, path, status, new=False)


def _file_equals(path: str, data: bytes) -> bool:
    with open(path, "rb", buffering=0) as file:
        view = memoryview(data)
        buffer = bytearray(_CHUNK)
        while count := file.readinto(buffer):
            if view[:count] != memoryview(buffer)[:count]:
                return False
            view = view[count:]
        return not view


def _files_equal(path: str, fd: int) -> bool:
    ours = bytearray(_CHUNK)
    theirs = bytearray(_CHUNK)
    offset = 0
    with open(path, "rb", buffering=0) as file:
        while True:
            count = os.preadv(file.fileno(), [theirs], offset)
            if os.preadv(fd, [ours], offset) != count:
                return False
            if not count:
                return True
            if memoryview(theirs)[:count] != memoryview(ours)[:count]:
                return False
            offset += count
