"""From a record's keys and values to a frame.

Dates and a few texts go into columns, buffers into the frame's blob part or, over 4 KiB, into objects,
all else into JSON, where mappings that are known are folded (`fscache.tasks.shapes`). JSON that gets too
long for a log is moved into objects too, key by key.
"""

from __future__ import annotations

from datetime import UTC, datetime

from fscache.errors import InvalidRecordError
from fscache.tasks import values
from fscache.tasks.buffers import Buffers
from fscache.tasks.frames import ELSEWHERE, MAX_TEXT, UPDATE, Frame, pack_reference
from fscache.tasks.model import (
    BUFFERS,
    DAY,
    EPOCH,
    NULL,
    SECOND,
    TEXTS,
    date_instant,
)
from fscache.tasks.plans import BITS, PLANS
from fscache.tasks.shapes import fold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from fscache.tasks.parts import Keeper
    from fscache.tasks.plans import Plan

MAX_INLINE = 4096
MAX_BLOB = 256 * 1024  # all inline buffers of a frame
MAX_JSON = 64 * 1024
MAX_VALUE = 16 * 1024  # of one key, where the JSON is over MAX_JSON

APPENDED = "\x01append"
"""In a frame's JSON: `{key: [length, text]}`, the text stands after the first `length` characters."""
MOVED = "\x01object"
"""In a frame's JSON: `{key: [address, slot, bytes]}`, the key's JSON is an object."""

_MAX_CHARACTERS = MAX_TEXT // 4  # of UTF-8 at most four bytes each
_NO_TEXTS = (None,) * len(TEXTS)
_NO_LISTS = (str, bytes, bytearray, memoryview)


def make_frame(  # noqa: C901, PLR0912, PLR0915, PLR0917 - every microsecond here is one of every call
    kind: int,
    stamp: int,
    msg_id: str,
    record: Mapping[str, Any],
    keeper: Keeper,
    appended: Mapping[str, tuple[int, str]] | None = None,
    added: int = 0,
) -> Frame:
    """Return the frame that says `record`.

    Args:
        kind: Of the frame; see `fscache.tasks.frames`.
        stamp: Its stamp.
        msg_id: The record's id.
        record: Keys and values; `msg_id` among them is passed over.
        keeper: Takes what is too long for a frame.
        appended: Texts that go on after so many characters of what the record has.
        added: For WHOLE, when the record was added.

    Raises:
        InvalidRecordError: a date is none, or a buffer is.
    """
    update = kind == UPDATE
    if update:
        plan = PLANS[tuple(record)]
    else:  # what a new record does not say is None; a list, as a generator takes 0.3 µs longer
        plan = PLANS[tuple([key for key, value in record.items() if value is not None])]
    fields = plan.fields
    nulls = 0
    numbers: list[int] = []
    words: list[str | int | None] = []
    own: list[object] = [*_NO_TEXTS, msg_id]  # what the JSON need not repeat
    content: dict[str, object] = {}
    blobs: list[bytes] = []
    references: list[bytes] = []
    for key, bit in plan.dates:
        value = record[key]
        if value.__class__ is datetime and value.tzinfo is UTC:  # as below, without three calls
            since = value - EPOCH
            numbers.append((since.days * DAY + since.seconds) * SECOND + since.microseconds)
        else:
            if value is None:
                nulls |= bit
            numbers.append(date_instant(msg_id, key, value))
    for key, bit, position in plan.texts:
        value = record[key]
        if value is None:
            nulls |= bit
        elif value.__class__ is not str or len(value) > _MAX_CHARACTERS:
            content[key] = value
            value = ELSEWHERE
        words.append(value)
        own[position] = value
    json = b""
    if plan.body or content or appended:
        cells = [plan.number, *plan.pick(record)]
        if update:
            for key, bit in plan.plain:
                if record[key] is None:
                    nulls |= bit
        for bit, spot in plan.buffers:
            value = cells[spot]
            if value is None:
                nulls |= bit
                numbers.append(NULL)
            else:
                cells[spot], size = _place(msg_id, value, keeper, blobs, references)
                numbers.append(size)
        if appended:
            content[APPENDED] = appended
            for key in appended:
                fields |= BITS[key]
        if plan.spots is not None and not content and fold(cells, plan.spots, own):
            json = values.encode(cells)
        else:
            _unfolded(content, plan, record, cells)
            json = values.encode(content)
        if len(json) > MAX_JSON:
            _unfolded(content, plan, record, cells)
            json = _shorten(msg_id, content, keeper, references)
    return Frame(
        kind,
        stamp,
        msg_id,
        fields,
        nulls,
        plan.number_mask,
        numbers,
        plan.text_mask,
        words,
        references,
        json,
        b"".join(blobs) if blobs else b"",
        added,
    )


