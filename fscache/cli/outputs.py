"""Where results go that are more than lines: files that users name, or standard output, which is `-`."""

from __future__ import annotations

import os
import sys
from urllib.parse import unquote, urlsplit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

STDOUT = "-"
_CHUNK = 1 << 20


def write(chunks: Iterable[bytes], output: str) -> None:
    """Write a file whole or not at all, or to standard output as the chunks come."""
    if output != STDOUT:
        from fscache.fs.out import write_out

        write_out(output, chunks)
        return
    sys.stdout.flush()
    for chunk in chunks:
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


def copy(path: str, output: str) -> None:
    """Copy a file to another, or to standard output; see `write`."""
    if output != STDOUT:
        from fscache.fs.out import copy_out

        copy_out(path, output)
        return
    with open(path, "rb") as file:
        write(iter(lambda: file.read(_CHUNK), b""), output)


def place(urls: Sequence[str], output: str, *, is_directory: bool) -> list[str]:
    """Return the path of each URL's copy. Pure.

    Args:
        urls: What is fetched.
        output: A file, or a directory.
        is_directory: Whether `output` is a directory now.

    Raises:
        ValueError: several URLs for one file, a URL that names no file, or two that name the same.
    """
    if not is_directory:
        if len(urls) > 1:
            raise ValueError(f"-o: several URLs, and no directory {output}")
        if output.endswith("/"):
            raise ValueError(f"-o: there is no directory {output}")
        return [output]
    names = [_name(url) for url in urls]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ValueError(f"-o: two of the URLs end in {name}")
    return [os.path.join(output, name) for name in names]


def _name(url: str) -> str:
    """Return the last part of the URL's path; never one that leads out of a directory."""
    name = unquote(urlsplit(url).path.rpartition("/")[2], errors="surrogateescape")
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise ValueError(f"-o: {url} ends in no file name; give a FILE")
    return name
