"""The cache as the stager sees it: `stager.destination.Destination` over one root.

Order of a commit, all of it under the shared lock, so that no purge comes between:

1. the partial file, whole and checked, becomes an object (`ObjectStore.adopt`);
2. the entry is written, naming it;
3. the partial file's name and note are removed and the claim is given up. Not earlier: whoever waits
   for the claim looks for the entry next, and would fetch again if it were not there yet.

Killed between 1 and 2, the object is there without an entry: the next fetch of the URL finds the same
bytes and names them; a purge would take it as the least recently used.
"""

from __future__ import annotations

import errno
import os
import pwd
import socket
import threading
from contextlib import suppress

from fscache.fs.atomic import remove
from fscache.fs.copies import reader
from fscache.records.root import translated
from fscache.telling import inform
from fscache.urls.entry import URLEntry
from fscache.urls.partials import Partial, Partials
from stager.errors import NoSpaceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.objects.store import Stored
    from fscache.records.root import Root
    from fscache.urls.index import URLIndex
    from stager.destination import Staged, Validator

_HEADROOM = 16 * 1024 * 1024  # entries, directories and other users' small writes
_SMALL = 1024 * 1024  # bytes not worth a look at the file system (12 µs): the write will tell


class CacheClaim:
    """A claim on one URL of the cache."""

    __slots__ = ("_destination", "_open", "_partial")

    def __init__(self, destination: CacheDestination, partial: Partial) -> None:
        self._destination = destination
        self._partial = partial
        self._open = True

    @property
    def fd(self) -> int:
        """The partial file."""
        return self._partial.fd

    @property
    def kept(self) -> int:
        """Bytes an earlier attempt left."""
        return self._partial.kept

    @property
    def validator(self) -> Validator | None:
        """What the kept bytes began with."""
        return self._partial.validator

    def note(self, validator: Validator) -> None:
        """Remember what the body began with."""
        with translated(self._partial.path):
            self._partial.note(validator)

    def restart(self) -> None:
        """Drop what is kept."""
        self._partial.restart()

    def commit(self, staged: Staged) -> str:
        """Make the partial file the object of its URL."""
        path = self._destination.commit(self._partial, staged)
        self._close()
        return path

    def release(self, *, keep: bool) -> None:
        """Give the claim up."""
        if self._open:
            if not keep:
                self._partial.discard()
            self._close()

    def _close(self) -> None:
        self._open = False
        with suppress(OSError):  # what there was to tell, sealing the file has told
            os.close(self._partial.fd)


class SpaceReservation:
    """Bytes set aside in this process, and not written yet."""

    __slots__ = ("_give_back", "_size")

    def __init__(self, size: int, give_back: Callable[[int], None]) -> None:
        self._size = size
        self._give_back = give_back

    def spend(self, size: int) -> None:
        """Take note that `size` bytes of it are written: the file system counts them from now on."""
        size = min(size, self._size)
        self._size -= size
        self._give_back(size)

    def release(self) -> None:
        """Give the space back."""
        size, self._size = self._size, 0
        self._give_back(size)


