"""What a put may be given: how to read it, and how much of it there will be."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO


def readinto_of(file: BinaryIO) -> Callable[[memoryview], int]:
    """Return the `readinto` of an open binary file, made of its `read` where it has none.

    Raises:
        TypeError: it has neither, or is open for writing only; when called: it is open as text.
    """

    def readinto(view: memoryview) -> int:
        data = file.read(len(view))
        if isinstance(data, str):
            raise TypeError(f"{file!r} is open as text: open it with mode 'rb'")
        view[: len(data)] = data
        return len(data)

    native: Callable[[memoryview], int] | None = getattr(file, "readinto", None)
    if native is None and not hasattr(file, "read"):
        raise TypeError(f"bytes, a path or an open binary file is wanted, not {file!r}")
    if hasattr(file, "readable") and not file.readable():
        raise TypeError(f"{file!r} is not open for reading")
    return native or readinto


def announced_size(source: bytes | BinaryIO) -> int:
    """Return how many bytes a put will bring, as far as that can be told."""
    if isinstance(source, bytes | bytearray | memoryview):
        return len(source)
    try:
        here = source.tell()
        end = source.seek(0, os.SEEK_END)
        source.seek(here)
    except (OSError, AttributeError):  # a pipe, or something that can only be read
        return 0
    return max(0, end - here)
