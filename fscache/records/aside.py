"""Moving a bad entry out of the way, so that it is a miss: into `quarantine/`, with its reason logged.

Promises: an entry that was replaced by a good one meanwhile stays; the entries in the slots behind it
stay reachable.
"""

from __future__ import annotations

import os

from fscache.fs import atomic
from fscache.records.entryfile import TOMBSTONE, StuckError, encode, read_small, slot_path
from fscache.telling import warn


def set_aside(
    path: str, data: bytes | None, why: str, *, quarantine: str | None, writer: atomic.Writer
) -> bool:
    """Move a bad entry to `quarantine`; False where it was replaced meanwhile and is not judged yet.

    Args:
        path: Its file.
        data: What was read from it, if it could be.
        why: What is wrong with it.
        quarantine: A directory; None where the root is only read.
        writer: Of the root.

    Raises:
        StuckError: it stays where it is.
    """
    if quarantine is None:
        warn("bad entry %s (%s) passed over", path, why)
        raise StuckError
    target = f"{quarantine}/entry-{os.path.basename(path)}.{os.urandom(4).hex()}"
    try:
        if data is not None and read_small(path) != data:
            return False
        if not os.path.isdir(quarantine):
            writer.make_directories(quarantine)
        atomic.move(path, target)
        _close_gap(path, writer)
    except FileNotFoundError:
        return True  # somebody else was faster
    except OSError as exc:  # a reader without write permission: still a miss
        warn("bad entry %s (%s) stays where it is: %s", path, why, exc.strerror)
        raise StuckError from exc
    warn("bad entry %s (%s) moved to %s", path, why, target)
    return True


def _close_gap(path: str, writer: atomic.Writer) -> None:
    """Keep the entries behind a slot reachable: look-ups stop at the first free one."""
    directory, name = os.path.split(path)
    stem, _, slot = name.partition("-")
    if slot and not slot.isdecimal():
        return  # no place of an entry
    if os.path.lexists(slot_path(f"{directory}/{stem}", int(slot or "0") + 1)):
        writer.write(path, encode(TOMBSTONE, b"", b""), replace=False)
