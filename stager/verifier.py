"""Hashes a body while it is being written.

XXH3-128 runs inline: beside the write it costs nothing that can be measured. Every other algorithm is
slower than the network may be (sha256 1.6 GB/s, md5 0.75), so after the first MiB it moves into one
thread, which reads the file behind the writer, out of the page cache. Rejected: handing buffers over
by a queue. It costs a copy in the thread that has to keep up with the network, memory per download,
and comes out no faster (1 GiB with sha256, medians of three: 1.8 s queue, 1.7 s follower, 1.6 s
without sha256, on a busy machine); and the follower sees what is in the file, not what went by.

The writer never gets further ahead than `LEAD`, so the follower stays within the page cache.
"""

from __future__ import annotations

import os
from threading import Condition, Thread
from typing import TYPE_CHECKING

from stager.checks import DIGEST, hasher

if TYPE_CHECKING:
    from collections.abc import Collection

    from stager.checks import Hasher

INLINE = 1 << 20
"""Bytes hashed in the writing thread; most files end before a thread is worth starting."""
LEAD = 64 << 20
"""Bytes that the writer may be ahead of the follower."""
_STEP = 1 << 20


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
        self._digest = hasher(DIGEST)
        self._others = {name: hasher(name) for name in algorithms if name != DIGEST}
        self._fd = fd
        self._follower: _Follower | None = None
        if kept and self._others:
            self._follower = _Follower(fd, 0, self._others.values())
        for at in range(0, kept, LEAD):
            end = min(kept, at + LEAD)
            _hash_range(fd, at, end, [self._digest])
            if self._follower is not None:
                self._follower.allow(end)

    def covers(self, algorithms: Collection[str], at: int) -> bool:
        """Tell whether this verifier can go on for a body resumed at `at`."""
        return self.at == at and self._others.keys() == set(algorithms) - {DIGEST}

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes, which are in the file by now; the buffer is not kept.

        Raises:
            OSError: the file could not be read.
        """
        self._digest.update(data)
        self.at += len(data)
        if not self._others:
            return
        if self._follower is not None:
            self._follower.allow(self.at)
        elif self.at <= INLINE:
            for other in self._others.values():
                other.update(data)
        else:
            self._follower = _Follower(self._fd, self.at - len(data), self._others.values())
            self._follower.allow(self.at)

    def finish(self) -> dict[str, str]:
        """Return algorithm → hex digits over the whole body.

        Raises:
            OSError: the file could not be read.
        """
        if self._follower is not None:
            self._follower.finish(self.at)
        digests = {DIGEST: self._digest.hexdigest()}
        for name, other in self._others.items():
            digests[name] = other.hexdigest()
        return digests

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
        self._at = at
        self._end = at
        self._ending = False
        self._error: OSError | None = None
        self._thread = Thread(target=self._run, name="stager-verifier", daemon=True)
        self._thread.start()

    def allow(self, end: int) -> None:
        """Let the thread read up to `end`; wait while it is too far behind."""
        # Waking the thread costs a switch between the two: once in a step is often enough.
        if end - self._end < _STEP:
            return
        with self._turn:
            self._end = end
            self._turn.notify_all()
            while self._end - self._at > LEAD and self._error is None:
                self._turn.wait()
            self._raise()

    def finish(self, end: int) -> None:
        self._join()
        _hash_range(self._fd, self._at, end, self._hashers)

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
        buffer = memoryview(bytearray(_STEP))
        while True:
            with self._turn:
                while self._at >= self._end and not self._ending:
                    self._turn.wait()
                at, end = self._at, min(self._end, self._at + _STEP)
                if at >= end:
                    return
            try:
                _hash_range(self._fd, at, end, self._hashers, buffer)
            except OSError as error:
                with self._turn:
                    self._error = error
                    self._turn.notify_all()
                return
            with self._turn:
                self._at = end
                self._turn.notify_all()


def _hash_range(
    fd: int, at: int, end: int, hashers: list[Hasher], buffer: memoryview | None = None
) -> None:
    buffer = memoryview(bytearray(_STEP)) if buffer is None else buffer
    while at < end:
        count = os.preadv(fd, [buffer[: end - at]], at)
        if not count:
            raise OSError(f"the partial file ends at {at}, not at {end}")
        for one in hashers:
            one.update(buffer[:count])
        at += count
