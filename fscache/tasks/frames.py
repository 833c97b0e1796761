"""Frames: what the record log is made of. Pure.

A frame is one change: a record added, some of its keys updated, a record rewritten as a whole, or
records dropped.

    prefix   marker, bytes of the meta part, bytes of the blob part, XXH3-64 of the meta part
    meta     head · numbers · id · texts · addresses · JSON
    blob     the buffers that are kept inline, one after the other

All that an index needs lies before the JSON, so that a log is replayed without decoding any; the
blob part has a checksum of its own, so that a record is read without reading its buffers.

Promise: bytes that are not a whole, undamaged frame are never taken for one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from struct import Struct
from typing import Any

from xxhash import xxh3_64_intdigest

from fscache.tasks.model import FIRST, INTS, LAST, NULL, TEXTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

ADD, UPDATE, WHOLE, DROP = 1, 2, 3, 4
MARKER = b"fsT1"
PREFIX = Struct("<4sIIQ")
# kind, which numbers, which texts, 0; bytes of the id and of four texts, addresses; stamp, when added,
# XXH3-64 of the blob part; fields, nulls
_HEAD = Struct("<BBBBHHHHHHQQQII")
_WRITTEN = Struct("<BBBBH8sHQQQII")  # the same, with four lengths as `_PACKED` has them
_LENGTHS = Struct("<HHHH")
_NUMBERS = [Struct(f"<{count}q") for count in range(len(INTS) + 1)]
_NONE, ELSEWHERE = 0xFFFF, 0xFFFE
MAX_TEXT = 0xFFF0
REFERENCE_BYTES = 11  # an address and its slot


POSITIONS = [
    [position for position in range(8) if mask >> position & 1]
    for mask in range(1 << max(len(INTS), len(TEXTS)))
]
"""The bits that are set in a mask, ascending."""
_NO_TEXTS = bytes(_LENGTHS.size)
_MOST, _SHORT = 1024, 256
"""Texts that are kept packed, of at most so many bytes: there are as many as clients and engines."""


class BadFrameError(ValueError):
    """Bytes are no whole frame; the message says why. Never leaves this package."""


@dataclass(slots=True)
class Frame:
    """One change.

    Attributes:
        kind: ADD, UPDATE, WHOLE or DROP.
        stamp: When, in microseconds since the epoch; grows with every change anybody has seen.
        msg_id: The record's; empty for DROP.
        fields: A bit for each key that the frame sets; see `fscache.tasks.model.FIELDS`.
        nulls: Those of them that it sets to None.
        number_mask: A bit for each position in `INTS` that it sets.
        numbers: Their values in that order, NULL for None.
        text_mask: A bit for each position in `TEXTS` that it sets.
        texts: Their values in that order; ELSEWHERE says that it is in the JSON.
        references: Addresses of objects, as 11 bytes each.
        json: The other values, encoded.
        blob: The inline buffers; empty in a frame that was read without them.
        added: For WHOLE, when the record was added; else 0.
    """

    kind: int
    stamp: int
    msg_id: str
    fields: int = 0
    nulls: int = 0
    number_mask: int = 0
    numbers: Sequence[int] = ()
    text_mask: int = 0
    texts: Sequence[str | int | None] = ()
    references: Sequence[bytes] = ()
    json: bytes = b""
    blob: bytes = b""
    added: int = 0


def encode(frame: Frame) -> tuple[bytes, int]:
    """Return a frame's bytes, and how many of them come before the blob part."""
    msg_id = frame.msg_id
    try:
        name = msg_id.encode()
    except UnicodeEncodeError:
        name = _utf8(msg_id)
    lengths, words = _NO_TEXTS, b""
    text_mask = frame.text_mask
    if text_mask:
        lengths, words = _PACKED[text_mask, *frame.texts]
    numbers, references, blob = frame.numbers, frame.references, frame.blob
    # fmt: off
    head = _WRITTEN.pack(
        frame.kind, frame.number_mask, text_mask, 0, len(name), lengths, len(references),
        frame.stamp, frame.added, xxh3_64_intdigest(blob) if blob else 0, frame.fields, frame.nulls,
    )
    # fmt: on
    # Apart from the head: a call with all takes 0.5 µs longer.
    packed = _NUMBERS[len(numbers)].pack(*numbers) if numbers else b""
    if references:
        words += b"".join(references)
    meta = b"".join((head, packed, name, words, frame.json))
    size = len(meta)
    prefix = PREFIX.pack(MARKER, size, len(blob), xxh3_64_intdigest(meta))
    return b"".join((prefix, meta, blob)), PREFIX.size + size


class _Packed(dict[tuple[Any, ...], tuple[bytes, bytes]]):
    """By a mask and texts: their lengths as a head has them, and their bytes."""

    def __missing__(self, given: tuple[Any, ...]) -> tuple[bytes, bytes]:
        mask, *texts = given
        lengths = [0] * len(TEXTS)
        words = b""
        for position, text in zip(POSITIONS[mask], texts, strict=True):
            if text is None:
                lengths[position] = _NONE
            elif isinstance(text, int):
                lengths[position] = ELSEWHERE
            else:
                data = _utf8(text)
                lengths[position] = len(data)
                words += data
        found = _LENGTHS.pack(*lengths), words
        if len(words) <= _SHORT:
            if len(self) >= _MOST:
                self.clear()
            self[given] = found
        return found


