"""Damage to files, as disks and careless people do it."""

from __future__ import annotations

import os


def flip(path: str, offset: int = 0, *, keep_times: bool = False) -> None:
    """Change one byte of a read-only file in place.

    Args:
        path: The file.
        offset: Of the byte; from the end if negative.
        keep_times: Leave size and mtime as they were, as bit rot does.
    """
    status = os.stat(path)
    os.chmod(path, 0o600)
    with open(path, "r+b", buffering=0) as file:
        file.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 0x01]))
    os.chmod(path, status.st_mode & 0o7777)
    if keep_times:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def overwrite(path: str, data: bytes) -> None:
    """Give a read-only file other bytes, in place."""
    mode = os.stat(path).st_mode & 0o7777
    os.chmod(path, 0o600)
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, mode)
