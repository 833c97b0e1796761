"""The payload of a KV entry: what is known of a value, then the value. Pure.

One flag byte, `@` plus the sum of what follows it, then the fields in this order, each as decimal
length, `:`, bytes; then the value's letter and body (`kv.codec`):

| bit | field | bytes |
|---|---|---|
| 1 | expiry | microseconds since the epoch, decimal |
| 2 | tags | each as length, `:`, UTF-8 |
| 4 | pointer | `digest slot size inode mtime_ns`: the body is an object, no body follows the letter |
| 8 | once | token and result of recent changes, each as length, `:`, bytes (result: letter and body) |

So the entry of `put("k", "bar")` has the payload `@sbar`. A payload with any other bit is of a later
version and is not read.
"""

from __future__ import annotations

from fscache.kv.codec import UnknownKindError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PLAIN = b"@"
"""The flags of a record that is only a value."""

_PLAIN = 0x40
_EXPIRES, _TAGS, _POINTER, _ONCE = 1, 2, 4, 8
_KNOWN = range(_PLAIN, _PLAIN + 16)
ONCE_KEPT = 64  # tokens: a client asks again within seconds, and has one change under way


class Pointer:
    """Which object holds a value's body, and which file that was when it was written."""

    __slots__ = ("digest", "inode", "mtime_ns", "size", "slot")

    def __init__(self, digest: str, slot: int, size: int, inode: int, mtime_ns: int) -> None:
        """Describe an object."""
        self.digest = digest
        self.slot = slot
        self.size = size
        self.inode = inode
        self.mtime_ns = mtime_ns


class Record:
    """One key's value and what is known of it."""

    __slots__ = ("body", "expires", "letter", "once", "pointer", "tags")

    def __init__(
        self,
        letter: bytes,
        body: bytes,
        *,
        expires: int | None = None,
        tags: tuple[str, ...] = (),
        pointer: Pointer | None = None,
        once: tuple[tuple[str, bytes], ...] = (),
    ) -> None:
        """Describe a value.

        Args:
            letter: The value's kind.
            body: Its bytes; empty where `pointer` says what object they are.
            expires: When it ceases to exist, in microseconds since the epoch.
            tags: Its tags.
            pointer: The object of a large body.
            once: Tokens of recent changes that may be asked for again, with their results.
        """
        self.letter = letter
        self.body = body
        self.expires = expires
        self.tags = tags
        self.pointer = pointer
        self.once = once

    def is_alive(self, now: float) -> bool:
        """Whether the value still exists at `now`, in seconds since the epoch."""
        return self.expires is None or now * 1e6 < self.expires

    def result_of(self, token: str) -> bytes | None:
        """Return the result of a change made with this token, None if none was, lately."""
        return dict(self.once).get(token) if token else None

    def once_and(self, token: str, result: bytes) -> tuple[tuple[str, bytes], ...]:
        """Return the tokens, with one more; the oldest go."""
        return (*self.once, (token, result))[-ONCE_KEPT:] if token else self.once

    def encode(self) -> bytes:
        """Return the payload."""
        flags = _PLAIN
        fields = []
        if self.expires is not None:
            flags |= _EXPIRES
            fields.append(b"%d" % self.expires)
        if self.tags:
            flags |= _TAGS
            fields.append(_join(tag.encode() for tag in self.tags))
        if self.pointer is not None:
            flags |= _POINTER
            at = self.pointer
            text = f"{at.digest} {at.slot} {at.size} {at.inode} {at.mtime_ns}"
            fields.append(text.encode("ascii"))
        if self.once:
            flags |= _ONCE
            parts = (part for token, result in self.once for part in (token.encode(), result))
            fields.append(_join(parts))
        return b"%c%b%b%b" % (flags, _join(fields), self.letter, self.body)


def check_token(token: str) -> str:
    """Return a token for a change that may be asked for again; raises ValueError."""
    if not (token.isascii() and len(token) <= 64):
        raise ValueError(f"a token has up to 64 ASCII characters: {token!r:.100}")
    return token


def decode(payload: bytes) -> Record:
    """Return the record of a payload; raises UnknownKindError."""
    flags = payload[0] if payload else 0
    if flags == _PLAIN:
        return Record(payload[1:2], payload[2:])
    if flags not in _KNOWN:
        raise UnknownKindError(f"a record with flags {flags:#x}: it needs a newer version")
    at = 1
    fields: dict[int, bytes] = {}
    for bit in (_EXPIRES, _TAGS, _POINTER, _ONCE):
        if flags & bit:
            fields[bit], at = _field(payload, at)
    pointer = None
    if _POINTER in fields:
        digest, *numbers = fields[_POINTER].decode("ascii").split()
        pointer = Pointer(digest, *map(int, numbers))
    once = list(_parts(fields.get(_ONCE, b"")))
    return Record(
        payload[at : at + 1],
        payload[at + 1 :],
        expires=int(fields[_EXPIRES]) if _EXPIRES in fields else None,
        tags=tuple(part.decode() for part in _parts(fields.get(_TAGS, b""))),
        pointer=pointer,
        once=tuple(
            (token.decode(), result) for token, result in zip(*[iter(once)] * 2, strict=True)
        ),
    )


def _join(parts: object) -> bytes:
    return b"".join([b"%d:%b" % (len(part), part) for part in parts])  # type: ignore[attr-defined]


def _field(data: bytes, at: int) -> tuple[bytes, int]:
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    return data[colon + 1 : end], end


def _parts(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        part, at = _field(data, at)
        yield part
