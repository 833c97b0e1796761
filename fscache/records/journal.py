"""The journal: one appended record for every change, from which the catalog learns of it.

A record is one line, written by one `write` to a file opened for appending:

    <line break><XXH3-64 of the rest> <op> <kind> <time> <address> <size> <by> <name>

Each user of each host appends to segments of their own, `journal/<host>.<uid>.<number>`: an append
on a network file system is atomic only within one host, and another user's file may not be ours to
write. A record begins with the line break instead of ending with one, so that what a torn write left
behind spoils no record after it.

Promises: an append costs a put less than 5 µs, never blocks, and never fails the change it records.
Threads, forked children and other processes append at once. The journal is bounded: what nobody asks
about for a long time is dropped, and counted as lost.

The journal is derived data. The file `journal/complete` says that it, with the catalog, tells of every
change; where a record could not be written (a full disk, above all) that file is removed, which needs
no room, and the catalog is rebuilt from the files when next asked. `journal/born` holds the same id as
long as the journal alone tells of every change since the root was made.

Not promised: order between two processes' records, or a record of a change whose process was killed
in the microseconds between the two. Whoever names an object that nobody can fetch again (a key-value,
a task) therefore appends first and renames then, both under `root.shared`: a record too many is
corrected when it is looked at, one too few would let a purge take the object.
"""

from __future__ import annotations

import os
from _thread import allocate_lock

from xxhash import xxh3_64_hexdigest

from fscache.telling import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from fscache.fs.atomic import Writer

PUT = "put"  # an entry or object was written
TOUCH = "touch"  # an object was asked for; at most once an hour and object
DELETE = "delete"  # an entry was removed: forgotten, deleted, expired
PURGE = "purge"  # an object was removed

OBJECT = "object"  # name: its address
URL = "url"  # name: the URL, as its entry has it
KV = "kv"  # name: `<store>/<key>`
TASK = "task"  # name: the task's id

