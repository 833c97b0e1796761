"""Partial files: what has come of a URL so far, and who is fetching it.

`partial/<hash of the URL>.part` is created exclusively, locked (flock on the file itself) and written
by one fetch; `….note` beside it remembers, for bodies worth resuming, what they began with and which
host wrote them. So the file is the claim, the lock and the resume state in one, a small URL costs no
lock file, and the kernel gives the claim up when its process dies. (A filelock file per URL costs
95 µs and leaves an inode behind for each; at 5,000 small files that is twice the time of curl.)

Locks lie on some network file systems, so nothing but bandwidth rests on them:

- what another host left is taken over only after it has been silent for a minute, and then its bytes
  are copied into a file of our own, as are another user's;
- a file is written to by none but its creator, and by whoever resumes it on the same host;
- whoever lost the name while it fetched (`still_ours`) copies, too.
"""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from functools import cache

from fscache.fs import atomic, copies
from fscache.fs.lock import has_locks, try_flock
from fscache.records.entryfile import decode, encode, name_hash, read_small
from stager.destination import Validator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FOREIGN_SILENCE = 60.0
SWEEP_AGE = 7 * 86400.0
_KIND = b"par"


@cache
def _boot() -> str:
    """Return what tells this run of the machine from its others; empty where it does not say."""
    try:
        return read_small("/proc/sys/kernel/random/boot_id").decode("ascii").strip()
    except OSError:
        return ""


class Partial:
    """One URL's partial file, open and locked."""

    __slots__ = ("_writer", "fd", "kept", "path", "url", "validator")

    def __init__(self, writer: atomic.Writer, url: str, path: str, fd: int) -> None:
        """Hold a fresh partial file."""
        self._writer = writer
        self.url = url
        self.path = path
        self.fd = fd
        self.kept = 0
        self.validator: Validator | None = None

    @property
    def note_path(self) -> str:
        """Where the note lies."""
        return f"{self.path[:-5]}.note"

    def note(self, validator: Validator) -> None:
        """Write down what the body began with."""
        fields = (
            validator.etag or "",
            validator.last_modified or "",
            "" if validator.size is None else str(validator.size),
            validator.source or "",
            socket.gethostname(),
            _boot(),
        )
        payload = "\n".join(field.replace("\n", " ") for field in fields).encode("utf-8", "replace")
        name = self.url.encode("utf-8", "surrogateescape")
        self.validator = validator  # before it is there: what fails half-way is removed, too
        self._writer.write(self.note_path, encode(_KIND, name, payload))

    def restart(self) -> None:
        """Drop the bytes."""
        self.forget_note()  # first: it must not come to stand for the bytes that follow
        os.ftruncate(self.fd, 0)
        os.lseek(self.fd, 0, os.SEEK_SET)
        self.kept = 0
        self.validator = None

    def still_ours(self) -> bool:
        """Whether the name still stands for the file we write: nobody else gives it another one.

        Counting its names is half of what comparing two looks at the disk costs. Where it has an
        object's name as well, or the file system does not count, the two are compared.
        """
        mine = os.fstat(self.fd)
        if mine.st_nlink == 0:
            return False
        if mine.st_nlink == 1 and not atomic.is_sealed(mine):
            return True
        try:
            named = os.stat(self.path)
        except FileNotFoundError:
            return False
        return (named.st_ino, named.st_dev) == (mine.st_ino, mine.st_dev)

    def forget_note(self) -> None:
        """Remove the note, if one was written."""
        if self.validator is not None:
            atomic.remove(self.note_path)

    def discard(self, *, ours: bool = False) -> None:
        """Remove what is left of the fetch; `ours` says that the name was looked at just now."""
        if ours or self.still_ours():
            atomic.remove(self.path)
        self.forget_note()


