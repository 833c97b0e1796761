"""Finding the object of a URL in one root, and trusting it.

Trust on a hit is one `stat`: the object's inode, size and mtime are those recorded when its bytes were
last verified. Where they differ (the root was copied, a file was touched) the bytes are hashed once and
the new identity recorded. Bytes that are not those of the digest go to quarantine; the URL is then a
miss.
"""

from __future__ import annotations

import errno
import os

from fscache.objects.digest import address_of
from fscache.objects.layout import format_address
from fscache.records.access import Accesses
from fscache.records.root import translate
from fscache.telling import inform, warn
from fscache.urls.entry import URLEntry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from fscache.objects.digest import Hasher
    from fscache.records.root import Root

_DIGEST_ALGORITHM = "xxh3_128"
_NOT_THE_BYTES = (errno.EIO, errno.EISDIR, errno.ELOOP, errno.EINVAL)  # bad disk, no file


class Hit:
    """A URL's object, found and trusted."""

    __slots__ = ("entry", "path", "status")

    def __init__(self, entry: URLEntry, path: str, status: os.stat_result) -> None:
        """Describe what was found."""
        self.entry = entry
        self.path = path
        self.status = status

    @property
    def address(self) -> str:
        """The object's address as users write it, with its slot."""
        return format_address(address_of(self.entry.digest), self.entry.slot)


class URLIndex:
    """The URL entries of one root."""

    __slots__ = ("_accesses", "_entries", "_objects", "_read_only", "_root")

    def __init__(self, root: Root, *, read_only: bool = False) -> None:
        """Use the entries of `root`; a `read_only` one (a tier) is never written to."""
        self._root = root
        self._entries = root.entries("urls", b"url", read_only=read_only, writer=root.quick_writer)
        self._objects = root.objects(root.quick_writer)
        self._read_only = read_only
        self._accesses = Accesses(root)

    def find(self, url: str, *, verify: bool = False, touch: bool = True) -> Hit | None:
        """Return the trusted object of a URL, None for a miss.

        Args:
            url: Without user information and fragment.
            verify: Hash the bytes whatever the identity says.
            touch: Record the access, at most once an hour.

        Raises:
            StoreError: the root cannot be read; a tier is passed over instead.
        """
        try:
            return self._find(url, verify=verify, touch=touch)
        except OSError as exc:
            if not self._read_only:
                raise translate(exc, self._root.path) from exc
            # A tier that is broken, or not for this user, must not keep anyone from the others.
            warn("tier passed over: %s", exc)
            return None

    def entry(self, url: str) -> URLEntry | None:
        """Return what is recorded of a URL, whether or not its object is there."""
        name = url.encode("utf-8", "surrogateescape")
        payload = self._entries.read(name)
        if payload is None:
            return None
        try:
            return URLEntry.decode(name, payload)
        except ValueError as exc:
            warn("entry of %s cannot be read: %s", url, exc)
            return None

    def is_absent(self, url: str) -> bool:
        """Whether nothing is recorded of a URL; what cannot be read counts as nothing."""
        return self._entries.is_absent(url.encode("utf-8", "surrogateescape"))

    def checksum(self, hit: Hit, algorithm: str) -> str | None:
        """Return a checksum of a hit's bytes, computed once and then kept in the entry.

        None if they are no longer what the entry says.
        """
        if algorithm == _DIGEST_ALGORITHM:
            return hit.entry.digest
        known = hit.entry.checksums.get(algorithm)
        if known is None:
            from stager.checks import hasher

            running = hasher(algorithm)
            if self._verify(hit.entry, hit.path, (running,)) is None:
                return None
            known = hit.entry.checksums[algorithm] = running.hexdigest()
            self.update(hit.entry)
        return known

    def write(self, entry: URLEntry) -> None:
        """Record an entry."""
        self._entries.write(entry.url.encode("utf-8", "surrogateescape"), entry.encode())

    def update(self, entry: URLEntry) -> None:
        """Record what was learnt about an entry's bytes, if they still are what its URL stands for.

        Nothing is lost where it cannot be written: whoever needs it will learn it again.
        """
        if self._read_only:
            return
        current = self.entry(entry.url)
        if current is None or (current.digest, current.slot) != (entry.digest, entry.slot):
            return  # forgotten or fetched anew meanwhile
        try:
            self.write(entry)
        except OSError as exc:
            inform("entry of %s not updated: %s", entry.url, exc.strerror)

    def forget(self, url: str) -> bool:
        """Remove a URL's entry; its object stays until a purge. False if there was none."""
        known = self._entries.delete(url.encode("utf-8", "surrogateescape"))
        if known:
            self._root.journal.append("delete", "url", url)
        return known

    def scan(self) -> Iterator[tuple[URLEntry, str, os.stat_result | None]]:
        """Yield every entry with its object's path and status (None where the object is gone)."""
        for name, payload, _item in self._entries.scan():
            try:
                entry = URLEntry.decode(name, payload)
            except ValueError:
                continue  # `admin verify` reports it
            path = self._objects.locate(address_of(entry.digest), entry.slot)
            try:
                status = os.stat(path)
            except OSError:
                status = None
            yield entry, path, status

    def _find(self, url: str, *, verify: bool, touch: bool) -> Hit | None:
        entry = self.entry(url)
        if entry is None:
            return None
        path = self._objects.locate(address_of(entry.digest), entry.slot)
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if verify or not entry.matches(status):
            checked = self._verify(entry, path)
            if checked is None:
                return None
            status = checked
        if touch and not self._read_only and self._accesses.is_due(status):
            address = format_address(address_of(entry.digest), entry.slot)
            self._accesses.touch("url", entry.url, address, path, status)
        return Hit(entry, path, status)

    def _verify(
        self, entry: URLEntry, path: str, also: tuple[Hasher, ...] = ()
    ) -> os.stat_result | None:
        from fscache.objects.verify import hash_file

        try:
            digest, status = hash_file(path, self._objects.new_hasher, also)
            why = f"its digest is {digest}"
        except FileNotFoundError:
            return None
        except OSError as exc:
            if exc.errno not in _NOT_THE_BYTES:
                raise
            digest, why = "", str(exc.strerror)
        if digest == entry.digest:
            if not entry.matches(status):
                entry.identify(status)
                self.update(entry)
            return status
        if self._read_only:
            warn("object %s is corrupt (%s); passed over", path, why)
            return None
        try:
            where = self._objects.quarantine(path, f"{self._root.path}/quarantine")
        except OSError as exc:
            warn("object %s is corrupt and stays where it is: %s", path, exc.strerror)
        else:
            warn("object %s is corrupt (%s); moved to %s", path, why, where)
            address = format_address(address_of(entry.digest), entry.slot)
            self._root.journal.append("purge", "object", address, address)
        return None