class CacheDestination:
    """Where the stager puts what it fetches: one root."""

    def __init__(
        self,
        root: Root,
        index: URLIndex,
        *,
        max_size: int | None,
        make_room: Callable[[int], None] | None = None,
    ) -> None:
        """Stage into `root`.

        Args:
            root: Exists.
            index: Its URL entries.
            max_size: The most bytes the root may hold; no single object may be larger.
            make_room: Called with the bytes about to be written, before space is looked at.
        """
        self._root = root
        self._index = index
        self._objects = root.objects(root.quick_writer)
        self._partials = Partials(f"{root.path}/partial", root.quick_writer, root.now)
        self._max_size = max_size
        self._make_room = make_room
        self._reserved = 0
        self._mutex = threading.Lock()
        self._staged_by = f"{_user()}@{socket.gethostname()}"

    def claim(self, url: str) -> CacheClaim | None:
        """Take the right to fetch `url`; None while somebody else has it."""
        with translated(self._root.path):
            partial = self._partials.claim(url)
        return None if partial is None else CacheClaim(self, partial)

    def lookup(self, url: str, checksum: tuple[str, str] | None) -> str | None:
        """Return the path of `url` if somebody has fetched it meanwhile."""
        # Asked after every claim, and nearly always in vain.
        hit = None if self._index.is_absent(url) else self._index.find(url)
        if hit is None:
            return None
        if checksum is not None and self._index.checksum(hit, checksum[0]) != checksum[1]:
            return None
        return hit.path

    def touch(self, staged: Staged) -> str | None:
        """Record that the origin calls what is here current."""
        hit = self._index.find(staged.url)
        if hit is None:
            return None
        hit.entry.checked_at = self._root.now()
        self._index.update(hit.entry)
        return hit.path

    def reserve(self, url: str, size: int) -> SpaceReservation:
        """Set `size` bytes aside, making room first where a limit is configured."""
        if self._max_size is not None and size > self._max_size:
            from fscache.units import format_size

            most = format_size(self._max_size)
            raise NoSpaceError(
                url=url,
                why=f"{format_size(size)}, and the whole cache may hold {most} (max_size)",
                needed=size,
                free=self._max_size,
                fits_ever=False,
            )
        if self._make_room is not None:
            self._make_room(size)
        if size > _SMALL:
            self._check_free(url, size)
        with self._mutex:
            self._reserved += size
        return SpaceReservation(size, self._give_back)

    def commit(self, partial: Partial, staged: Staged) -> str:
        """Make a partial file the object of its URL; see the module's docstring for the order."""
        with translated(self._root.path), self._root.shared:
            adopted = self._adopt(partial, staged.digest)
            stored, ours = adopted or (self._copy(partial, staged.digest), False)
            now = self._root.now()
            entry = URLEntry(
                staged.url,
                stored.digest,
                slot=stored.slot,
                size=stored.size,
                inode=stored.status.st_ino,
                mtime_ns=stored.status.st_mtime_ns,
                fetched_at=now,
                checked_at=now,
                fetched_from="" if staged.fetched_from == staged.url else staged.fetched_from,
                staged_by=self._staged_by,
                etag=staged.etag,
                last_modified=staged.last_modified,
                checksums=dict(staged.checksums),
            )
            if not stored.new and self._index.entry(staged.url) is None and staged.checksums:
                _report_known_bytes(staged)
            self._index.write(entry)
            self._root.journal.append(
                "put", "url", entry.url, stored.address, stored.size, self._staged_by
            )
            partial.discard(ours=ours)
        return stored.path

    def _adopt(self, partial: Partial, digest: str) -> tuple[Stored, bool] | None:
        """Give the file its final name; None where a lock lied and another has taken its place.

        Returns:
            The object, and whether the partial name was seen to be still ours.
        """
        try:
            stored = self._objects.adopt(partial.fd, partial.path, digest, keep=True)
        except FileNotFoundError:
            return None
        if not stored.new:
            return stored, False
        # With the name it had and the one it has now, the file has two. Where it has not, and the
        # file system counts, another's unfinished file has got the final name.
        if os.fstat(partial.fd).st_nlink != 2 and not os.path.samestat(
            os.stat(stored.path), stored.status
        ):
            remove(stored.path)
            return None
        return stored, True

    def _copy(self, partial: Partial, digest: str) -> Stored:
        """Our bytes are good, our name is not."""
        os.lseek(partial.fd, 0, os.SEEK_SET)
        stored = self._objects.put_stream(reader(partial.fd))
        if stored.digest != digest:
            raise OSError(errno.EIO, "the partial file was changed by another", partial.path)
        return stored

    def sweep(self) -> None:
        """Remove what dead fetches left long ago."""
        self._partials.sweep()

    def _check_free(self, url: str, size: int) -> None:
        with translated(self._root.path):
            system = os.statvfs(self._root.path)
        free = system.f_bavail * system.f_frsize - self._reserved
        if size + _HEADROOM > free:
            from fscache.units import format_size

            total = system.f_blocks * system.f_frsize
            free = max(free, 0)
            spare = f"{format_size(_HEADROOM)} to spare"
            raise NoSpaceError(
                url=url,
                why=f"no room for {format_size(size)} and {spare}: {format_size(free)} are free",
                needed=size,
                free=free,
                fits_ever=size <= total,
            )

    def _give_back(self, size: int) -> None:
        with self._mutex:
            self._reserved -= size


def _report_known_bytes(staged: Staged) -> None:
    """A right checksum hides a wrong URL: say when known bytes come from a URL never seen."""
    inform(
        "%s brought bytes that were already here under another name; is it the URL you meant?",
        staged.url,
    )


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a container's numeric user without a name
        return str(os.geteuid())
