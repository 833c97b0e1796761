"""Bringing a file's bytes into the root's file system, without copying them where that can be spared.

A reflink shares the blocks and is a file of its own. A hard link is the old file under another name:
it costs nothing, too, but takes the object's read-only mode, and whoever opens the old name for writing
(its owner must change the mode back first) would edit the object; its identity then tells. A copy
always works.
"""

from __future__ import annotations

import errno
import fcntl
import os

from fscache.fs.atomic import remove
from fscache.fs.copies import copy_whole, open_quietly

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fscache.fs.atomic import Writer

REFLINK = "reflink"
LINK = "link"
COPY = "copy"
_FICLONE = 0x40049409
_NO_CLONE = (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.EPERM, errno.ETXTBSY)
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP)


def bring(writer: Writer, source: str, *, link: bool = True) -> tuple[int, str, str]:
    """Make a temporary file with the bytes of `source`.

    Args:
        writer: Of the root; the file lies in its temporary directory.
        source: A regular file.
        link: Whether a hard link may be made.

    Returns:
        The open file, to be read from its beginning; its path; REFLINK, LINK or COPY.
    """
    source_fd = open_quietly(source)
    try:
        fd, temp = writer.create_temp()
        try:
            fcntl.ioctl(fd, _FICLONE, source_fd)
        except OSError as exc:
            if exc.errno not in _NO_CLONE:
                os.close(fd)
                remove(temp)
                raise
        else:
            return fd, temp, REFLINK
        try:
            if link:
                linked = _link(source, source_fd, writer)
                if linked is not None:
                    os.close(fd)
                    remove(temp)
                    return *linked, LINK
            copy_whole(source_fd, fd)
            os.lseek(fd, 0, os.SEEK_SET)
        except BaseException:
            os.close(fd)
            remove(temp)
            raise
        return fd, temp, COPY
    finally:
        os.close(source_fd)


def _link(source: str, source_fd: int, writer: Writer) -> tuple[int, str] | None:
    status = os.fstat(source_fd)
    if status.st_uid != os.geteuid():
        return None  # its mode is not ours to change, and its owner could change it back
    if writer.modes.gid not in (None, status.st_gid):
        return None  # the group that shares the root could not read it
    temp = writer.temp_path()
    try:
        os.link(source, temp, follow_symlinks=False)
    except OSError as exc:
        if exc.errno in _NO_LINK:
            return None
        raise
    fd = open_quietly(temp)
    linked = os.fstat(fd)
    if (linked.st_ino, linked.st_dev) != (status.st_ino, status.st_dev):
        os.close(fd)
        remove(temp)
        return None  # replaced between the two calls
    # Its mtime is old: what sweeps old partial files must see that somebody is about this one.
    fcntl.flock(fd, fcntl.LOCK_SH)
    return fd, temp
