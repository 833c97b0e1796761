"""Which stretch of an object a request asks for. Pure; RFC 9110, 13 and 14."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_RANGE = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{1,18})?|-([0-9]{1,18}))")


class UnsatisfiableError(Exception):
    """The range begins behind the end."""


def not_modified(headers: Mapping[str, str], etag: str) -> bool:
    """Whether the client has these bytes already."""
    listed = headers.get("if-none-match")
    if listed is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in listed.split(",")}
    return etag in tags or "*" in tags


def wanted(headers: Mapping[str, str], size: int, etag: str) -> tuple[int, int] | None:
    """Return offset and count of the one range asked for; None for the whole.

    Several ranges, ranges that cannot be read, and those of other bytes (`If-Range`) give the whole,
    as the standard allows.

    Raises:
        UnsatisfiableError: see there.
    """
    text = headers.get("range")
    if text is None or headers.get("if-range", etag) != etag:
        return None
    match = _RANGE.fullmatch(text.strip().lower())
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        count = min(int(suffix), size)
        if not count:
            raise UnsatisfiableError
        return size - count, count
    start = int(first)
    end = size - 1 if last is None else min(int(last), size - 1)
    if last is not None and int(last) < start:
        return None
    if start >= size:
        raise UnsatisfiableError
    return start, end - start + 1
