"""The log of the names of one store's keys: `journal/kv/<store>/<host>.<uid>`, one line a key.

    <line break><`-`, or `*`: look into the entry><name, backslashes and line breaks escaped>

What it is for, and what rests on it, is told in `kv.names`. A line that was torn, or that somebody else
has written, is no name: who reads it compares its hash with what lies on the disk.
"""

from __future__ import annotations

import os

from fscache.records.journal import chain_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fscache.fs.atomic import Writer

_PLAIN, _SPECIAL = b"-", b"*"
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_LOOK = 256  # appends


class NameLog:
    """The log of one store's names; each user of each host appends to a file of their own."""

    __slots__ = ("_appends", "_directory", "_fd", "_mode", "_offsets", "_path", "_writer", "lines")

    def __init__(self, directory: str, writer: Writer) -> None:
        """Keep the log in `directory`; nothing is opened before the first name."""
        self._directory = directory
        self._path = f"{directory}/{chain_name(os.uname().nodename, os.getuid())}"
        self._writer = writer
        self._mode = writer.modes.object | 0o200
        self._fd = -1
        self._appends = 0
        self._offsets: dict[str, tuple[int, int]] = {}
        self.lines = 0

    def append(self, lines: bytes, *, needed: bool) -> None:
        """Append whole lines; raises OSError.

        Args:
            lines: The lines.
            needed: They must not be missing; the caller holds the root's shared lock.
        """
        # A log that was deleted, or written anew, is opened again: nobody would read the old one.
        # What may be missing costs somebody a read, so for that it is enough to look now and then.
        self._appends += 1
        if self._fd < 0 or (
            (needed or not self._appends % _LOOK) and not os.fstat(self._fd).st_nlink
        ):
            self._open()
        if os.write(self._fd, lines) != len(lines):
            raise OSError(28, "the file system is full", self._path)

    def unread(self) -> Iterator[bytes]:
        """Yield what was appended, by anybody, since the last call; the last line comes again."""
        try:
            names = os.listdir(self._directory)
        except OSError:
            return
        for name in names:
            path = f"{self._directory}/{name}"
            try:
                with open(path, "rb", buffering=0) as file:
                    inode = os.fstat(file.fileno()).st_ino
                    known, offset = self._offsets.get(path, (inode, 0))
                    file.seek(offset if known == inode else 0)
                    start = file.tell()
                    data = file.read()
            except OSError:
                continue  # not ours to read: its keys are read out of their entries
            last = data.rfind(b"\n")
            self._offsets[path] = (inode, start + max(last, 0))
            self.lines += data.count(b"\n") + 1
            yield data

    def rewrite(self, lines: Iterable[bytes]) -> None:
        """Replace this user's log; the caller holds the root's exclusive lock."""
        self._writer.write(self._path, b"".join(lines))
        self.lines = 0

    def _open(self) -> None:
        try:
            fd = os.open(self._path, _FLAGS, self._mode)
        except FileNotFoundError:
            self._writer.make_directories(self._directory)
            fd = os.open(self._path, _FLAGS, self._mode)
        if os.fstat(fd).st_mode & 0o777 != self._mode:
            os.fchmod(fd, self._mode)
        if self._fd < 0:
            self._fd = fd
            return
        # In one step: a thread in the midst of a write must not find the number closed, or given away.
        os.dup2(fd, self._fd, inheritable=False)
        os.close(fd)

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def line(key: str, *, special: bool) -> bytes:
    """Return the line of a key; `special` if it has a ttl or tags."""
    name = key.encode("utf-8", "surrogateescape")
    if b"\\" in name or b"\n" in name:
        name = name.replace(b"\\", b"\\b").replace(b"\n", b"\\n")
    return b"\n%b%b" % (_SPECIAL if special else _PLAIN, name)


def parsed(data: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield the names in what was read of a log, and whether each is special."""
    for each in data.split(b"\n"):
        mark, name = each[:1], each[1:]
        if mark in {_PLAIN, _SPECIAL}:
            if b"\\" in name:
                name = name.replace(b"\\n", b"\n").replace(b"\\b", b"\\")
            yield name, mark == _SPECIAL
