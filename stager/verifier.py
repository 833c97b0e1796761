"""Hashes a body while it is being written.

XXH3-128 alone runs inline: beside the write it costs nothing that can be measured. Every other
algorithm is slower than the network may be (sha256 1.3 to 1.6 GB/s, md5 0.75), so after the first MiB
all of them move into one thread behind the writer. What arrives as `bytes` (libcurl's) is handed over as
it is. A buffer that is about to be used again would have to be copied by the thread that keeps up with
the network: the follower reads those bytes out of the file instead, as it does with those that never
were in this process.

The writer never gets further ahead than `HANDED` or, out of the page cache, `LEAD`.
"""

from __future__ import annotations

import os
from collections import deque
from threading import Condition, Thread
from typing import TYPE_CHECKING

from stager.checks import DIGEST, hasher

if TYPE_CHECKING:
    from collections.abc import Collection

    from stager.checks import Hasher

INLINE = 1 << 20
"""Bytes hashed in the writing thread; most files end before a thread is worth starting."""
LEAD = 64 << 20
"""Bytes that the writer may be ahead of a follower that reads them in the file."""
HANDED = 16 << 20
"""Bytes that were handed over and wait for the follower, at most: they are in memory."""
_STEP = 1 << 20
"""Bytes between two wake-ups of the follower."""
_READ = 256 << 10
"""Bytes read and hashed at a time: what the processor's cache holds beside what it has just written."""


class Verifier:
    """Digests of one body: `DIGEST` and whatever else was asked for."""

    def __init__(self, algorithms: Collection[str], fd: int, kept: int = 0) -> None:
        """Start at `kept`, hashing the bytes before it out of the file.

        Args:
            algorithms: Beside `DIGEST`.
            fd: The file the body is written to, open for reading too; `update` is called after
                the bytes are in it.
            kept: Bytes of the body that are in the file already.
        """
        self.at = kept
        """Bytes of the body so far."""
        self._hashers = {name: hasher(name) for name in (DIGEST, *algorithms)}
        self._fd = fd
        self._buffer: memoryview | None = None
        self._follower: _Follower | None = None
        if not kept:
            return
        if len(self._hashers) > 1:
            self._follower = _Follower(fd, 0, self._hashers.values())
            self._follower.allow(kept, LEAD)
        else:
            _hash_range(fd, 0, kept, self._hashers.values(), memoryview(bytearray(_READ)))

    def covers(self, algorithms: Collection[str], at: int) -> bool:
        """Tell whether this verifier can go on for a body resumed at `at`."""
        return self.at == at and self._hashers.keys() == {DIGEST, *algorithms}

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes, which are in the file by now; the buffer is not kept.

        Raises:
            OSError: the file could not be read.
        """
        at = self.at
        self.at += len(data)
        if self._follower is None and len(self._hashers) > 1 and self.at > INLINE:
            self._follower = _Follower(self._fd, at, self._hashers.values())
        if self._follower is not None:
            self._follower.take(data, self.at)
        else:
            for one in self._hashers.values():
                one.update(data)

    def advance(self, size: int) -> None:
        """Take the next `size` bytes, which are in the file and nowhere else.

        Raises:
            OSError: the file could not be read.
        """
        at = self.at
        self.at += size
        if len(self._hashers) > 1:
            if self._follower is None:
                self._follower = _Follower(self._fd, at, self._hashers.values())
            self._follower.allow(self.at, LEAD)
        else:
            if self._buffer is None:
                self._buffer = memoryview(bytearray(_READ))
            _hash_range(self._fd, at, self.at, self._hashers.values(), self._buffer)

    def finish(self) -> dict[str, str]:
        """Return algorithm → hex digits over the whole body.

        Raises:
            OSError: the file could not be read.
        """
        if self._follower is not None:
            self._follower.finish(self.at)
        return {name: one.hexdigest() for name, one in self._hashers.items()}

    def abandon(self) -> None:
        """Stop the follower, before the file is closed or shortened."""
        if self._follower is not None:
            self._follower.abandon()


class _Follower:
    """The thread behind the writer."""

    def __init__(self, fd: int, at: int, hashers: Collection[Hasher]) -> None:
        self._fd = fd
        self._hashers = list(hashers)
        self._turn = Condition()
        # Where they begin, and the bytes; the writer appends before it lets the thread go so far.
        self._handed: deque[tuple[int, bytes]] = deque()
        self._at = at
        self._end = at
        self._ending = False
        self._error: OSError | None = None
        self._thread = Thread(target=self._run, name="stager-verifier", daemon=True)
        self._thread.start()

    def take(self, data: bytes | memoryview, end: int) -> None:
        """Let the thread hash up to `end`, where `data` ends; wait while it is too far behind."""
        if isinstance(data, bytes):
            self._handed.append((end - len(data), data))
            self.allow(end, HANDED)
        else:
            self.allow(end, LEAD)

    def allow(self, end: int, lead: int) -> None:
        """Let the thread hash up to `end`; wait while it is further behind than `lead`."""
        # Waking the thread costs a switch between the two: once in a step is often enough.
        if end - self._end < _STEP:
            return
        with self._turn:
            self._end = end
            self._turn.notify_all()
            while self._end - self._at > lead and self._error is None:
                self._turn.wait()
            self._raise()

    def finish(self, end: int) -> None:
        self._join()
        _hash_range(self._fd, self._at, end, self._hashers, memoryview(bytearray(_READ)))

    def abandon(self) -> None:
        with self._turn:
            self._end = self._at
        self._join(raising=False)

    def _join(self, *, raising: bool = True) -> None:
        with self._turn:
            self._ending = True
            self._turn.notify_all()
        self._thread.join()
        if raising:
            self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        buffer = memoryview(bytearray(_READ))
        while True:
            with self._turn:
                while self._at >= self._end and not self._ending:
                    self._turn.wait()
                at, end = self._at, min(self._end, self._at + _STEP)
                if at >= end:
                    return
            try:
                at = self._hash(at, end, buffer)
            except OSError as error:
                with self._turn:
                    self._error = error
                    self._turn.notify_all()
                return
            with self._turn:
                self._at = at
                self._turn.notify_all()

    def _hash(self, at: int, end: int, buffer: memoryview) -> int:
        """Hash from `at` to `end` or, with what was handed over, a little further; return how far."""
        while at < end:
            begins = self._handed[0][0] if self._handed else end
            if begins > at:
                stop = min(begins, end)
                _hash_range(self._fd, at, stop, self._hashers, buffer)
                at = stop
            else:
                _, data = self._handed.popleft()
                for one in self._hashers:
                    one.update(data)
                at += len(data)
        return at


def _hash_range(
    fd: int, at: int, end: int, hashers: Collection[Hasher], buffer: memoryview
) -> None:
    while at < end:
        count = os.preadv(fd, [buffer[: end - at]], at)
        if not count:
            raise OSError(f"the partial file ends at {at}, not at {end}")
        for one in hashers:
            one.update(buffer[:count])
        at += count
