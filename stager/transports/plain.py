"""What is not HTTP answers as if it were: status, headers, ranges. Pure.

So that resume, revalidation and errors are decided in one place, `file:`, FTP and fsspec tell what
they have (size, validators), and this says what an HTTP server would answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stager.transports.base import Head

if TYPE_CHECKING:
    from collections.abc import Mapping

BUFFER = 256 << 10
"""Bytes read at a time."""


@dataclass(frozen=True, slots=True)
class Thing:
    """What lies at a URL."""

    size: int | None
    etag: str | None = None
    """Quoted, strong."""
    last_modified: str | None = None
    """An HTTP date."""


def answer(asked: Mapping[str, str], thing: Thing) -> tuple[Head, int]:
    """Return the head of the answer, and the first byte to send after it.

    Args:
        asked: The request's headers, names in `Title-Case`.
        thing: What is there.
    """
    headers = {}
    if thing.etag is not None:
        headers["etag"] = thing.etag
    if thing.last_modified is not None:
        headers["last-modified"] = thing.last_modified
    known = {thing.etag, thing.last_modified} - {None}
    if {asked.get("If-None-Match"), asked.get("If-Modified-Since")} & known:
        return Head(304, headers), 0
    size = thing.size
    first = _first(asked) if asked.get("If-Range") in known else 0
    if size is None:
        return Head(200, headers), 0
    if first >= size > 0:
        return Head(416, headers), 0
    headers["content-length"] = str(size - first)
    if not first:
        return Head(200, headers), 0
    headers["content-range"] = f"bytes {first}-{size - 1}/{size}"
    return Head(206, headers), first


def _first(asked: Mapping[str, str]) -> int:
    """Return the first byte of a range, which the transfer only asks for in one form."""
    first = asked.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-")
    return int(first) if first.isdigit() else 0
