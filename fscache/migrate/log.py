"""What has been brought over already, so that a migration that was killed goes on where it was.

One line for each file, appended when its object and entries are there:

    <XXH3-64 of the rest> <inode> <size> <mtime in ns> <address> <path, relative to the old store>

It lies among the partial files, and is swept with them when nobody has needed it for a week. Losing it
costs time: what is there is hashed and found again.
"""

from __future__ import annotations

import os

from xxhash import xxh3_64_hexdigest, xxh3_128_hexdigest

from fscache.fs.atomic import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from fscache.records.root import Root


class Log:
    """The log of one migration: of one old store into one root."""

    def __init__(self, root: Root, source: str) -> None:
        """Use the log of `source`, an absolute path, in `root`, which exists."""
        name = xxh3_128_hexdigest(os.fsencode(source))
        self._path = f"{root.path}/partial/migrate-{name}.log"
        self._mode = root.modes.partial
        self._fd = -1
        self._done: dict[str, tuple[int, int, int, str]] = {}

    def __enter__(self) -> Self:
        try:
            with open(self._path, "rb") as file:
                for line in file.read().split(b"\n"):
                    self._read(line)
        except FileNotFoundError:
            pass
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(self._path, flags, self._mode)
        write_all(self._fd, b"\n")  # behind what a killed process may have left of its last line
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._fd)

    def address(self, name: str, status: os.stat_result) -> str | None:
        """Return the address of a file that was brought over and has not changed since."""
        known = self._done.get(name)
        if known is None or known[:3] != (status.st_ino, status.st_size, status.st_mtime_ns):
            return None
        return known[3]

    def add(self, name: str, status: os.stat_result, address: str) -> None:
        """Note that a file was brought over."""
        self._done[name] = (status.st_ino, status.st_size, status.st_mtime_ns, address)
        escaped = os.fsencode(name.replace("\\", "\\\\").replace("\n", "\\n"))
        rest = b" %d %d %d %b %b" % (
            *(status.st_ino, status.st_size, status.st_mtime_ns),
            *(address.encode("ascii"), escaped),
        )
        write_all(self._fd, xxh3_64_hexdigest(rest).encode("ascii") + rest + b"\n")

    def _read(self, line: bytes) -> None:
        rest = line[16:]
        if xxh3_64_hexdigest(rest).encode("ascii") != line[:16]:
            return
        inode, size, mtime_ns, address, name = rest[1:].split(b" ", 4)
        pieces = os.fsdecode(name).split("\\\\")
        plain = "\\".join(piece.replace("\\n", "\n") for piece in pieces)
        self._done[plain] = (int(inode), int(size), int(mtime_ns), address.decode("ascii"))
