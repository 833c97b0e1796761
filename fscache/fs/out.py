"""Files where a user wants them: outside the root, whole or not at all, writable, modes by the umask."""

from __future__ import annotations

import errno
import os

from fscache.fs.atomic import remove, write_all
from fscache.fs.copies import copy_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def copy_out(source: str, final: str) -> None:
    """Copy a file to where a user wants it, whole or not at all, writable, modes by the umask.

    What is there and is no file (a pipe, a device) is written to.

    A copy and not a link: whoever edits a linked file in place edits the object in the cache.
    """
    with open(source, "rb", buffering=0) as file:

        def fill(fd: int) -> None:
            try:
                copy_whole(file.fileno(), fd)
            except OSError as exc:
                raise _named(exc, final) from exc

        _fill_out(final, fill)


def write_out(final: str, chunks: Iterable[bytes]) -> None:
    """Write a file where a user wants it, as `copy_out` does."""

    def fill(fd: int) -> None:
        for chunk in chunks:
            try:
                write_all(fd, chunk)
            except OSError as exc:
                raise _named(exc, final) from exc

    _fill_out(final, fill)


def _descriptor(final: str) -> int | None:
    """Return the number of the open file that a path stands for, as /dev/stdout and /dev/fd/3 do.

    Where output goes to a file, such a path is one too: opened once more it would lose what is in it
    already, and renamed over, /dev/stdout would be gone for everybody.
    """
    if not os.path.islink(final):  # as all of them are
        return None
    ours = os.path.realpath("/proc/self/fd")
    for path in (final, os.readlink(final)):
        directory, name = os.path.split(os.path.abspath(path))
        if os.path.realpath(directory) == ours and name.isdecimal():
            return int(name)
    return None


def _named(exc: OSError, final: str) -> OSError:
    """Return an error that names the file: a descriptor has no name, and of `temp` no user knows."""
    return OSError(exc.errno, exc.strerror, final)


def _fill_out(final: str, fill: Callable[[int], None]) -> None:
    if not final:  # would count as a name in the directory above
        raise FileNotFoundError(errno.ENOENT, "a file without a name cannot be written")
    opened = _descriptor(final)
    if opened is not None:
        fill(opened)
        return
    if os.path.exists(final) and not os.path.isfile(final):
        # A pipe, a disk: to be written to, never to be replaced by a file.
        with open(final, "wb", buffering=0) as device:
            fill(device.fileno())
        return
    directory = os.path.dirname(os.path.abspath(final))
    temp = os.path.join(directory, f".fscache-{os.urandom(8).hex()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        fd = os.open(temp, flags, 0o666)
    except OSError as exc:
        raise _named(exc, directory) from exc
    try:
        try:
            fill(fd)
        finally:
            os.close(fd)
        os.rename(temp, final)
    except BaseException as exc:
        remove(temp)
        if isinstance(exc, OSError) and exc.filename == temp:
            raise _named(exc, final) from exc
        raise