def _unfolded(
    content: dict[str, object], plan: Plan, record: Mapping[str, Any], cells: list[object]
) -> None:
    """Add to `content` what the JSON says of a record, of whose buffers `cells` tells."""
    content.update((key, record[key]) for key in plan.body)
    for _, spot in plan.buffers:
        content[plan.body[spot - 1]] = cells[spot]


def _place(
    msg_id: str, value: object, keeper: Keeper, blobs: list[bytes], references: list[bytes]
) -> tuple[list[object], int]:
    """Return where each of a record's buffers is, and their bytes."""
    if value.__class__ is list and len(value) == 1 and not blobs:
        piece = value[0]
        if piece.__class__ is memoryview:
            piece = piece.tobytes()
        if piece.__class__ is bytes and len(piece) <= MAX_INLINE:  # as below; most tasks have this
            blobs.append(piece)
            return [len(piece)], len(piece)
    inline = sum(map(len, blobs)) if blobs else 0
    parts: list[object] = []
    total = 0
    for piece in (
        _buffers(msg_id, value, keeper) if value.__class__ is Buffers else _plain(msg_id, value)
    ):
        if piece.__class__ is tuple:
            _refer(references, piece)
            parts.append(piece)
            total += piece[2]
            continue
        size = len(piece)
        total += size
        if size <= MAX_INLINE and inline + size <= MAX_BLOB:
            inline += size
            blobs.append(piece)  # type: ignore[arg-type]
            parts.append(size)
        else:
            parts.append(_keep(msg_id, piece, keeper, references))  # type: ignore[arg-type]
    return parts, total


def _plain(msg_id: str, value: object) -> list[bytes]:
    """Return the bytes of whatever has a buffer; its items may be of more than one byte."""
    if isinstance(value, _NO_LISTS):
        raise InvalidRecordError(msg_id, f"buffers must be a list, not {type(value).__name__}")
    try:
        return [
            each if each.__class__ is bytes else memoryview(each).tobytes()
            for each in value  # type: ignore[attr-defined]
        ]
    except TypeError as exc:
        raise InvalidRecordError(msg_id, f"buffers: {exc}") from exc


def _buffers(msg_id: str, value: Any, keeper: Keeper) -> list[bytes | tuple[str, int, int]]:
    """Return the bytes of a record's buffers, or the objects that have them already."""
    buffers: Buffers = value
    if buffers.keeper is not keeper:
        return list(buffers)
    pieces: list[bytes | tuple[str, int, int]] = []
    for number, place in enumerate(buffers.places):
        size = buffers.sizes[number]
        if place is not None and (buffers.named_by == msg_id or keeper.name(msg_id, *place, size)):
            pieces.append((*place, size))
        else:
            pieces.append(buffers[number])
    return pieces


def _keep(
    msg_id: str, data: bytes, keeper: Keeper, references: list[bytes]
) -> tuple[str, int, int]:
    place = (*keeper.put(msg_id, data), len(data))
    _refer(references, place)
    return place


def _refer(references: list[bytes], place: tuple[str, int, int]) -> None:
    reference = pack_reference(place[0], place[1])
    if reference not in references:
        references.append(reference)


def _shorten(
    msg_id: str, body: dict[str, object], keeper: Keeper, references: list[bytes]
) -> bytes:
    kept: dict[str, object] = {}
    moved: dict[str, object] = {}
    for key, value in body.items():
        data = values.encode(value)
        if len(data) > MAX_VALUE and key != APPENDED and key not in BUFFERS:
            moved[key] = _keep(msg_id, data, keeper, references)
        else:
            kept[key] = value
    if moved:
        kept[MOVED] = moved
    return values.encode(kept)
