"""Large bodies: objects of the content-addressed store, which an entry points to.

What is read whole is hashed, every time: 1 MiB takes 40 µs of the 200 that reading it takes. What is
mapped is trusted while it is the very file that was written (one `stat`), and hashed where it is not
(a copied root). Bytes that are not those of the digest go to quarantine; the key is then a miss.
"""

from __future__ import annotations

import os

from fscache.kv.record import Pointer
from fscache.objects.digest import address_of, digest_of
from fscache.objects.layout import format_address
from fscache.telling import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fscache.kv.codec import Buffer
    from fscache.records.root import Root


class Bodies:
    """The large bodies of one root."""

    __slots__ = ("_objects", "_quarantine")

    def __init__(self, root: Root) -> None:
        """Keep bodies in the object store of `root`."""
        self._objects = root.objects()
        self._quarantine = f"{root.path}/quarantine"

    def put(self, pieces: list[Buffer]) -> tuple[Pointer, str]:
        """Store a body; return what points to it, and its address. Under the root's shared lock."""
        stored = self._objects.put_stream(_Pieces(pieces).readinto)
        status = stored.status
        pointer = Pointer(
            stored.digest, stored.slot, status.st_size, status.st_ino, status.st_mtime_ns
        )
        return pointer, stored.address

    def address(self, pointer: Pointer) -> str:
        """Return a body's address, with its slot."""
        return format_address(address_of(pointer.digest), pointer.slot)

    def read(self, pointer: Pointer) -> bytes | None:
        """Return a body; None, and a warning, where it is gone or is not what was put."""
        path = self._locate(pointer)
        try:
            with open(path, "rb", buffering=0) as file:
                data = file.read()
        except FileNotFoundError:
            warn("object %s of a key-value is gone", path)
            return None
        if digest_of(data) != pointer.digest:
            self._set_aside(path)
            return None
        return data

    def map(self, pointer: Pointer) -> Any:
        """Return the array in a body, mapped; None as `read`."""
        from fscache.kv import arrays

        path = self._locate(pointer)
        try:
            array = arrays.open_mapped(path)
            status = os.stat(path)
        except FileNotFoundError:
            warn("object %s of a key-value is gone", path)
            return None
        except ValueError:
            self._set_aside(path)
            return None
        trusted = (
            status.st_ino == pointer.inode
            and status.st_size == pointer.size
            and status.st_mtime_ns == pointer.mtime_ns
        )
        if not trusted and self._is_damaged(path, pointer):
            self._set_aside(path)
            return None
        return array

    def _is_damaged(self, path: str, pointer: Pointer) -> bool:
        from fscache.objects.verify import hash_file

        return hash_file(path, self._objects.new_hasher)[0] != pointer.digest

    def _locate(self, pointer: Pointer) -> str:
        return self._objects.locate(address_of(pointer.digest), pointer.slot)

    def _set_aside(self, path: str) -> None:
        try:
            where = self._objects.quarantine(path, self._quarantine)
        except OSError as exc:
            warn("object %s of a key-value is corrupt and stays: %s", path, exc.strerror)
        else:
            warn("object %s of a key-value is corrupt; moved to %s", path, where)


class _Pieces:
    """Reads several buffers as one stream, without joining them."""

    def __init__(self, pieces: list[Buffer]) -> None:
        self._rest = [memoryview(piece) for piece in pieces]

    def readinto(self, view: memoryview) -> int:
        done = 0
        while self._rest and done < len(view):
            first = self._rest[0]
            count = min(len(first), len(view) - done)
            view[done : done + count] = first[:count]
            done += count
            if count == len(first):
                self._rest.pop(0)
            else:
                self._rest[0] = first[count:]
        return done