class Partials:
    """The partial files of one root."""

    __slots__ = ("_directory", "_now", "_writer")

    def __init__(self, directory: str, writer: atomic.Writer, now: Callable[[], float]) -> None:
        """Keep them in `directory`, which exists."""
        self._directory = directory
        self._writer = writer
        self._now = now

    def claim(self, url: str) -> Partial | None:
        """Take a URL's partial file; None while somebody else has it."""
        path = f"{self._directory}/{name_hash(url.encode('utf-8', 'surrogateescape'))}.part"
        while True:
            opened = self._open(path)
            if opened is None:
                return None
            fd, fresh = opened
            partial = Partial(self._writer, url, path, fd)
            claimed = None
            try:
                if not try_flock(fd):
                    return None
                if not partial.still_ours():
                    continue  # its owner finished between our open and our lock
                if fresh:
                    # What a killed fetch left beside tells of other bytes than those to come. Asked
                    # before it is removed, as there nearly always is none: half the time.
                    if os.access(partial.note_path, os.F_OK):
                        atomic.remove(partial.note_path)
                    claimed = partial
                    return claimed
                status = os.fstat(fd)
                noted = None
                if status.st_size and not atomic.is_sealed(status):
                    noted = self._read_note(partial)
                # What a machine has written before it started again may be zeros where it lost
                # power: a partial file is not synced.
                if noted is None or (noted[1] == socket.gethostname() and noted[2] != _boot()):
                    # Nothing to go on from. A new file, and not this one emptied: where locks lie,
                    # somebody may be writing to this one, and will want its bytes.
                    atomic.remove(path)
                    continue
                claimed = self._take_over(partial, status, noted[0], noted[1])
                return claimed
            finally:
                if claimed is not partial:
                    os.close(fd)

    def sweep(self, age: float = SWEEP_AGE) -> list[str]:
        """Remove what nobody has written to for `age` seconds; return the paths."""
        swept = []
        now = self._now()
        try:
            names = os.listdir(self._directory)
        except FileNotFoundError:
            return []
        for name in names:
            path = f"{self._directory}/{name}"
            try:
                if now - os.stat(path).st_mtime < age:
                    continue
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            except OSError:
                continue
            try:
                if stat.S_ISDIR(os.fstat(fd).st_mode):
                    os.rmdir(path)  # of `fs.atomic`, on its way to its name
                elif not try_flock(fd) or not atomic.remove(path):
                    continue
                swept.append(path)
            except OSError:
                continue  # another user's: not ours to sweep
            finally:
                os.close(fd)
        return swept

    def _open(self, path: str) -> tuple[int, bool] | None:
        """Create the file, or open the one there; None if it is another user's."""
        while True:
            try:
                return self._writer.create(path), True
            except FileExistsError:
                pass
            try:
                return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW), False
            except FileNotFoundError:
                continue  # committed between the two calls
            except PermissionError:
                # Another user's, or sealed, by who is committing it or was killed at it.
                if not self._clear(path):
                    return None

    def _take_over(
        self, partial: Partial, status: os.stat_result, validator: Validator, host: str
    ) -> Partial | None:
        """Go on with what a dead process left, in its file or in a copy."""
        if host != socket.gethostname() or not has_locks(partial.fd):
            if self._is_silent(status):
                return self._copy(partial, validator)
            return None
        if status.st_uid != os.geteuid():
            return self._copy(partial, validator)  # only its owner may seal it
        partial.validator = validator
        partial.kept = status.st_size
        os.lseek(partial.fd, 0, os.SEEK_END)
        return partial

    def _copy(self, foreign: Partial, validator: Validator) -> Partial:
        fd, temp = self._writer.create_temp()
        ours = Partial(self._writer, foreign.url, foreign.path, fd)
        try:
            try_flock(fd)
            ours.kept = copies.copy_bytes(
                copies.reader(foreign.fd), lambda data: atomic.write_all(fd, data)
            )
            atomic.move(temp, ours.path)
            ours.note(validator)
        except BaseException:
            os.close(fd)
            atomic.remove(temp)
            raise
        return ours

    def _is_silent(self, status: os.stat_result) -> bool:
        return abs(self._now() - status.st_mtime) >= FOREIGN_SILENCE

    def _read_note(self, partial: Partial) -> tuple[Validator, str, str] | None:
        """Return what the file began with, and host and boot of who wrote it."""
        try:
            kind, name, payload = decode(read_small(partial.note_path))
            etag, modified, size, source, host, boot = payload.decode().split("\n")
        except (OSError, ValueError):
            return None
        if kind != _KIND or name != partial.url.encode("utf-8", "surrogateescape"):
            return None
        validator = Validator(
            etag or None, modified or None, int(size) if size else None, source or None
        )
        return validator, host, boot

    def _clear(self, path: str) -> bool:
        """Remove a file that we may not write to, if nobody is at it; False if somebody is."""
        try:
            idle = self._is_silent(os.stat(path))
            with suppress(PermissionError):
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    idle = try_flock(fd)
                finally:
                    os.close(fd)
            if idle:
                atomic.remove(path)
        except FileNotFoundError:
            return True
        except PermissionError:
            return False
        return idle
