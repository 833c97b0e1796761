"""Hashing an object again: the only judgement of its bytes after they were written."""

from __future__ import annotations

import errno
import os
import stat

from fscache.fs import copies

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from fscache.objects.digest import Hasher, NewHasher


def hash_file(
    path: str, new_hasher: NewHasher, also: Iterable[Hasher] = ()
) -> tuple[str, os.stat_result]:
    """Return the digest of a file's bytes, and the status of the very file that was read.

    Args:
        path: The file.
        new_hasher: Makes the running digest.
        also: Further running digests to feed in the same pass.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    hasher = new_hasher()
    feeds = [hasher.update, *(other.update for other in also)]

    def take(view: memoryview) -> None:
        for feed in feeds:
            feed(view)

    # Verifying is no use: on a mount with `relatime` it would make every object the newest.
    fd = copies.open_quietly(path)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        copies.copy_bytes(copies.reader(fd), take)
        return hasher.hexdigest(), os.fstat(fd)
    finally:
        os.close(fd)