_PACKED = _Packed()


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # a lone surrogate; naming an error handler each time costs double
        return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("utf-8", "surrogatepass")


def decode(data: bytes | memoryview) -> Frame:
    """Return the frame whose prefix and meta part `data` is; `blob` stays empty.

    Raises:
        BadFrameError: it is none.
    """
    try:
        marker, size, _, checksum = PREFIX.unpack_from(data)
    except struct.error as exc:
        raise BadFrameError(str(exc)) from exc
    meta = bytes(data[PREFIX.size :])
    if marker != MARKER or len(meta) != size or xxh3_64_intdigest(meta) != checksum:
        raise BadFrameError("damaged")
    return decode_meta(meta)


def decode_meta(meta: bytes) -> Frame:
    """Return the frame of a meta part whose checksum is right.

    Raises:
        BadFrameError: it is none all the same, or has a number that no index and no datetime can hold.
    """
    try:
        frame = _decoded(meta)
        known = not frame.number_mask >> len(INTS) and not frame.text_mask >> len(TEXTS)
    except (struct.error, IndexError, UnicodeDecodeError) as exc:
        raise BadFrameError(str(exc)) from exc
    if not known or not frame.kind:
        raise BadFrameError("no frame of ours")
    if max(frame.stamp, frame.added, *frame.numbers) > LAST or any(
        number < FIRST and number != NULL for number in frame.numbers
    ):
        raise BadFrameError("a number beyond all dates")
    return frame


def _decoded(meta: bytes) -> Frame:
    head = _HEAD.unpack_from(meta)
    kind, number_mask, text_mask, _, id_size = head[:5]
    lengths = head[5:9]
    count, stamp, added, _, fields, nulls = head[9:]
    at = _HEAD.size
    numbers: Sequence[int] = ()
    if number_mask:
        packed = _NUMBERS[number_mask.bit_count()]
        numbers = packed.unpack_from(meta, at)
        at += packed.size
    end = at + id_size
    msg_id = _text(meta[at:end])
    texts: list[str | int | None] = []
    for position in POSITIONS[text_mask]:
        length = lengths[position]
        if length == _NONE:
            texts.append(None)
        elif length == ELSEWHERE:
            texts.append(ELSEWHERE)
        else:
            at, end = end, end + length
            texts.append(_text(meta[at:end]))
    references: Sequence[bytes] = ()
    if count:
        at, end = end, end + count * REFERENCE_BYTES
        references = [
            meta[start : start + REFERENCE_BYTES] for start in range(at, end, REFERENCE_BYTES)
        ]
    if end > len(meta):
        raise BadFrameError("longer than it is")
    return Frame(
        *(kind, stamp, msg_id, fields, nulls, number_mask, numbers, text_mask, texts),
        *(references, meta[end:], b"", added),
    )


def body_of(data: bytes) -> tuple[bytes, bytes, int]:
    """Return the JSON of the frame whose prefix and meta part `data` is, and what `texts_of` needs.

    Raises:
        BadFrameError: it is none.
    """
    try:
        marker, size, _, checksum = PREFIX.unpack_from(data)
        meta = data[PREFIX.size :]
        if marker != MARKER or len(meta) != size or xxh3_64_intdigest(meta) != checksum:
            raise BadFrameError("damaged")
        head = _HEAD.unpack_from(meta)
    except struct.error as exc:
        raise BadFrameError(str(exc)) from exc
    texts: int = _HEAD.size + 8 * head[1].bit_count() + head[4]
    at: int = texts + REFERENCE_BYTES * head[9]
    if head[2]:
        at += sum(length for length in head[5:9] if length < ELSEWHERE)
    return meta[at:], meta, texts


def texts_of(meta: bytes, at: int) -> dict[int, str]:
    """Return the texts of a frame by position, those that are in its meta part: they begin at `at`."""
    head = _HEAD.unpack_from(meta)
    found = {}
    for position in POSITIONS[head[2]]:
        length = head[5 + position]
        if length < ELSEWHERE:
            found[position] = _text(meta[at : at + length])
            at += length
    return found


def blob_checksum(meta: bytes) -> int:
    """Return the checksum of the blob part that a meta part announces."""
    return int(_HEAD.unpack_from(meta)[12])


def pack_reference(address: str, slot: int) -> bytes:
    """Return an object's address as a frame holds it."""
    return bytes.fromhex(address) + bytes((slot,))


def unpack_reference(reference: bytes) -> tuple[str, int]:
    """Return address and slot."""
    return reference[:10].hex(), reference[10]


def checksum(data: bytes) -> int:
    """Return the checksum of a blob part."""
    return int(xxh3_64_intdigest(data))
