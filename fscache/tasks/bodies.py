"""What a frame's JSON says, as a mapping: read, unfolded and checked. Pure.

Whoever shares a root may write to its log, and a right checksum says only that a frame is as it was
written. What is no body, or names buffers and objects in a way that no writer does, is a ValueError
here, and nothing further on has to expect it.
"""

from __future__ import annotations

import re

from fscache.tasks import values
from fscache.tasks.model import BUFFERS
from fscache.tasks.shapes import unfold
from fscache.tasks.writing import APPENDED, MOVED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from fscache.tasks.frames import Frame

_ADDRESS = re.compile("[0-9a-f]{20}")


def read(json: bytes, msg_id: str, texts: Mapping[int, str]) -> dict[str, Any]:
    """Return what a frame's JSON says, given its id and its texts by position.

    Raises:
        ValueError: it is no body.
    """
    body: Any = values.decode(json)
    if body.__class__ is list:
        body = unfold(body, msg_id, texts)
    if body.__class__ is not dict:
        raise ValueError("the body is no mapping")
    for key in BUFFERS:
        parts = body.get(key)
        if parts is not None and not (
            parts.__class__ is list and all(_is_size(part) or _is_place(part) for part in parts)
        ):
            raise ValueError(f"{key} are no buffers")
    if MOVED in body and not all(map(_is_place, _cells(body[MOVED]))):
        raise ValueError("no objects")
    if APPENDED in body and not all(map(_is_growth, _cells(body[APPENDED]))):
        raise ValueError("nothing that is appended")
    return body


def other_keys(frame: Frame) -> set[str]:
    """Return the keys in a frame's JSON that is no folded one; none where it is no body."""
    try:
        body = read(frame.json, frame.msg_id, {})
    except ValueError:
        return set()  # told when the record is read
    return {*body, *body.get(APPENDED, ()), *body.get(MOVED, ())}


def drops(frame: Frame) -> list[tuple[list[str], list[str]]]:
    """Return what a DROP says: names of segments, and the ids that had all their frames in those.

    Nothing, where it is no drop.
    """
    try:
        groups: Any = values.decode(frame.json)
        pairs = [(names, ids) for names, ids in groups]
    except (ValueError, TypeError):
        return []
    texts = [each for pair in pairs for each in pair]
    if all(each.__class__ is list and set(map(type, each)) <= {str} for each in texts):
        return pairs
    return []


def encode_drops(groups: Sequence[tuple[list[str], list[str]]]) -> bytes:
    """Return what `drops` gets; put together once, as 100,000 ids are five megabytes."""
    pieces = [b"["]
    for names, ids in groups:
        pieces += [b",[" if len(pieces) > 1 else b"[", values.encode(names), b","]
        pieces += [*values.encode_texts(ids), b"]"]
    return b"".join((*pieces, b"]"))


def _cells(said: Any) -> list[Any]:
    return list(said.values()) if said.__class__ is dict else [None]


def _is_size(part: Any) -> bool:
    return part.__class__ is int and part >= 0


def _is_place(part: Any) -> bool:
    """Whether this is address, slot and length of an object."""
    if part.__class__ is not list or len(part) != 3:
        return False
    address, slot, size = part
    return (
        address.__class__ is str
        and _ADDRESS.fullmatch(address) is not None
        and _is_size(slot)
        and slot < 100  # of two digits
        and _is_size(size)
    )


def _is_growth(part: Any) -> bool:
    """Whether this is a number of characters, and the text that follows them."""
    return (
        part.__class__ is list and len(part) == 2 and _is_size(part[0]) and part[1].__class__ is str
    )
