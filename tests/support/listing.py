"""What lies in a directory: to show that something changed nothing, or only what it should."""

from __future__ import annotations

import os


def listing(top: str) -> dict[str, tuple[object, ...]]:
    """Return what `stat` says of everything below `top` and of itself, by relative path.

    Without access times, which the kernel sets for who only reads; setting one shows in the ctime.
    """
    found = {}
    for directory, names, files in os.walk(top):
        for path in [directory, *(os.path.join(directory, name) for name in names + files)]:
            status = os.lstat(path)
            found[os.path.relpath(path, top)] = (
                status.st_ino,
                oct(status.st_mode),
                status.st_nlink,
                status.st_uid,
                status.st_gid,
                status.st_size,
                status.st_mtime_ns,
                status.st_ctime_ns,
            )
    return found


def files(top: str) -> list[str]:
    """Return the relative paths of all that is no directory below `top`, sorted."""
    return sorted(
        os.path.relpath(os.path.join(directory, name), top)
        for directory, _names, names in os.walk(top)
        for name in names
    )
