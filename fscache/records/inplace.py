"""Changing an entry in its file: the older of its two cells (`cells`) is written over.

What is promised, whatever is killed whenever: the file has the old or the new value whole, at any time.

Over a loss of power, with a group (`fs.group`): the disk has, whole, the newest value that was known to
be on it, or a later one; never one before it, never a part. Nothing is written over a cell unless the
other one, the newer, is on the disk: by what the group remembers of this very state of the file, or by an
fdatasync first, where another process wrote it, or this one a moment ago. So of the two cells one at most
differs from what the disk was told to keep, and may be torn as one likes:

- Each of its sectors is of the old cell, of the new one, or of a change that was killed in between. Where
  they are not all of one, the sum is wrong, and the other cell counts. Where they are all of the old one,
  the other has the greater turn.
- Its sectors are no part of the other cell: each begins with a sector. What the kernel writes besides,
  of the block around it, are the same bytes again. As SQLite and LMDB do, this trusts a disk that loses
  power within a sector to spoil no other.
- A second cell that was not there is written over nothing, and so without a sync. Its file's size may
  come to the disk before it (then there are zeros, no cell), or after it (nobody sees it, then): the
  first cell is as durable as it was.

So a change costs no sync of its own: the group syncs it, with others, within its window. Only a key that
is changed again within one waits, for one flush of the disk. Room for both cells from the beginning was
rejected: readers look twice at a file that is longer than its first cell and has no second one, the size
is synced in any case, and cells of up to 2 KiB share a block.

Not promised without a group: two changes that are both not on the disk yet may both be torn.
"""

from __future__ import annotations

import errno
import os

from fscache.records.cells import encode, newer
from fscache.records.entryfile import FIRST_READ, BadEntryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fscache.fs.group import Group

_WRITE = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def replace(
    path: str,
    kind: bytes,
    name: bytes,
    payload: bytes,
    mtime_ns: int | None,
    *,
    group: Group | None = None,
) -> os.stat_result | None:
    """Replace an entry in its file; the caller holds the lock of its name.

    Args:
        path: The file.
        kind: Three letters.
        name: The name.
        payload: What it is to stand for.
        mtime_ns: The file's mtime, where that is to say more than "now".
        group: Makes it durable.

    Returns:
        The file's status; None where a new file must take its place: it is another name's, has not
        room enough or the older form, is not ours to write to, or its disk fails.

    Raises:
        OSError: the disk is full, or fails; the old entry is there still.
    """
    try:
        fd = os.open(path, _WRITE)
    except OSError:
        return None
    try:
        data = os.read(fd, FIRST_READ)
        try:
            old = newer(data)[0]
        except BadEntryError:
            return None
        new = encode(kind, name, payload, old.room, old.turn + 1)
        at = 0 if old.offset else old.room
        if not old.is_of(kind, name) or len(new) > old.room or at + old.room > FIRST_READ:
            return None
        known = None
        if group is not None:
            known = group.known(path, os.fstat(fd), old.turn)
            if not (group.secure(fd, known) if at < len(data) else group.sound):
                return None
        if os.pwrite(fd, new, at) != len(new):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        try:
            if mtime_ns is not None:
                os.utime(fd, ns=(mtime_ns, mtime_ns))
        except PermissionError:
            return None  # another user of the group may write to the file, its owner alone say when
        status = os.fstat(fd)
    finally:
        os.close(fd)
    if not status.st_nlink:
        return None  # removed meanwhile, by somebody who takes no locks
    if group is not None and known is not None:
        known.state = (status.st_ino, status.st_mtime_ns, old.turn + 1)
        group.note(path, known)
    os.utime(os.path.dirname(path))  # who watches looks at the directory
    return status
