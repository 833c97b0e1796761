"""One body on its way into a claim's file: where it stands, what it is hashed with, what it may take.

Promises that what is counted as here is in the file and in the hashes, and that space was set aside
before it was written. Knows nothing of servers.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from stager.errors import DestinationError, LengthError, NoSpaceError
from stager.verifier import Verifier

if TYPE_CHECKING:
    from collections.abc import Collection

    from stager.destination import Claim, Destination, Reservation, Validator
    from stager.errors import StageError
    from stager.request import Meter

NOTE_FROM = 1 << 20
"""Bytes from which a body is worth remembering across processes: a note is a file of its own, and
fetching less again costs less than writing one."""
RESERVE_STEP = 16 << 20
"""Bytes set aside at first for a body of unknown length, doubled whenever it outgrows them; and written
before the destination is told that the file system counts them now."""
PIECE = 256 << 10
"""Bytes that are moved out of a pipe and hashed at a time: while they are in the processor's cache."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Body:
    """The body of one transfer, over all its attempts."""

    def __init__(
        self, url: str, claim: Claim, destination: Destination, meter: Meter, *, promised: bool
    ) -> None:
        """Go on with what `claim` holds.

        Args:
            url: Redacted.
            claim: Whose file it is.
            destination: Whose claim it is.
            meter: Counts for the requests.
            promised: The whole will be compared with a checksum that the caller has: halves of two
                files cannot pass for one, and bytes are resumed where no validator says so, too.
        """
        self._url = url
        self._claim = claim
        self._destination = destination
        self._meter = meter
        self._promised = promised
        self._verifier: Verifier | None = None
        self._reservation: Reservation | None = None
        self._room = 0
        self._told = 0
        self.at = meter.done = claim.kept
        """Bytes that are here."""
        self.validator = claim.validator
        """What they began with."""
        self.keepable = claim.kept > 0
        """Whether another process could go on with them."""
        self.resumed = claim.kept > 0
        """Whether they are from more than one answer."""
        self.total: int | None = None
        """Bytes announced."""

    def resume_from(self, source: str) -> tuple[int, str | None] | None:
        """Return the first byte to ask `source` for and the `If-Range` that goes with it, if any.

        None where the body must come from its start; what was kept is then dropped. When all is
        here but the end was not seen, the last byte is asked for once more: a range that begins
        behind the end would only be refused.
        """
        if not self.at:
            return None
        kept = self.validator
        if (
            kept is None
            or kept.source != source
            or not self._is_resumable(kept)
            or (kept.size is not None and self.at > kept.size)
        ):
            self.restart()
            return None
        return (self.at - 1 if self.at == kept.size else self.at), kept.if_range()

    def restart(self) -> None:
        """Drop what is here."""
        self._drop_verifier()
        self._claim.restart()
        self.at = self._meter.done = 0
        self.validator = None
        self.keepable = self.resumed = False

    def begin(
        self, first: int, total: int | None, validator: Validator, algorithms: Collection[str]
    ) -> None:
        """Take an answer whose bytes start at `first`, 0 or what `resume_from` said.

        Raises:
            NoSpaceError: there is no room for it.
            OSError: the file cannot be read or positioned.
        """
        self.total = self._meter.total = total
        if first:
            self.resumed = True
        else:
            if self.at:
                self.restart()
            self.validator = validator
            # A large one also where we could not go on with it: who comes next may have a checksum.
            noted = self._is_resumable(validator) if total is None else total >= NOTE_FROM
            if noted:
                self._claim.note(validator)
                self.keepable = True
        self._reserve(first, RESERVE_STEP if total is None else total - first)
        if first != self.at:
            self._drop_verifier()
            os.ftruncate(self._claim.fd, first)
            os.lseek(self._claim.fd, first, os.SEEK_SET)
            self.at = first
        if self._verifier is None or not self._verifier.covers(algorithms, first):
            self._drop_verifier()
            self._verifier = Verifier(algorithms, self._claim.fd, first)
        self._meter.start()

    def write(self, data: bytes | memoryview) -> None:
        """Add the next bytes.

        Raises:
            LengthError: they are more than were announced.
            NoSpaceError: there is no room for them.
            OSError: the file cannot be written.
        """
        size = len(data)
        self._admit(size)
        fd = self._claim.fd
        written = os.write(fd, data)
        if written < size:  # a signal, or a disk that is just filling up
            rest = memoryview(data)[written:]
            while rest:
                rest = rest[os.write(fd, rest) :]
        if self._verifier is not None:
            self._verifier.update(data)
        self._count(size)

    def write_from(self, pipe: int, size: int) -> None:
        """Add the next `size` bytes, which wait in a pipe; raises as `write` does.

        What is hashed is what the file then holds: the kernel may hand over a server's own pages, which
        change where that server's file does.
        """
        self._admit(size)
        end = self.at + size
        while self.at < end:
            piece = min(end - self.at, PIECE)
            try:
                moved = os.splice(pipe, self._claim.fd, piece)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self.write(os.read(pipe, piece))  # the file system cannot
                continue
            if self._verifier is not None:
                self._verifier.advance(moved)
            self._count(moved)

    def finish(self) -> dict[str, str]:
        """Return the digests, algorithm → hex.

        Raises:
            LengthError: less came than was announced.
        """
        if self._verifier is None or (self.total is not None and self.at != self.total):
            raise LengthError(self._url, self.total or 0, self.at)
        return self._verifier.finish()

    def close(self, *, keep: bool) -> None:
        """Give everything back; `keep` leaves the bytes for a later resume where that is possible."""
        self._drop_verifier()
        self._release_room()
        self._claim.release(keep=keep and self.keepable and self.at > 0)

    def translated(self, error: OSError) -> StageError:
        """Return what an error of the file means to the caller."""
        why = os.strerror(error.errno) if error.errno else str(error)
        if error.errno not in _FULL:
            return DestinationError(self._url, why)
        system = os.fstatvfs(self._claim.fd)
        needed = 0 if self.total is None else self.total - self.at
        return NoSpaceError(
            self._url,
            why,
            needed=needed,
            free=system.f_bavail * system.f_frsize,
            fits_ever=error.errno != errno.EFBIG,
        )

    def _is_resumable(self, validator: Validator) -> bool:
        return self._promised or validator.if_range() is not None

    def _admit(self, size: int) -> None:
        """See to it that `size` more bytes are expected, and that there is room for them."""
        end = self.at + size
        if self.total is not None and end > self.total:
            raise LengthError(self._url, self.total, end)
        if end > self._room:
            self._reserve(self.at, max(self._room, size))

    def _count(self, size: int) -> None:
        """Take note of `size` bytes that are in the file and in the hashes."""
        end = self.at = self.at + size
        if end - self._told >= RESERVE_STEP and self._reservation is not None:
            self._reservation.spend(end - self._told)
            self._told = end
        meter = self._meter
        meter.done = end
        meter.received += size

    def _reserve(self, first: int, size: int) -> None:
        """Set aside room for `size` bytes from `first` on; what was set aside before is in the file."""
        self._release_room()
        self._reservation = self._destination.reserve(self._url, size)
        self._room = first + size
        self._told = first

    def _release_room(self) -> None:
        if self._reservation is not None:
            self._reservation.release()
            self._reservation = None
        self._room = 0

    def _drop_verifier(self) -> None:
        if self._verifier is not None:
            self._verifier.abandon()
            self._verifier = None
