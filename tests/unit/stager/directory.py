"""A `Destination` that is a plain directory: what the stager's tests fetch into."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import threading
from typing import TYPE_CHECKING

from stager.destination import Staged, Validator
from stager.errors import NoSpaceError

if TYPE_CHECKING:
    from pathlib import Path


class DirectoryClaim:
    """A partial file with flock on it, and a note beside it."""

    def __init__(self, owner: DirectoryDestination, name: str, fd: int) -> None:
        self._owner = owner
        self._name = name
        self._partial = f"{owner.root}/{name}.part"
        self._note = f"{owner.root}/{name}.note"
        self._open = True
        self.fd = fd
        self.kept = 0
        self.validator: Validator | None = None
        size = os.fstat(fd).st_size
        # A note that its writer was killed over is none.
        with contextlib.suppress(FileNotFoundError, ValueError), open(self._note) as note:
            self.kept, self.validator = size, Validator(**json.load(note))
            os.lseek(fd, size, os.SEEK_SET)
        if size and self.validator is None:
            os.ftruncate(fd, 0)

    def note(self, validator: Validator) -> None:
        with open(self._note, "w") as note:
            json.dump(validator._asdict(), note)

    def restart(self) -> None:
        os.ftruncate(self.fd, 0)
        os.lseek(self.fd, 0, os.SEEK_SET)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._note)

    def commit(self, staged: Staged) -> str:
        final = f"{self._owner.root}/{self._name}"
        os.replace(self._partial, final)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._note)
        self._owner.record(staged)
        self._close()
        return final

    def release(self, *, keep: bool) -> None:
        if self._open:
            if not keep:
                for path in (self._partial, self._note):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(path)
            self._close()

    def _close(self) -> None:
        self._open = False
        os.close(self.fd)
        self._owner.released()


class Reservation:
    def __init__(self, owner: DirectoryDestination, size: int) -> None:
        self._owner, self._size = owner, size

    def spend(self, size: int) -> None:
        size = min(size, self._size)
        self._owner.reserved -= size
        self._size -= size

    def release(self) -> None:
        self._owner.reserved -= self._size
        self._size = 0


class DirectoryDestination:
    """`capacity` bytes at most may be reserved at once."""

    def __init__(self, root: Path | str, capacity: int = 1 << 40) -> None:
        self.root = str(root)
        self.capacity = capacity
        self.reserved = 0
        self.staged: list[Staged] = []
        self.touched: list[Staged] = []
        self.open_claims = 0
        self.free = threading.Condition()

    @staticmethod
    def name(url: str) -> str:
        return hashlib.md5(url.encode()).hexdigest()

    def claim(self, url: str) -> DirectoryClaim | None:
        path = f"{self.root}/{self.name(url)}.part"
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = os.stat(path).st_ino == os.fstat(fd).st_ino
        except (BlockingIOError, FileNotFoundError):
            ours = False
        if not ours:
            os.close(fd)
            return None
        with self.free:
            self.open_claims += 1
        return DirectoryClaim(self, self.name(url), fd)

    def released(self) -> None:
        with self.free:
            self.open_claims -= 1
            self.free.notify_all()

    def record(self, staged: Staged) -> None:
        self.staged.append(staged)

    def lookup(self, url: str, checksum: tuple[str, str] | None) -> str | None:
        path = f"{self.root}/{self.name(url)}"
        try:
            with open(path, "rb") as file:
                if checksum and hashlib.file_digest(file, checksum[0]).hexdigest() != checksum[1]:
                    return None
        except FileNotFoundError:
            return None
        return path

    def touch(self, staged: Staged) -> str | None:
        self.touched.append(staged)
        return self.lookup(staged.url, None)

    def reserve(self, url: str, size: int) -> Reservation:
        if self.reserved + size > self.capacity:
            raise NoSpaceError(
                url, "full", size, self.capacity - self.reserved, fits_ever=size <= self.capacity
            )
        self.reserved += size
        return Reservation(self, size)

    def leftovers(self) -> list[str]:
        """Partial files and notes that are still there."""
        return sorted(one for one in os.listdir(self.root) if "." in one)
