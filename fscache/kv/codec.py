"""Values as bytes: what JSON holds, and bytes, datetimes, any int, NumPy's scalars and arrays. Pure.

An encoded value is one letter, which says what it is, and a body, which ends where the bytes end:

| letter | value | body |
|---|---|---|
| `n` `t` `f` | None, True, False | none |
| `i` | int of up to 64 bits | decimal digits |
| `I` | any other int | hex digits |
| `r` | float | 8 bytes, IEEE 754, little-endian |
| `s` | text | UTF-8; a lone surrogate as its three bytes |
| `b` | bytes | themselves |
| `z` | datetime | ISO 8601, with its offset from UTC where it has one |
| `j` | list or dict of what JSON has | JSON, UTF-8 |
| `l` | any other list | its items: each letter, decimal length of the body, `:`, body |
| `d` | any other dict | keys and values in turn, likewise |
| `a` `g` | NumPy array, NumPy scalar | a `.npy` file |
| `x` | whatever a serializer made | its bytes |

Equal values of equal types have equal bytes, but for the order of a dict's keys (`same` sees to that).

What changes on the way: a tuple comes back as a list; bytearray and memoryview as bytes; a subclass of
a type above as that type; a datetime with the same offset, its zone's name and `fold` lost. Anything
else is a TypeError, never a pickle: reading a value must not run a program. A serializer (`pickle`, for
example) is used where the caller of this very process passes one, for what has no letter.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Protocol

    Buffer = bytes | memoryview

    class Serializer(Protocol):
        """Like the module `pickle`."""

        def dumps(self, value: Any, /) -> bytes:
            """Return a value as bytes."""

        def loads(self, data: bytes, /) -> Any:
            """Return the value that `dumps` was given."""


ARRAY = b"a"
TEXT = b"s"
BYTES = b"b"
_DOUBLE = struct.Struct("<d")
_SCALARS = frozenset({str, int, float, bool, type(None)})
_CONTAINERS = frozenset({dict, list, tuple})
_JSON = _SCALARS | _CONTAINERS
_SMALL = range(-(2**63), 2**64)


class UnknownKindError(ValueError):
    """The letter is of a later version, or needs what is not there; never leaves `kv`."""


def encode(value: object, serializer: Serializer | None = None) -> tuple[bytes, list[Buffer]]:
    """Return a value's letter, and its body in pieces (an array's is not copied).

    Raises:
        TypeError: no letter stands for this type, here or anywhere inside.
        ValueError: it contains itself, or nests too deeply.
    """
    kind = type(value)
    if kind is str:
        return TEXT, [value.encode("utf-8", "surrogatepass")]  # type: ignore[attr-defined]
    if kind is bytes:
        return BYTES, [value]  # type: ignore[list-item]
    try:
        encoder = _ENCODERS.get(kind)
        if encoder is not None:
            return encoder(value, serializer)
        return _encode_other(value, serializer)
    except RecursionError:
        raise ValueError("a value that contains itself, or nests too deeply") from None


def encode_whole(value: object, serializer: Serializer | None = None) -> bytes:
    """Return a value as one run of bytes."""
    letter, pieces = encode(value, serializer)
    return b"".join([letter, *pieces])


def decode(letter: bytes, body: bytes, serializer: Serializer | None = None) -> Any:
    """Return the value of a letter and a body.

    Raises:
        UnknownKindError: a later version's letter, a serializer's value without the serializer, an
            array without NumPy.
    """
    decoder = _DECODERS.get(letter)
    if decoder is not None:
        return decoder(body)
    if letter == b"l":
        return [decode(each, part, serializer) for each, part in _split(body)]
    if letter == b"d":
        parts = [decode(each, part, serializer) for each, part in _split(body)]
        return dict(zip(parts[::2], parts[1::2], strict=True))
    if letter == b"x":
        if serializer is None:
            raise UnknownKindError("it was written with a serializer; pass the same to read it")
        return serializer.loads(body)
    if letter in (b"a", b"g"):
        from fscache.kv import arrays

        return arrays.decode(body) if letter == ARRAY else arrays.decode(body)[()]
    raise UnknownKindError(f"a value of kind {letter!r}: it needs a newer version")


def same(letter: bytes, body: bytes, value: object, serializer: Serializer | None = None) -> bool:
    """Whether an encoded value equals `value`, in type too (1 is not 1.0), dicts in any order."""
    ours, pieces = encode(value, serializer)
    if b"".join(pieces) == body and ours == letter:
        return True
    if letter not in _CHANGEABLE or ours not in _CHANGEABLE:
        return False
    there = encode_whole(in_order(decode(letter, body, serializer)), serializer)
    return there == encode_whole(in_order(value), serializer)


def in_order(value: object) -> object:
    """Return a value whose dicts, wherever they are, have their keys in order."""
    if isinstance(value, dict):
        return {key: in_order(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [in_order(item) for item in value]
    return value


def _encode_int(value: Any, _serializer: object) -> tuple[bytes, list[Buffer]]:
    # Hex has no limit on its digits (decimal has one, against denial of service) and takes linear time.
    return (b"i", [b"%d" % value]) if value in _SMALL else (b"I", [b"%x" % value])


def _encode_time(value: Any, _serializer: object) -> tuple[bytes, list[Buffer]]:
    return b"z", [value.isoformat().encode("ascii")]


def _encode_list(value: Any, serializer: Serializer | None) -> tuple[bytes, list[Buffer]]:
    if _is_json(value):
        text = _to_json(value)
        if text is not None:
            return b"j", [text]
    return b"l", list(_items(value, serializer))


def _encode_dict(value: Any, serializer: Serializer | None) -> tuple[bytes, list[Buffer]]:
    if set(map(type, value)) - {str}:
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"keys of a dict are text, not {type(key).__name__}: {key!r}")
        value = {str.__str__(key): item for key, item in value.items()}
    if _is_json(value):
        text = _to_json(value)
        if text is not None:
            return b"j", [text]
    flat = [part for pair in value.items() for part in pair]
    return b"d", list(_items(flat, serializer))


def _items(values: Any, serializer: Serializer | None) -> Iterator[Buffer]:
    for value in values:
        letter, pieces = encode(value, serializer)
        yield b"%b%d:" % (letter, sum(map(length, pieces)))
        yield from pieces


def length(piece: Buffer) -> int:
    """Return the bytes of a piece of a body."""
    return piece.nbytes if isinstance(piece, memoryview) else len(piece)


def _split(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(body):
        colon = body.index(b":", at)
        end = colon + 1 + int(body[at + 1 : colon])
        yield body[at : at + 1], body[colon + 1 : end]
        at = end


def _is_json(value: Any) -> bool:
    """Whether JSON gives back every part of a list or dict as it is; `map` keeps the walk in C."""
    inside = value
    if isinstance(value, dict):
        if set(map(type, value)) - {str}:
            return False
        inside = value.values()
    kinds = set(map(type, inside))
    if kinds <= _SCALARS:
        return True
    return kinds <= _JSON and all(_is_json(item) for item in inside if type(item) in _CONTAINERS)


_json_text: Callable[[object], str] | None = None


def _to_json(value: object) -> bytes | None:
    global _json_text  # noqa: PLW0603 - one encoder: making it costs as much as using it
    if _json_text is None:
        import json

        _json_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    try:
        text = _json_text(value)
    except ValueError:
        return None  # an int of more digits than Python prints
    return text.encode("utf-8", "surrogatepass")


def _from_json(body: bytes) -> Any:
    import json

    try:
        return json.loads(body.decode("utf-8", "surrogatepass"))
    except ValueError as exc:  # an int of more digits than this process reads
        raise UnknownKindError(str(exc)) from exc


def _decode_time(body: bytes) -> Any:
    from datetime import datetime

    return datetime.fromisoformat(body.decode("ascii"))


def _encode_other(value: Any, serializer: Serializer | None) -> tuple[bytes, list[Buffer]]:
    """Encode what `_ENCODERS` does not know by its very type."""
    kind = type(value)
    if kind.__module__ == "numpy" and hasattr(value, "dtype"):
        from fscache.kv import arrays

        encoded = arrays.encode(value)
        if encoded is not None:
            return encoded
    elif kind.__module__ == "datetime" and kind.__name__ == "datetime":
        # Known by name: importing datetime costs a process that has none 2 ms.
        return _encode_time(value, serializer)
    else:
        for base, encoder in _ENCODERS.items():
            if isinstance(value, base):
                return encoder(base(value) if base in _PLAIN else value, serializer)
    if serializer is not None:
        return b"x", [serializer.dumps(value)]
    raise TypeError(f"a value of type {kind.__qualname__} cannot be kept: {value!r:.100}")


_PLAIN = frozenset({str, bytes, int, float})
_CHANGEABLE = frozenset({b"j", b"l", b"d", b"x"})

_ENCODERS: dict[type, Callable[[Any, Serializer | None], tuple[bytes, list[Buffer]]]] = {
    str: lambda value, _: (TEXT, [str.encode(value, "utf-8", "surrogatepass")]),
    bytes: lambda value, _: (BYTES, [bytes(value)]),
    bool: lambda value, _: (b"t" if value else b"f", []),
    int: _encode_int,
    float: lambda value, _: (b"r", [_DOUBLE.pack(value)]),
    type(None): lambda _value, _: (b"n", []),
    dict: _encode_dict,
    list: _encode_list,
    tuple: _encode_list,
    bytearray: lambda value, _: (BYTES, [bytes(value)]),
    memoryview: lambda value, _: (BYTES, [value.tobytes()]),
}

_DECODERS: dict[bytes, Callable[[bytes], Any]] = {
    b"s": lambda body: body.decode("utf-8", "surrogatepass"),
    b"b": lambda body: body,
    b"i": int,
    b"I": lambda body: int(body, 16),
    b"r": lambda body: _DOUBLE.unpack(body)[0],
    b"n": lambda _: None,
    b"t": lambda _: True,
    b"f": lambda _: False,
    b"j": _from_json,
    b"z": _decode_time,
}
