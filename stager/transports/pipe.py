"""A large body's way from its socket into its file without passing through this process (splice).

The kernel hands the pages that a socket holds on to a pipe, and copies them once, into the file; received
into a buffer and written they are copied twice. With reading them again for the hash, while they are in
the processor's cache, 1 GiB takes 1.3 s of both sides' processors instead of 1.55.

Rejected: mapping the file to hash it in place, which is no faster, and where the file is shortened, or
cannot be read, kills the process.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

SIZE = 1 << 20
"""Bytes that the pipe holds. With the 64 KiB of a pipe as it comes, receiving is faster."""
PIPED = 1 << 20
"""Bytes of a body for which a pipe is worth making."""

_CANNOT = {errno.EINVAL, errno.ENOSYS, errno.EPERM}


class Pipe:
    """A pipe behind one connection; a context manager that closes it, with what is left in it."""

    def __init__(self, connection: socket.socket, end: int, entry: int) -> None:
        """Go on with a pipe that is open."""
        self.end = end
        """Where the bytes come out."""
        self._entry = entry
        self._connection = connection
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)

    @classmethod
    def between(cls, connection: socket.socket, size: int) -> Pipe | None:
        """Return one for a body of `size` bytes, None where receiving is better.

        Encrypted bytes have to come through this process. A pipe cannot be made large enough where a
        user has too many of them, or the machine's limit is low.
        """
        if size < PIPED or type(connection) is not socket.socket:
            return None
        end, entry = os.pipe()
        try:
            fcntl.fcntl(entry, fcntl.F_SETPIPE_SZ, SIZE)
        except OSError:
            os.close(end)
            os.close(entry)
            return None
        return cls(connection, end, entry)

    def fill(self, size: int) -> int:
        """Move up to `size` bytes from the connection into the pipe, which must be empty.

        Returns:
            How many; 0 at the end of the stream, or where the kernel cannot.

        Raises:
            TimeoutError: the connection was silent for its timeout.
            OSError: the connection broke.
        """
        timeout = self._connection.gettimeout()
        while True:
            try:
                return os.splice(self._connection.fileno(), self._entry, min(size, SIZE))
            except BlockingIOError:
                if not self._poll.poll(None if timeout is None else timeout * 1000):
                    raise TimeoutError from None
            except OSError as error:
                if error.errno in _CANNOT:
                    return 0
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self.end)
        os.close(self._entry)
