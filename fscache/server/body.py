"""The body of a request: read whole within a limit, or streamed; never longer than announced.

A connection may only go on with the next request when the body of this one has been read; `drain`
does that for a short rest, and says no for a long one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fscache.server.head import BadRequestError

if TYPE_CHECKING:
    from fscache.server.stream import Stream

_DRAIN = 256 * 1024  # reading more than this only to throw it away costs more than a new connection
_MAX_CHUNK_LINE = 256
_MAX_TRAILERS = 8192


class Body:
    """The rest of one request."""

    __slots__ = ("_chunked", "_continue", "_ended", "_left", "_stream", "length")

    def __init__(self, stream: Stream, length: int | None, *, expects_continue: bool) -> None:
        """Read `length` bytes, or a chunked body where that is None."""
        self._stream = stream
        self.length = length
        self._chunked = length is None
        self._left = length or 0
        self._ended = length == 0
        self._continue = expects_continue and not self._ended

    def read_all(self, limit: int) -> bytes:
        """Return the whole body.

        Raises:
            BadRequestError: it is longer than `limit` bytes (413).
        """
        if not self._chunked:
            if self._left > limit:
                raise BadRequestError(413, f"a body of at most {limit} bytes is taken here")
            if self._ended:
                return b""
            self._before_reading()
            data = self._stream.read_exactly(self._left)
            self._left = 0
            self._ended = True
            return data
        parts = bytearray()
        view = memoryview(bytearray(64 * 1024))
        while count := self.readinto(view):
            parts += view[:count]
            if len(parts) > limit:
                raise BadRequestError(413, f"a body of at most {limit} bytes is taken here")
        return bytes(parts)

    def readinto(self, view: memoryview) -> int:
        """Fill some of `view`; 0 at the end of the body."""
        if self._ended:
            return 0
        self._before_reading()
        if self._chunked and self._left == 0:
            self._left = self._next_chunk()
            if self._left == 0:
                self._ended = True
                return 0
        count = self._stream.readinto(view[: min(len(view), self._left)])
        self._left -= count
        if self._left == 0:
            if self._chunked:
                if self._stream.read_exactly(2) != b"\r\n":
                    raise BadRequestError(400, "a chunk does not end where it should")
            else:
                self._ended = True
        return count

    def drain(self) -> bool:
        """Read what is left; False where that is too much, or was never asked to be sent."""
        if self._ended:
            return True
        if self._continue or (not self._chunked and self._left > _DRAIN):
            return False
        view = memoryview(bytearray(32 * 1024))
        total = 0
        while count := self.readinto(view):
            total += count
            if total > _DRAIN:
                return False
        return True

    def asker_gone(self) -> bool:
        """Whether nobody waits for the answer any more, as far as can be seen."""
        return self._stream.gone()

    def _before_reading(self) -> None:
        if self._continue:
            self._continue = False
            self._stream.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _next_chunk(self) -> int:
        line = self._stream.read_line(_MAX_CHUNK_LINE)
        digits = line.partition(b";")[0].strip(b" \t")
        if not digits or len(digits) > 15 or digits.strip(b"0123456789abcdefABCDEF"):
            raise BadRequestError(400, "the size of a chunk is no number")
        size = int(digits, 16)
        if size == 0:
            left = _MAX_TRAILERS
            while trailer := self._stream.read_line(_MAX_CHUNK_LINE):
                left -= len(trailer)
                if left < 0:
                    raise BadRequestError(400, "too many trailers")
        return size