COMPLETE = "complete"
BORN = "born"
SEGMENT_BYTES = 8 * 1024 * 1024
MAX_SEGMENTS = 32  # of one user and host: 256 MiB, some two million records
RENEW_INTERVAL = 10.0  # seconds after which an open segment is looked at again
RENEW_RECORDS = 10_000  # or this many records of ours: one to two MiB
_FORKED = 1.0  # seconds; opening takes 50 µs
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Journal:
    """Appends to one root's journal."""

    __slots__ = (
        "_chain",
        "_directory",
        "_fd",
        "_left",
        "_lock",
        "_mode",
        "_now",
        "_until",
        "_warned",
        "_writer",
    )

    def __init__(self, directory: str, writer: Writer, now: Callable[[], float]) -> None:
        """Append to segments in `directory`; nothing is opened before the first record.

        Args:
            directory: `journal` of the root.
            writer: Makes the directory if it is not there; its modes are those of the segments.
            now: The clock, seconds since the epoch.
        """
        self._directory = directory
        self._writer = writer
        self._now = now
        self._mode = writer.modes.object | 0o200
        self._chain = ""
        self._fd = -1
        self._until = 0.0
        self._left = 0
        self._lock = allocate_lock()
        self._warned = False

    def append(  # noqa: PLR0917 - keywords cost a put 0.2 µs
        self, op: str, kind: str, name: str, address: str = "", size: int = 0, by: str = ""
    ) -> None:
        """Record one change; never raises for what the file system says.

        Args:
            op: PUT, TOUCH, DELETE or PURGE.
            kind: OBJECT, URL, KV or TASK.
            name: What was changed; for an object its address, for a key-value `<store>/<key>`.
            address: The object that the entry names, with its slot; empty if it names none.
            size: Bytes of the object or, where there is none, of the value.
            by: Who staged it, `user@host`, if that is known.
        """
        now = self._now()
        record = encode(op, kind, now, name, address, size, by)
        try:
            # The other end of the interval: a clock that was set back must not stop renewal.
            if not (self._left and 0.0 < self._until - now <= RENEW_INTERVAL):
                self._renew(now)
            self._left -= 1
            if os.write(self._fd, record) == len(record):
                return
            why = "the file system is full"
        except OSError as exc:
            why = exc.strerror or str(exc)
        if op != TOUCH:
            self._lost(why)

    def _renew(self, now: float) -> None:
        """Open a segment, or the next one where it is full or gone."""
        if not self._lock.acquire(blocking=False):
            if self._fd >= 0:
                return  # another thread is about it; what is open will do
            if not self._lock.acquire(timeout=_FORKED):
                # We are a child, forked in the midst of this: nobody is here to release it.
                self._lock = allocate_lock()
                self._lock.acquire()
        try:
            if self._fd < 0:
                self._fd = self._open()
            else:
                status = os.fstat(self._fd)
                if not status.st_nlink or status.st_size >= SEGMENT_BYTES:
                    fd = self._open()
                    # In one step: a thread in the midst of a write must not find the number closed,
                    # or given to another file.
                    os.dup2(fd, self._fd, inheritable=False)
                    os.close(fd)
            self._until = now + RENEW_INTERVAL
            self._left = RENEW_RECORDS
        finally:
            self._lock.release()

    def _open(self) -> int:
        if not self._chain:
            self._chain = chain_name(os.uname().nodename, os.getuid())
        try:
            names = os.listdir(self._directory)
        except FileNotFoundError:
            self._writer.make_directories(self._directory)
            names = []
        numbers = sorted(
            number for chain, number in map(parse_segment, names) if chain == self._chain
        )
        number = numbers[-1] if numbers else 1
        while True:
            path = f"{self._directory}/{self._chain}.{number:08d}"
            fd = os.open(path, _FLAGS, self._mode)
            status = os.fstat(fd)
            if status.st_size < SEGMENT_BYTES:
                break
            os.close(fd)
            number += 1
        if status.st_mode & 0o777 != self._mode:
            os.fchmod(fd, self._mode)  # whoever lists the cache reads it, whatever the umask
        if len(numbers) > MAX_SEGMENTS:
            self._lost("nobody has read it for a long time")
            for old in numbers[:-MAX_SEGMENTS]:
                self._remove(f"{self._chain}.{old:08d}")
        return fd

    def _lost(self, why: str) -> None:
        """Say that a change is not recorded: the catalog will be rebuilt from the files."""
        try:
            removed = self._remove(COMPLETE)
        except OSError as exc:
            removed = False
            why = f"{why}; nor can that be noted: {exc.strerror}"
        if removed or not self._warned:
            self._warned = True
            warn(
                "the journal in %s misses changes (%s); `admin reindex` finds them",
                self._directory,
                why,
            )

    def _remove(self, name: str) -> bool:
        from fscache.fs.atomic import remove

        return remove(f"{self._directory}/{name}")

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def encode(  # noqa: PLR0917 - as above
    op: str, kind: str, now: float, name: str, address: str, size: int, by: str
) -> bytes:
    """Return a record as it is written."""
    if "\n" in name or "\\" in name:
        name = name.replace("\\", "\\\\").replace("\n", "\\n")
    if " " in by:
        by = by.replace(" ", "_")
    rest = f" {op} {kind} {now:.3f} {address or '-'} {size} {by or '-'} {name}".encode(
        "utf-8", "surrogateescape"
    )
    return b"\n%b%b" % (xxh3_64_hexdigest(rest).encode("ascii"), rest)


def chain_name(host: str, uid: int) -> str:
    """Return the name that all segments of one user and host begin with."""
    plain = "".join(char if char.isascii() and char.isalnum() else "-" for char in host)
    return f"{plain[:64] or '-'}.{uid}"


def parse_segment(name: str) -> tuple[str, int]:
    """Return the chain and number of a segment's file name; an empty chain if it is none."""
    chain, _, number = name.rpartition(".")
    if chain.count(".") == 1 and number.isascii() and number.isdigit():
        return chain, int(number)
    return "", 0
